"""One parameter's step: what is accumulated, the task vector, the base, the context in; the new value, a report out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..methods import Context, Method, Value
from .accumulated import on_device, tensors_of
from .recipe import Recipe
from .standing import Standing

BLOCK = 1 << 17
"""Entries that stay in a core's cache, even several times and as float64."""

Report = Mapping[str, float]
"""A method's own quantities of one step of one parameter."""


class Inputs(NamedTuple):
    """What one step of one parameter is made of, in the method's view (`cmmlib.merging.recipe.Recipe.views`).

    Attributes:
        accumulated: what the method has accumulated so far; None before the first model.
        task_vector: the parameter of the model that arrives minus the base's.
        base: the base's parameter.
        context: all else that the method may know; ``context.base`` is filled in by the step.
        spent: nobody needs what is accumulated any more: the new value may take its memory.
    """

    accumulated: Value | None
    task_vector: Tensor
    base: Tensor
    context: Context
    spent: bool = False


class Stepped(NamedTuple):
    """What one step of one parameter gives.

    Attributes:
        value: what is accumulated now, in rows.
        square: ‖value‖², in float64.
        report: the method's own quantities.
    """

    value: Value
    square: float
    report: Report


class Step(Protocol):
    """A function of `Inputs`; see `ParameterStep`."""

    def __call__(self, inputs: Inputs, *, measured: bool = True) -> Stepped:
        """One step."""


@dataclass(frozen=True)
class ParameterStep:
    """A method with its hyper-parameters, as a function of `Inputs`; may be sent to another process."""

    method: Method
    params: Mapping[str, Any]

    def __call__(self, inputs: Inputs, *, measured: bool = True) -> Stepped:
        """The new accumulated value, its norm, and the method's report.

        Args:
            measured: take the norm, and see that all is finite; without it the norm is NaN.

        Raises:
            ValueError: the method gave NaN or infinity, or a tensor of another shape.
            TypeError: it gave something else.
        """
        tau = inputs.task_vector
        if inputs.accumulated is None:
            inputs = inputs._replace(accumulated=torch.zeros_like(tau), spent=True)
        context = _with_base(inputs.context, inputs.base)
        result = self._result(inputs, context)
        value, report = result if isinstance(result, tuple) else (result, {})
        parts = [value] if not isinstance(value, dict) else list(value.values())
        if not parts or not all(isinstance(part, Tensor) for part in parts):
            kinds = ", ".join(sorted({type(part).__name__ for part in parts})) or "an empty dict"
            raise TypeError(
                f"method {self.method.name!r} returned {kinds} for {context.name!r}; expected a tensor or a dict of tensors "
                "alone, or with a dict of numbers: value, {'quantity': number}"
            )
        shape = tuple(value.shape) if isinstance(value, Tensor) else tuple(tau.shape)  # parts may have any shape
        value = in_rows(value)
        total = math.fsum(square(part) for part in tensors_of(value)) if measured else math.nan
        if shape != tuple(tau.shape) or (measured and not math.isfinite(total)):
            raise ValueError(
                f"method {self.method.name!r} returned a tensor of shape {shape} for {context.name!r} of shape "
                f"{tuple(tau.shape)}, finite: {math.isfinite(total)}; a method bug or extreme parameters"
            )
        return Stepped(value, total, report)

    def _result(self, inputs: Inputs, context: Context) -> Any:
        accumulated, tau = inputs.accumulated, inputs.task_vector
        if not self.method.elementwise or tau.numel() <= BLOCK or not isinstance(accumulated, Tensor):
            return self.method.step(accumulated, tau, context, **self.params)
        # new memory, which the system maps and clears, costs as much as the arithmetic
        in_place = inputs.spent and accumulated.is_contiguous()
        merged = accumulated if in_place else torch.empty_like(tau, memory_format=torch.contiguous_format)
        parts = (in_blocks(tensor) for tensor in (merged, accumulated, tau, inputs.base))
        for place, before, change, base in zip(*parts, strict=True):
            place.copy_(self.method.step(before, change, _with_base(context, base), **self.params))
        return merged.view(tau.shape)


def in_blocks(tensor: Tensor, size: int = BLOCK) -> Sequence[Tensor]:
    """The entries in row-major order, in pieces of a size that stays in a core's cache while something is done with them."""
    return tensor.detach().reshape(-1).split(size)


def in_rows(value: Value) -> Value:
    """The same in memory as it would come back from a file, so that what follows is the same in every bit."""
    return value.contiguous() if isinstance(value, Tensor) else {part: x.contiguous() for part, x in value.items()}


class NormsUnknown(ValueError):
    """A method asks for a norm over the whole model while parameters are walked one by one."""


class _OfOneParameter(Context):
    """A context without norms over the whole model."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("mean_norm", "running_norm"):
            raise NormsUnknown(f"{name} is a norm of the whole model, and the method is registered as separable")
        return super().__getattribute__(name)


def context_of(recipe: Recipe, standing: Standing, t: int, **about_parameter: Any) -> Context:
    """What a method may know at model ``t``, of the whole model and, by ``about_parameter``, of one parameter.

    Where what stands has no norm yet, to ask for one is an error.
    """
    about = {"reference_compat": recipe.reference_compat, **about_parameter}
    if math.isnan(standing.norm):
        return _OfOneParameter(t, **about)
    norms = standing.task_vector_norms
    mean = math.fsum(norms) / len(norms) if norms else 0.0
    return Context(t, mean_norm=mean, running_norm=standing.norm, **about)


def _with_base(context: Context, base: Tensor) -> Context:
    """`dataclasses.replace`, which would ask for the norms."""
    new = copy(context)
    object.__setattr__(new, "base", base)
    return new


def accumulated_of(recipe: Recipe, standing: Standing, unit: str) -> Value | None:
    """What has been accumulated for one parameter, or one of its layers, on the device."""
    return None if standing.accumulated is None else on_device(standing.accumulated[unit], recipe.device)


def square(tensor: Tensor) -> float:
    """Σ x², in float64; NaN or infinite if an entry is.

    A norm in float64 of a float32 tensor takes torch twice as long as blocks that are widened in the cache.
    """
    if tensor.dtype is torch.float64 or tensor.device.type != "cpu" or not tensor.is_contiguous():
        norm = torch.linalg.vector_norm(tensor, dtype=torch.float64).item()
        return norm * norm
    wide = torch.empty(min(BLOCK, tensor.numel()), dtype=torch.float64)
    sums = []
    for block in in_blocks(tensor):
        x = wide[: block.numel()].copy_(block)
        sums.append(torch.dot(x, x).item())
    return math.fsum(sums)
