"""One step of a merge, parameter by parameter: reading in the method's view, applying it, scaling what it gives."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..methods import Context, Method, get_method
from ..models.checkpoints import ContentHash, Source
from .accumulated import Standing, Value
from .checks import require_floats
from .session import FolderHome, InMemoryHome

Inputs = tuple[Value, Tensor, Context]
"""What a method's step is given for one parameter: what is accumulated, the task vector, and the context."""

LayerMap = Callable[[Callable[[Inputs], tuple[Value, dict[str, float]]], Iterable[Inputs]], Iterator]
"""Applies a step to all layers as ``map`` does: results in order, inputs drawn a few ahead at most."""


class Stepper:
    """What a merger is made of: base, method and parameters, and what stands; see `cmmlib.ContinualMerger`."""

    _kinds: dict[str, str]
    _transposed: frozenset[str]
    _origin: dict[str, str | None]

    def _set_up(
        self,
        opened: Callable[[], Source],
        method: str,
        params: Mapping[str, Any],
        compute_dtype: torch.dtype | None,
        device: str | torch.device | None,
        reference_compat: bool,
        progress: bool,
        layer_map: LayerMap | None,
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
        self._layer_map = layer_map
        self._now = Standing()
        self._home: InMemoryHome | FolderHome = InMemoryHome()
        self._base_hash: str | None = None
        self._save_every_step = None

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

    def _inputs(self, key: str, source: Source, survey: object) -> Inputs:
        """What the method's step is given for one parameter."""
        base = self._read(key, self._base)
        tau = self._read(key, source) - base
        context = self._context(self._now, len(self) + 1, name=key, kind=self._kinds[key], base=base, survey=survey)
        return self._accumulated(key, tau), tau, context

    def _finished(self, key: str, now: Standing) -> Tensor:
        tensor = _on(now.running[key], self.device)
        if self.method.finish:
            context = self._context(now, len(now.models), name=key, kind=self._kinds[key])
            tensor = self.method.finish(tensor, context, **self.params)
        return tensor.T if key in self._transposed else tensor

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

    def _wrong_base(self, difference: str) -> ValueError:
        return ValueError(
            f"{self._base.label} is not the base that this state was started from ({difference}; recorded hash "
            f"{self._base_hash[:16]}…): give the original, with --base if it has moved"
        )

    def _needed(self) -> int:
        """Bytes that running tensors take, one per parameter."""
        return sum(math.prod(shape) for shape in self._base.shapes.values()) * self.compute_dtype.itemsize


@dataclass(frozen=True)
class Step:
    """A method with its hyper-parameters, as a function of what it is given for one parameter; may be sent elsewhere."""

    method: Method
    params: Mapping[str, Any]

    def __call__(self, inputs: Inputs) -> tuple[Value, dict[str, float]]:
        accumulated, tau, context = inputs
        result = self.method.step(accumulated, tau, context, **self.params)
        value, report = result if isinstance(result, tuple) else (result, {})
        shape = tuple(value.shape) if isinstance(value, Tensor) else tau.shape  # parts may have any shape
        finite = all(math.isfinite(square(part)) for part in tensors_of(value))  # isfinite().all() takes 20 times as long
        if shape != tau.shape or not finite:
            raise ValueError(
                f"method {self.method.name!r} returned a tensor of shape {tuple(shape)} for {context.name!r} of shape "
                f"{tuple(tau.shape)}, finite: {finite}; a method bug or extreme parameters"
            )
        return value, report


class Pairs:
    """(accumulated tensor, task vector) of every parameter; each iteration reads the model again."""

    def __init__(self, merger: Stepper, source: Source):
        self.merger, self.source = merger, source

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        merger = self.merger
        for key in merger._keys:
            tau = merger._read(key, self.source) - merger._read(key, merger._base)
            yield merger._accumulated(key, tau), tau


def square(tensor: Tensor) -> float:
    """Σ x², in float64, without a copy."""
    return torch.linalg.vector_norm(tensor, dtype=torch.float64).item() ** 2


def tensors_of(value: Value) -> Iterable[Tensor]:
    """The tensors that are kept for one parameter."""
    return [value] if isinstance(value, Tensor) else value.values()


def _on(value: Value, device: torch.device) -> Value:
    return value.to(device) if isinstance(value, Tensor) else {part: tensor.to(device) for part, tensor in value.items()}


def over_layers(reports: list[dict[str, float]]) -> dict[str, float]:
    """Mean, minimum and maximum over layers of each reported quantity."""
    if not reports:
        return {}
    result = {}
    for quantity in dict.fromkeys(quantity for report in reports for quantity in report):
        values = [float(report[quantity]) for report in reports if quantity in report]
        mean = math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.nan
        result |= {f"{quantity}_mean": mean, f"{quantity}_min": min(values), f"{quantity}_max": max(values)}
    return result
