"""A merge that outlives its process: between `cmmlib.merging.merger.ContinualMerger` and the folder on disk."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from ..files import require_space
from ..models.checkpoints import Model, Source, content_hash, open_model
from ..models.stream import dtype_named
from .accumulated import Draft, InMemory, OnDiskDraft, Standing
from .state_folder import FORMAT, VERSION, StateFolder

if TYPE_CHECKING:
    from .merger import ContinualMerger
    from .stepping import LayerMap


class InMemoryHome:
    """Where a merger keeps what stands, if that is not a folder: nowhere but in itself."""

    on_disk = False

    @contextmanager
    def current(self, now: Standing) -> Iterator[None]:
        yield

    def draft(self, now: Standing, keys: list[str], needed: int) -> Draft:
        return InMemory()

    def commit(self, new: Standing, draft: Draft) -> None:
        """Nothing to do: it stands when the merger holds it."""

    def abandon(self, draft: Draft) -> None:
        """Nor here: the merger has not taken it."""

    def settle(self, new: Standing) -> None:
        """Nor here."""


class FolderHome:
    """A state folder, whose lock is held for as long as an operation takes.

    Args:
        folder: of the state.
        about: what its JSON says besides what stands.
    """

    on_disk = True

    def __init__(self, folder: StateFolder, about: Mapping[str, Any]):
        self.folder, self.about = folder, about

    @contextmanager
    def current(self, now: Standing) -> Iterator[None]:
        """Hold the lock, with the folder at what stands.

        Raises:
            StateInUse: another process holds it.
            ValueError: another process has added a model since.
        """
        with self.folder.locked():
            record = self.folder.record()
            if record["models"] != list(now.models):
                raise ValueError(f"{self.folder.path} has been changed by another process meanwhile; load it again")
            self.folder.sweep(record)
            yield

    def draft(self, now: Standing, keys: list[str], needed: int) -> OnDiskDraft:
        """The next generation's file, where ``needed`` bytes or as many as the present one has must be free."""
        path = getattr(now.running, "path", None)
        require_space(self.folder.path, path.stat().st_size if path else needed)
        return self.folder.draft(len(now.models) + 1, keys)

    def record(self, new: Standing) -> dict[str, Any]:
        running = f"running-{len(new.models)}.safetensors" if new.models else None
        return {**self.about, "running": running, "running_norm": new.norm, "models": list(new.models)}

    def commit(self, new: Standing, draft: OnDiskDraft | None) -> None:
        self.folder.commit(self.record(new), draft)

    def abandon(self, draft: OnDiskDraft) -> None:
        self.folder.abandon(draft)

    def settle(self, new: Standing) -> None:
        self.folder.settle(self.record(new))


def origin(model: Model, source: Source) -> dict[str, str | None]:
    """Where a model can be found again: its absolute path, or its hub id and revision; None for one in memory."""
    if not isinstance(model, str | os.PathLike):
        return {"source": None, "revision": None}
    return {"source": str(model) if source.revision else os.path.abspath(model), "revision": source.revision}


def about(merger: ContinualMerger) -> dict[str, Any]:
    """What a state's JSON says besides what stands."""
    if merger._home.on_disk:
        return dict(merger._home.about)
    from .. import __version__

    if merger._base_hash is None:
        merger._base_hash = content_hash(merger._base)
    kinds, rest = merger._kinds, merger._base.rest
    return {
        "format": FORMAT,
        "version": VERSION,
        "cmmlib": __version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "method": merger.method.name,
        "method_code": _code_of(merger),
        "parameters": merger.params,
        "compute_dtype": str(merger.compute_dtype).removeprefix("torch."),
        "reference_compat": merger.reference_compat,
        "base": {
            **merger._origin,
            "hash": merger._base_hash,
            "rest_hash": content_hash(rest) if rest else None,
        },
        "layers": {
            "linear": sorted(key for key, kind in kinds.items() if kind == "linear"),
            "free": sorted(key for key, kind in kinds.items() if kind == "free"),
            "transposed": sorted(merger._transposed),
        },
    }


def _code_of(merger: ContinualMerger) -> str | None:
    """Hash of the method's code; None for what was typed into an interpreter."""
    try:
        return merger.method.source_hash
    except ValueError:
        return None


def save(merger: ContinualMerger, path: str | os.PathLike) -> None:
    """See `ContinualMerger.save`."""
    folder = StateFolder(path)
    now, keys = merger._now, merger._keys
    if any("::" in key for key in keys):
        raise ValueError(f"{merger._base.label}: a parameter's name holds '::', which a state keeps for its own use")
    home = FolderHome(folder, about(merger))
    folder.require_free()
    needed = merger._needed() if now.models else 0
    require_space(folder.path, needed)
    with folder.created(), folder.locked():
        draft = folder.draft(len(now.models), keys) if now.models else None
        try:
            if draft is not None:
                for key in keys:
                    draft.put(key, now.running[key])
            home.commit(now, draft)
        except BaseException:
            if draft is not None:
                folder.abandon(draft)
            raise
        home.settle(now)


def restore(
    merger: ContinualMerger,
    path: str | os.PathLike,
    base: Model | None,
    device: Any,
    progress: bool,
    layer_map: LayerMap | None,
) -> None:
    """See `ContinualMerger.load`."""
    folder = StateFolder(path)
    record = folder.record()
    with folder.locked():
        record = folder.record()
        folder.sweep(record)
        running = folder.running(record)
    known = record["base"]
    if base is None and known["source"] is None:
        raise ValueError(f"{folder.path} was started from a base in memory; give it: base=…, or --base")

    def opened() -> Source:
        if base is not None:
            return open_model(base, role="base")
        try:
            return open_model(known["source"], role="base", revision=known.get("revision"))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"the base of {folder.path}: {error}; say where it is now: base=…, or --base") from None

    dtype = dtype_named(record["compute_dtype"])
    compat = record["reference_compat"]
    merger._set_up(opened, record["method"], record["parameters"], dtype, device, compat, progress, layer_map)
    source = merger._base
    merger._origin = {"source": known["source"], "revision": known.get("revision")}
    layers = record["layers"]
    merger._kinds = dict.fromkeys(source.shapes, "other")
    merger._kinds |= {key: kind for kind in ("free", "linear") for key in layers[kind]}
    merger._transposed = frozenset(layers["transposed"])
    merger._base_hash = known["hash"]
    if set(merger._kinds) != set(source.shapes) or (running is not None and set(running.keys()) != set(source.shapes)):
        raise merger._wrong_base("other parameters")
    # a method keeps a tensor of the parameter's own shape, transposed where it is stored so, or parts of its own
    for key, shape in (running.shapes() if running is not None else {}).items():
        if sorted(shape) != sorted(source.shapes[key]):
            raise merger._wrong_base(f"another shape of {key!r}")
    merger._now = Standing(running, record["running_norm"], tuple(record["models"]))
    if record.get("method_code") != _code_of(merger):
        warnings.warn(
            f"{folder.path}: the code of method {merger.method.name!r} has changed since this state was started (by cmmlib "
            f"{record.get('cmmlib')}); what follows is not what one run would give",
            stacklevel=3,
        )
    fixed = {key: value for key, value in record.items() if key not in ("running", "running_norm", "models")}
    merger._home = FolderHome(folder, fixed)
