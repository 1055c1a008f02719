"""`ContinualMerger`: holds the state that the pure methods do not, and loops over the parameters."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .checkpoints import ContentHash, Model, Source, open_model, save_model
from .checks import Examined, examine, matched, require_floats, require_new, warn_if_implausible
from .layers import layer_kinds
from .methods import Context, get_method
from .running import Standing, Value
from .session import FolderHome, InMemoryHome, origin, restore, save

if TYPE_CHECKING:
    import pandas as pd


class ContinualMerger:
    """Merges models into one as they arrive; none is kept.

    Like scikit-learn's ``partial_fit``: the constructor takes the base and hyper-parameters, ``add`` takes one
    fine-tuned model at a time, and the result can be had after each::

        merger = ContinualMerger("clip-vit-base-patch32", "opcm", alpha=0.5)
        for path in paths:
            merger.add(path)
        tensors = merger.merged()

    Args:
        base: the pretrained model that all models were fine-tuned from: a folder, a ``.safetensors`` file, a hub id, an
            ``nn.Module`` (its weights are read when needed, so leave it alone), or a mapping of tensors.  Of a whole CLIP
            model the vision tower is taken.
        method: name of a registered method.
        compute_dtype: of the accumulated tensors; default: the base's own, but at least float32.
        device: where to compute; default: the CPU.
        reference_compat: reproduce the published code where it departs from the paper.
        linear: patterns of the names of linear weights, for a base whose architecture cannot be told.
        save_every_step: a folder that receives each intermediate model, as ``step_01_<name>`` and so on.
        **method_params: the method's hyper-parameters.

    Raises:
        ValueError: an unknown method or parameter, integer weights, or a 2-D tensor that may or may not belong to a linear
            layer.
        FileNotFoundError: no such base.
    """

    def __init__(
        self,
        base: Model,
        method: str = "opcm",
        *,
        compute_dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
        reference_compat: bool = False,
        linear: Sequence[str] | None = None,
        save_every_step: str | Path | None = None,
        revision: str | None = None,
        progress: bool = False,
        **method_params,
    ):
        def opened() -> Source:
            return open_model(base, role="base", revision=revision)

        self._set_up(opened, method, method_params, compute_dtype, device, reference_compat, progress)
        self._origin = origin(base, self._base)
        if self.method.layerwise or linear is not None:
            self._kinds, self._transposed = layer_kinds(self._base, linear)
        else:
            self._kinds, self._transposed = dict.fromkeys(self._base.shapes, "other"), frozenset()
        if self.method.check:
            self.method.check(self.params, self._kinds)
        self._save_every_step = Path(save_every_step) if save_every_step else None

    def _set_up(
        self,
        opened: Callable[[], Source],
        method: str,
        params: Mapping[str, Any],
        compute_dtype: torch.dtype | None,
        device: str | torch.device | None,
        reference_compat: bool,
        progress: bool,
    ) -> None:
        self.method = get_method(method)
        self.params = self.method.resolve(params)
        self.device = torch.device(device or "cpu")
        if self.device.type == "mps":
            raise ValueError("device: MPS has no float64, which the factorisations need; merge on the CPU (device=None)")
        if compute_dtype not in (None, torch.float32, torch.float64):
            raise ValueError(f"compute_dtype: expected torch.float32 or torch.float64, got {compute_dtype}")
        self.reference_compat = bool(reference_compat)
        self._base = base = opened()
        if not base.shapes:
            raise ValueError(f"{base.label} holds no parameters")
        require_floats(base)
        widest = max(base.dtypes.values(), key=lambda d: d.itemsize)
        self.compute_dtype = compute_dtype or torch.promote_types(widest, torch.float32)
        self._keys = sorted(base.shapes)
        self._progress = progress
        self._now = Standing()
        self._home: InMemoryHome | FolderHome = InMemoryHome()
        self._base_hash: str | None = None
        self._save_every_step = None

    def __len__(self) -> int:
        """Number of models merged so far."""
        return len(self._now.models)

    def __repr__(self) -> str:
        params = "".join(f", {key}={value!r}" for key, value in self.params.items())
        return f"ContinualMerger({self._base.label!r}, {self.method.name!r}{params}): {len(self)} models merged"

    @property
    def config(self) -> dict | None:
        """The ``config.json`` that belongs to `merged`, where the base has one; of a CLIP model the vision tower's."""
        config = self.base_config
        if config and config.get("model_type") == "clip":
            config = {**config["vision_config"], "model_type": "clip_vision_model", "architectures": ["CLIPVisionModel"]}
        return config

    @property
    def base_config(self) -> dict | None:
        """The base's own configuration, if it has one."""
        module_config = getattr(self._base.module, "config", None)
        return module_config.to_dict() if module_config is not None else self._base.config

    @property
    def history(self) -> pd.DataFrame:
        """One row per model.

        Columns: ``name``; ``task_vector_norm`` ‖τ‖ over all parameters; ``merged_norm`` ‖merged − W0‖ after it;
        ``read_seconds`` and ``merge_seconds``; and the method's own quantities, those that it reports per layer as
        ``_mean``, ``_min`` and ``_max`` over layers.
        """
        import pandas as pd

        rows = [{"name": model["name"], **model["history"]} for model in self._now.models]
        columns = ["name", "task_vector_norm", "merged_norm", "read_seconds", "merge_seconds"]
        frame = pd.DataFrame(rows, columns=columns if not rows else None)
        return frame.set_axis(range(1, len(frame) + 1)).rename_axis("step")

    def add(
        self, model: Model, name: str | None = None, *, revision: str | None = None, allow_repeat: bool = False
    ) -> ContinualMerger:
        """Merge one more fine-tuned model, and return the merger.

        The state, in memory or on disk, changes only when all went well.

        Args:
            model: as the base may be given, or the folder or hub id of a LoRA adapter of the base.
            name: what the history calls it; default: the file's or folder's name, or ``model_<n>``.
            revision: commit, branch or tag of a hub id.
            allow_repeat: merge a model that has been merged before once more.

        Raises:
            ValueError: missing, extra or misshapen tensors, integer weights, NaN or infinity, a model equal to the base or
                merged before; of a state on disk also another base than at its start.
            FileNotFoundError: no such model.
            StateInUse: another process is writing the state.
            OSError: no disk space.

        Warns if the task vector is so large that the model is hardly fine-tuned from this base.
        """
        with self._home.current(self._now):
            t = len(self) + 1
            source = open_model(model, role=f"model {t}", revision=revision, base=self._base)
            name = name or _file_name(model) or f"model_{t}"
            source = matched(self._base, source)
            target = self._step_folder(t, name)
            start, self._reading = time.perf_counter(), 0.0
            stamp = source.stamp(), self._base.stamp()
            found = self._examine(source, allow_repeat)
            now = self._now
            context = self._context(now, t)
            survey = self.method.survey and self.method.survey(_Pairs(self, source), context, **self.params)
            draft = self._home.draft(now, self._keys, self._needed())
            try:
                reports, squares = [], []
                for key in self._each("merging"):
                    value, report = self._step(key, source, survey)
                    reports += [report] if report else []
                    squares += [_square(tensor) for tensor in _tensors(value)]
                    draft.put(key, value)
                model_entry = {
                    "name": name,
                    **origin(model, source),
                    "hash": found.content_hash,
                    "time": datetime.now(UTC).isoformat(timespec="seconds"),
                    "history": {"task_vector_norm": found.norm},
                }
                new = Standing(draft, math.sqrt(math.fsum(squares)), (*now.models, model_entry))
                merged_norm = new.norm
                if self.method.finish:
                    merged_norm = math.sqrt(math.fsum(_square(self._finished(key, new)) for key in self._each("scaling")))
                seconds = time.perf_counter() - start
                row = {
                    "merged_norm": merged_norm,
                    "read_seconds": self._reading,
                    "merge_seconds": seconds - self._reading,
                    **(self.method.summary(self._context(new, t), **self.params) if self.method.summary else {}),
                    **_over_layers(reports),
                }
                # no JSON holds NaN or infinity
                model_entry["history"] |= {key: value if math.isfinite(value) else None for key, value in row.items()}
                if (source.stamp(), self._base.stamp()) != stamp:
                    raise ValueError(f"{source.label} or {self._base.label} changed while it was read; nothing was merged")
                if target is not None:
                    save_model(self._collected(new, None), target, self.config)
                self._home.commit(new, draft)
            except BaseException:
                self._home.abandon(draft)
                raise
            self._now = new
            self._home.settle(new)
        return self

    def save(self, folder: str | os.PathLike) -> None:
        """Write all that is needed to go on, in another process or on another day, into a new folder.

        The merger itself stays in memory; `load` gives one that lives in the folder.

        Raises:
            FileExistsError: the folder is not empty.
            OSError: no disk space.
        """
        save(self, folder)

    def export(
        self,
        folder: str | os.PathLike,
        *,
        dtype: torch.dtype | None = None,
        whole: bool = False,
        max_shard_bytes: int = 5_000_000_000,
    ) -> Path:
        """Write a folder that transformers' ``from_pretrained`` opens: weights, configuration, processor files, model card.

        Tensors are written one at a time.

        Args:
            dtype: of the tensors; default: each as in the base.
            whole: write a complete CLIP model, with all but the vision tower from the base.
            max_shard_bytes: above this the weights are split over several files.

        Raises:
            FileExistsError: the folder is not empty.
            ValueError: no model has been added, or ``whole`` where the base is not a whole CLIP model.
            OSError: no disk space.
        """
        from .export import export

        with self._home.current(self._now):
            return export(self, folder, dtype=dtype, whole=whole, max_shard_bytes=max_shard_bytes)

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike,
        *,
        base: Model | None = None,
        device: str | torch.device | None = None,
        progress: bool = False,
    ) -> ContinualMerger:
        """A merger that lives in a folder which `save` wrote: it reads tensors one at a time, and `add` commits to it.

        Going on in a new process gives bit for bit what one process gives (same torch, device and number of threads).

        Args:
            base: where the base is now, if not where it was.

        Raises:
            FileNotFoundError: no state there, or its base is not found.
            ValueError: it is damaged or of another version, or the base is another one.
            StateInUse: another process is writing it.
        """
        merger = cls.__new__(cls)
        restore(merger, folder, base, device, progress)
        return merger

    def merged(self, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """The merged model: a dict of tensors under the base's own key names.

        Args:
            dtype: of the tensors; default: each as in the base.

        Raises:
            ValueError: no model has been added.
        """
        with self._home.current(self._now):
            return self._collected(self._now, dtype)

    def _collected(self, now: Standing, dtype: torch.dtype | None) -> dict[str, Tensor]:
        tensors = dict(self._merged_tensors(now, dtype, self._keys))
        result = {own_name: tensors[key] for key, own_name in self._base.names.items()}
        return result | {alias: tensors[kept] for alias, kept in self._base.tied.items()}

    def _merged_tensors(self, now: Standing, dtype: torch.dtype | None, keys: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """Every merged tensor by canonical name, sorted; at the end the base must have proved to be the right one."""
        if not now.models:
            raise ValueError("no model has been merged yet: call add(model) first")
        digest = ContentHash()
        for key in keys:
            base = self._base.read(key)
            if self._home.on_disk:
                digest.update(key, base)
            merged = base.to(self.device, self.compute_dtype) + self._finished(key, now)
            yield key, merged.to(base.device, dtype or base.dtype)
        if self._home.on_disk and digest.hexdigest() != self._base_hash:
            raise self._wrong_base("another content")

    def _context(self, now: Standing, t: int, **about_parameter) -> Context:
        norms = [model["history"]["task_vector_norm"] for model in now.models]
        return Context(
            t,
            mean_norm=math.fsum(norms) / len(norms) if norms else 0.0,
            running_norm=now.norm,
            reference_compat=self.reference_compat,
            **about_parameter,
        )

    def _each(self, doing: str) -> Iterable[str]:
        """The parameters' names, with a progress bar where one is wanted."""
        if not self._progress:
            return self._keys
        from tqdm import tqdm

        return tqdm(self._keys, desc=doing, unit="tensor", leave=False, disable=None)

    def _read_stored(self, key: str, source: Source) -> Tensor:
        start = time.perf_counter()
        tensor = source.read(key)
        self._reading += time.perf_counter() - start
        return tensor

    def _read(self, key: str, source: Source) -> Tensor:
        """A parameter in the method's view: on the device, in the compute dtype, linear weights as (out, in)."""
        tensor = self._read_stored(key, source).to(self.device, self.compute_dtype)
        return tensor.T if key in self._transposed else tensor

    def _accumulated(self, key: str, like: Tensor) -> Value:
        if self._now.running is None:
            return torch.zeros_like(like)
        return _on(self._now.running[key], self.device)

    def _step(self, key: str, source: Source, survey: object) -> tuple[Value, dict[str, float]]:
        base = self._read(key, self._base)
        tau = self._read(key, source) - base
        context = self._context(self._now, len(self) + 1, name=key, kind=self._kinds[key], base=base, survey=survey)
        result = self.method.step(self._accumulated(key, tau), tau, context, **self.params)
        tensor, report = result if isinstance(result, tuple) else (result, {})
        if tensor.shape != tau.shape or not torch.isfinite(tensor).all():
            raise ValueError(
                f"method {self.method.name!r} returned a tensor of shape {tuple(tensor.shape)} for {key!r} of shape "
                f"{tuple(tau.shape)}, finite: {bool(torch.isfinite(tensor).all())}; a method bug or extreme parameters"
            )
        return tensor, report

    def _finished(self, key: str, now: Standing) -> Tensor:
        tensor = _on(now.running[key], self.device)
        if self.method.finish:
            context = self._context(now, len(now.models), name=key, kind=self._kinds[key])
            tensor = self.method.finish(tensor, context, **self.params)
        return tensor.T if key in self._transposed else tensor

    def _examine(self, source: Source, allow_repeat: bool) -> Examined:
        """Read the whole model once, and refuse it or warn of it."""
        found = examine(
            self._base,
            source,
            self._read_stored,
            lambda tensor: tensor.to(self.device, self.compute_dtype),
            keys=self._each("checking"),
            hash_base=self._base_hash is None or self._home.on_disk,
        )
        if self._base_hash is None:
            self._base_hash = found.base_hash
        if found.base_hash not in (None, self._base_hash):
            raise self._wrong_base("another content")
        if not allow_repeat:
            require_new(source, found, self._now.models)
        warn_if_implausible(source, self._base, found)
        return found

    def _wrong_base(self, difference: str) -> ValueError:
        return ValueError(
            f"{self._base.label} is not the base that this state was started from ({difference}; recorded hash "
            f"{self._base_hash[:16]}…): give the original, with --base if it has moved"
        )

    def _needed(self) -> int:
        """Bytes that running tensors take, one per parameter."""
        return sum(math.prod(shape) for shape in self._base.shapes.values()) * self.compute_dtype.itemsize

    def _step_folder(self, t: int, name: str) -> Path | None:
        if self._save_every_step is None:
            return None
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
        target = self._save_every_step / f"step_{t:02d}_{safe}"
        if target.exists():
            raise FileExistsError(f"{target} exists; give save_every_step a new folder")
        return target


class _Pairs:
    """(accumulated tensor, task vector) of every parameter; each iteration reads the model again."""

    def __init__(self, merger: ContinualMerger, source: Source):
        self.merger, self.source = merger, source

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        merger = self.merger
        for key in merger._keys:
            tau = merger._read(key, self.source) - merger._read(key, merger._base)
            yield merger._accumulated(key, tau), tau


def _square(tensor: Tensor) -> float:
    return torch.sum(tensor.double() ** 2).item()


def _tensors(value: Value) -> Iterable[Tensor]:
    return [value] if isinstance(value, Tensor) else value.values()


def _on(value: Value, device: torch.device) -> Value:
    return value.to(device) if isinstance(value, Tensor) else {part: tensor.to(device) for part, tensor in value.items()}


def _file_name(model: Model) -> str:
    """The name of a model given by path or hub id: of its folder, or its file without the ending; else nothing."""
    if not isinstance(model, str | os.PathLike):
        return ""
    path = Path(model)
    stem = path.name.removesuffix(".safetensors").removesuffix(".bin")
    return path.resolve().parent.name if stem != path.name and stem in ("model", "pytorch_model") else stem


def _over_layers(reports: list[dict[str, float]]) -> dict[str, float]:
    """Mean, minimum and maximum over layers of each reported quantity."""
    if not reports:
        return {}
    result = {}
    for quantity in dict.fromkeys(quantity for report in reports for quantity in report):
        values = [float(report[quantity]) for report in reports if quantity in report]
        mean = math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.nan
        result |= {f"{quantity}_mean": mean, f"{quantity}_min": min(values), f"{quantity}_max": max(values)}
    return result


def merge(base: Model, models: Iterable[Model], *, method: str = "opcm", **params) -> dict[str, Tensor]:
    """Merge ``models``, in the order given, in one call.

    Args:
        base, models: see `ContinualMerger`.
        method: name of a registered method.
        **params: all other arguments of `ContinualMerger`, the method's hyper-parameters among them.

    Raises:
        ValueError: an empty sequence, and whatever `ContinualMerger` raises.
    """
    if isinstance(models, (str, os.PathLike, torch.nn.Module, Mapping)):
        what = f"path {str(models)!r}" if isinstance(models, str | os.PathLike) else type(models).__name__
        raise ValueError(f"models: expected a sequence of models, got the single {what}; put it in a list")
    merger = ContinualMerger(base, method, **params)
    for model in models:  # which may be a generator: none is kept
        merger.add(model)
    if not len(merger):
        raise ValueError("models: nothing to merge, the sequence is empty")
    return merger.merged()
