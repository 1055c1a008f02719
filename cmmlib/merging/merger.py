"""`ContinualMerger`: holds the state that the pure methods do not, and loops over the parameters."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..models.checkpoints import Model, Source, open_model, save_model
from ..models.layer_kinds import layer_kinds
from ..threads import side_by_side
from .accumulated import Standing
from .checks import Examined, examine, matched, require_new, warn_if_implausible
from .session import origin, restore, save
from .stepping import Inputs, LayerMap, Pairs, Step, Stepper, over_layers, square, tensors_of

if TYPE_CHECKING:
    import pandas as pd


class ContinualMerger(Stepper):
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
        revision: commit, branch or tag of a hub id given as base.
        progress: show progress bars on the error stream, if that is a terminal.
        layer_map: how a layerwise method is applied to the layers of one model, as ``map`` is, such as
            `cmmlib.experiments.cluster.RayLayers`; default: side by side on the CPU's threads.
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
        layer_map: LayerMap | None = None,
        **method_params,
    ):
        def opened() -> Source:
            return open_model(base, role="base", revision=revision)

        self._set_up(opened, method, method_params, compute_dtype, device, reference_compat, progress, layer_map)
        self._origin = origin(base, self._base)
        if self.method.layerwise or linear is not None:
            self._kinds, self._transposed = layer_kinds(self._base, linear)
        else:
            self._kinds, self._transposed = dict.fromkeys(self._base.shapes, "other"), frozenset()
        if self.method.check:
            self.method.check(self.params, self._kinds)
        self._save_every_step = Path(save_every_step) if save_every_step else None

    def __len__(self) -> int:
        """Number of models merged so far."""
        return len(self._now.models)

    def __repr__(self) -> str:
        params = "".join(f", {key}={value!r}" for key, value in self.params.items())
        return f"ContinualMerger({self._base.label!r}, {self.method.name!r}{params}): {len(self)} models merged"

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
            allow_repeat: in a merge that lives in a folder, merge a model that has been merged before once more.

        Raises:
            ValueError: missing, extra or misshapen tensors, integer weights, NaN or infinity, or a model equal to the base;
                where the merge lives in a folder also a model merged before, or another base than at its start.
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
            survey = self.method.survey and self.method.survey(Pairs(self, source), context, **self.params)
            draft = self._home.draft(now, self._keys, self._needed())
            try:
                reports, squares = [], []
                inputs = (self._inputs(key, source, survey) for key in self._each("merging"))
                stepped = self._mapped(Step(self.method, self.params), inputs)
                for key, (value, report) in zip(self._keys, stepped, strict=True):
                    reports += [report] if report else []
                    squares += [square(tensor) for tensor in tensors_of(value)]
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
                    merged_norm = math.sqrt(math.fsum(square(self._finished(key, new)) for key in self._each("scaling")))
                seconds = time.perf_counter() - start
                row = {
                    "merged_norm": merged_norm,
                    "read_seconds": self._reading,
                    "merge_seconds": seconds - self._reading,
                    **(self.method.summary(self._context(new, t), **self.params) if self.method.summary else {}),
                    **over_layers(reports),
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
        layer_map: LayerMap | None = None,
    ) -> ContinualMerger:
        """A merger that lives in a folder which `save` wrote: it reads tensors one at a time, and `add` commits to it.

        Going on in a new process gives bit for bit what one process gives (same torch, device and number of threads).

        Args:
            base: where the base is now, if not where it was.
            device, progress, layer_map: see `ContinualMerger`.

        Raises:
            FileNotFoundError: no state there, or its base is not found.
            ValueError: it is damaged or of another version, or the base is another one.
            StateInUse: another process is writing it.
        """
        merger = cls.__new__(cls)
        restore(merger, folder, base, device, progress, layer_map)
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

    def _mapped(self, step: Step, inputs: Iterator[Inputs]) -> Iterator:
        if self._layer_map and self.method.layerwise:
            return self._layer_map(step, inputs)
        if self.method.layerwise and self.device.type == "cpu":
            # a merge that lives in a folder is to take little memory: one layer at a time
            return side_by_side(step, inputs, at_most=1 if self._home.on_disk else None)
        return map(step, inputs)

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
        if self._home.on_disk and not allow_repeat:
            require_new(source, found, self._now.models)
        warn_if_implausible(source, self._base, found)
        return found

    def _step_folder(self, t: int, name: str) -> Path | None:
        if self._save_every_step is None:
            return None
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
        target = self._save_every_step / f"step_{t:02d}_{safe}"
        if target.exists():
            raise FileExistsError(f"{target} exists; give save_every_step a new folder")
        return target


def _file_name(model: Model) -> str:
    """The name of a model given by path or hub id: of its folder, or its file without the ending; else nothing."""
    if not isinstance(model, str | os.PathLike):
        return ""
    path = Path(model)
    stem = path.name.removesuffix(".safetensors").removesuffix(".bin")
    return path.resolve().parent.name if stem != path.name and stem in ("model", "pytorch_model") else stem


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
