"""`ContinualMerger`: holds the state that the pure methods do not, and loops over the parameters."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from .checkpoints import FLOATS, Model, Source, open_model, save_model
from .layers import layer_kinds
from .methods import Context, Value, get_method
from .threads import side_by_side


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
        **method_params,
    ):
        self.method = get_method(method)
        self.params = self.method.resolve(method_params)
        self.device = torch.device(device or "cpu")
        if self.device.type == "mps":
            raise ValueError("device: MPS has no float64, which the factorisations need; merge on the CPU (device=None)")
        if compute_dtype not in (None, torch.float32, torch.float64):
            raise ValueError(f"compute_dtype: expected torch.float32 or torch.float64, got {compute_dtype}")
        self.reference_compat = bool(reference_compat)
        self._base = open_model(base, role="base")
        if not self._base.shapes:
            raise ValueError(f"{self._base.label} holds no parameters")
        self._require_floats(self._base)
        widest = max((d for d in self._base.dtypes.values()), key=lambda d: d.itemsize)
        self.compute_dtype = compute_dtype or torch.promote_types(widest, torch.float32)
        if self.method.layerwise or linear is not None:
            self._kinds, self._transposed = layer_kinds(self._base, linear)
        else:
            self._kinds, self._transposed = dict.fromkeys(self._base.shapes, "other"), frozenset()
        if self.method.check:
            self.method.check(self.params, self._kinds)
        self._save_every_step = Path(save_every_step) if save_every_step else None
        self._running: dict[str, Value] = {}
        self._running_norm = 0.0
        self._norms: list[float] = []
        self._rows: list[dict] = []

    def __len__(self) -> int:
        """Number of models merged so far."""
        return len(self._norms)

    def __repr__(self) -> str:
        params = "".join(f", {key}={value!r}" for key, value in self.params.items())
        return f"ContinualMerger({self._base.label!r}, {self.method.name!r}{params}): {len(self)} models merged"

    @property
    def config(self) -> dict | None:
        """The ``config.json`` that belongs to `merged`, where the base has one; of a CLIP model the vision tower's."""
        module_config = getattr(self._base.module, "config", None)
        config = module_config.to_dict() if module_config is not None else self._base.config
        if config and config.get("model_type") == "clip":
            config = {**config["vision_config"], "model_type": "clip_vision_model", "architectures": ["CLIPVisionModel"]}
        return config

    @property
    def history(self) -> pd.DataFrame:
        """One row per model.

        Columns: ``name``; ``task_vector_norm`` ‖τ‖ over all parameters; ``merged_norm`` ‖merged − W0‖ after it;
        ``read_seconds`` and ``merge_seconds``; and the method's own quantities, those that it reports per layer as
        ``_mean``, ``_min`` and ``_max`` over layers.
        """
        columns = ["name", "task_vector_norm", "merged_norm", "read_seconds", "merge_seconds"]
        frame = pd.DataFrame(self._rows, columns=columns if not self._rows else None)
        return frame.set_axis(range(1, len(frame) + 1)).rename_axis("step")

    def add(self, model: Model, name: str | None = None) -> ContinualMerger:
        """Merge one more fine-tuned model, and return the merger.

        The state changes only when all went well.

        Args:
            model: as the base may be given.
            name: what the history calls it; default: the file's or folder's name, or ``model_<n>``.

        Raises:
            ValueError: missing, extra or misshapen tensors, integer weights, NaN or infinity (in the base too), or a model
                equal to the base.
            FileNotFoundError: no such model.
        """
        t = len(self) + 1
        source = open_model(model, role=f"model {t}")
        name = name or _file_name(model) or f"model_{t}"
        self._require_same_parameters(source)
        target = self._step_folder(t, name)
        start, self._reading = time.perf_counter(), 0.0
        norm = self._norm_of_valid(source)
        context = self._context(t)
        survey = self.method.survey and self.method.survey(_Pairs(self, source), context, **self.params)
        running, reports = {}, []
        inputs = (self._inputs(key, source, survey) for key in self._base.shapes)
        mapped = side_by_side if self.method.layerwise and self.device.type == "cpu" else map
        for key, (tensor, report) in zip(self._base.shapes, mapped(self._step, inputs), strict=True):
            if report:
                reports.append(report)
            running[key] = tensor
        before = self._running, self._running_norm, self._norms
        try:
            self._running, self._running_norm = running, _norm(part for value in running.values() for part in _parts(value))
            self._norms = [*self._norms, norm]
            context = self._context(t)
            merged_norm = _norm(self._finished(key) for key in running)
            seconds = time.perf_counter() - start
            row = {
                "name": name,
                "task_vector_norm": norm,
                "merged_norm": merged_norm,
                "read_seconds": self._reading,
                "merge_seconds": seconds - self._reading,
                **(self.method.summary(context, **self.params) if self.method.summary else {}),
                **_over_layers(reports),
            }
            if target is not None:
                self._save(target)
        except BaseException:
            self._running, self._running_norm, self._norms = before
            raise
        self._rows.append(row)
        return self

    def merged(self, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """The merged model: a dict of tensors under the base's own key names.

        Args:
            dtype: of the tensors; default: each as in the base.

        Raises:
            ValueError: no model has been added.
        """
        if not len(self):
            raise ValueError("no model has been merged yet: call add(model) first")
        result = {}
        for key, own_name in self._base.names.items():
            base = self._base.read(key)
            merged = base.to(self.device, self.compute_dtype) + self._finished(key)
            result[own_name] = merged.to(base.device, dtype or base.dtype)
        return result

    def _context(self, t: int, **about_parameter) -> Context:
        mean = math.fsum(self._norms) / len(self._norms) if self._norms else 0.0
        return Context(
            t,
            mean_norm=mean,
            running_norm=self._running_norm,
            reference_compat=self.reference_compat,
            **about_parameter,
        )

    def _read(self, key: str, source: Source) -> Tensor:
        """A parameter in the method's view: on the device, in the compute dtype, linear weights as (out, in)."""
        start = time.perf_counter()
        tensor = source.read(key)
        self._reading += time.perf_counter() - start
        tensor = tensor.to(self.device, self.compute_dtype)
        return tensor.T if key in self._transposed else tensor

    def _task_vector(self, key: str, source: Source) -> Tensor:
        return self._read(key, source) - self._read(key, self._base)

    def _accumulated(self, key: str, like: Tensor) -> Value:
        return self._running[key] if self._running else torch.zeros_like(like)

    def _inputs(self, key: str, source: Source, survey: object) -> tuple[Value, Tensor, Context]:
        base = self._read(key, self._base)
        tau = self._read(key, source) - base
        context = self._context(len(self) + 1, name=key, kind=self._kinds[key], base=base, survey=survey)
        return self._accumulated(key, tau), tau, context

    def _step(self, inputs: tuple[Value, Tensor, Context]) -> tuple[Value, dict[str, float]]:
        accumulated, tau, context = inputs
        result = self.method.step(accumulated, tau, context, **self.params)
        value, report = result if isinstance(result, tuple) else (result, {})
        shape = tuple(value.shape) if isinstance(value, Tensor) else tau.shape  # parts may have any shape
        finite = all(math.isfinite(_norm([part])) for part in _parts(value))  # isfinite().all() takes 20 times as long
        if shape != tau.shape or not finite:
            raise ValueError(
                f"method {self.method.name!r} returned a tensor of shape {tuple(shape)} for {context.name!r} of shape "
                f"{tuple(tau.shape)}, finite: {finite}; a method bug or extreme parameters"
            )
        return value, report

    def _finished(self, key: str) -> Tensor:
        tensor = self._running[key]  # a dict of parts only where the method has a finish
        if self.method.finish:
            context = self._context(len(self), name=key, kind=self._kinds[key])
            tensor = self.method.finish(tensor, context, **self.params)
        return tensor.T if key in self._transposed else tensor

    def _require_floats(self, source: Source) -> None:
        for key, dtype in source.dtypes.items():
            if dtype not in FLOATS:  # float8 is a quantised format too
                raise ValueError(
                    f"{source.label}: {source.names[key]!r} has integer or unsupported weights ({dtype}); dequantise the "
                    "model, or drop the entry if it is a buffer"
                )

    def _require_same_parameters(self, source: Source) -> None:
        base, label = self._base, source.label
        missing = [key for key in base.shapes if key not in source.shapes]
        extra = [source.names[key] for key in source.shapes if key not in base.shapes]
        for names, fault in ((missing, "lacks"), (extra, "has, and the base has not,")):
            if names:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                raise ValueError(
                    f"{label} {fault} {names[0]!r}{more}; is it fine-tuned from {base.label}, and a whole model "
                    "(no adapter, no extra head)?"
                )
        for key, shape in base.shapes.items():
            if source.shapes[key] != shape:
                raise ValueError(
                    f"{label}: {source.names[key]!r} has shape {source.shapes[key]}, in {base.label} it is {shape}; "
                    "these are not models of one architecture"
                )
        self._require_floats(source)

    def _norm_of_valid(self, source: Source) -> float:
        """‖τ‖ over the whole model, once every tensor of model and base has been found finite and some differ."""
        squares = []
        for key in self._base.shapes:
            tau = self._task_vector(key, source)
            squares.append(_norm([tau]) ** 2)
            if not math.isfinite(squares[-1]):
                guilty = source if not torch.isfinite(source.read(key)).all() else self._base
                raise ValueError(f"{guilty.label}: {guilty.names[key]!r} holds NaN or infinity; the checkpoint is broken")
        norm = math.sqrt(math.fsum(squares))
        if norm == 0:
            raise ValueError(f"{source.label} equals the base {self._base.label}: there is nothing to merge")
        return norm

    def _step_folder(self, t: int, name: str) -> Path | None:
        if self._save_every_step is None:
            return None
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
        target = self._save_every_step / f"step_{t:02d}_{safe}"
        if target.exists():
            raise FileExistsError(f"{target} exists; give save_every_step a new folder")
        return target

    def _save(self, target: Path) -> None:
        save_model(self.merged(), target, self.config)


class _Pairs:
    """(accumulated tensor, task vector) of every parameter; each iteration reads the model again."""

    def __init__(self, merger: ContinualMerger, source: Source):
        self.merger, self.source = merger, source

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for key in self.merger._base.shapes:
            tau = self.merger._task_vector(key, self.source)
            yield self.merger._accumulated(key, tau), tau


def _parts(value: Value) -> Iterable[Tensor]:
    return [value] if isinstance(value, Tensor) else value.values()


def _norm(tensors: Iterable[Tensor]) -> float:
    norms = (torch.linalg.vector_norm(tensor, dtype=torch.float64).item() for tensor in tensors)
    return math.sqrt(math.fsum(norm**2 for norm in norms))


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
    frame = pd.DataFrame(reports)
    return {f"{q}_{how}": float(getattr(frame[q], how)()) for q in frame for how in ("mean", "min", "max")}


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
