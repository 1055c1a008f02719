"""One parameter's step: what is accumulated, the task vector, the base, the context in; the new value, a report out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..methods import Context, Method, Value
from .accumulated import on_device, tensors_of
from .recipe import Recipe
from .standing import Standing

Report = Mapping[str, float]
"""A method's own quantities of one step of one parameter."""


class Inputs(NamedTuple):
    """What one step of one parameter is made of, in the method's view (`cmmlib.merging.recipe.Recipe.views`).

    Attributes:
        accumulated: what the method has accumulated so far; None before the first model.
        task_vector: the parameter of the model that arrives minus the base's.
        base: the base's parameter.
        context: all else that the method may know; ``context.base`` is filled in by the step.
    """

    accumulated: Value | None
    task_vector: Tensor
    base: Tensor
    context: Context


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
        accumulated = torch.zeros_like(tau) if inputs.accumulated is None else inputs.accumulated
        context = replace(inputs.context, base=inputs.base)
        result = self.method.step(accumulated, tau, context, **self.params)
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
            whole = math.isnan(context.running_norm)  # one that is not known to the step
            raise ValueError(
                f"method {self.method.name!r} returned a tensor of shape {shape} for {context.name!r} of shape "
                f"{tuple(tau.shape)}, finite: {math.isfinite(total)}; a method bug or extreme parameters"
                + (", or a step that needs norms of the whole model and is registered as separable" if whole else "")
            )
        return Stepped(value, total, report)


def in_rows(value: Value) -> Value:
    """The same in memory as it would come back from a file, so that what follows is the same in every bit."""
    return value.contiguous() if isinstance(value, Tensor) else {part: x.contiguous() for part, x in value.items()}


def context_of(recipe: Recipe, standing: Standing, t: int, **about_parameter: Any) -> Context:
    """What a method may know at model ``t``, of the whole model and, by ``about_parameter``, of one parameter."""
    norms = standing.task_vector_norms
    return Context(
        t,
        mean_norm=math.fsum(norms) / len(norms) if norms else 0.0,
        running_norm=standing.norm,
        reference_compat=recipe.reference_compat,
        **about_parameter,
    )


def accumulated_of(recipe: Recipe, standing: Standing, unit: str) -> Value | None:
    """What has been accumulated for one parameter, or one of its layers, on the device."""
    return None if standing.accumulated is None else on_device(standing.accumulated[unit], recipe.device)


_BLOCK = 1 << 17  # entries that stay in a core's cache as float64


def square(tensor: Tensor) -> float:
    """Σ x², in float64; NaN or infinite if an entry is.

    A norm in float64 of a float32 tensor takes torch twice as long as blocks that are widened in the cache.
    """
    if tensor.dtype is torch.float64 or tensor.device.type != "cpu" or not tensor.is_contiguous():
        norm = torch.linalg.vector_norm(tensor, dtype=torch.float64).item()
        return norm * norm
    flat = tensor.detach().reshape(-1)
    wide = torch.empty(min(_BLOCK, flat.numel()), dtype=torch.float64)
    sums = []
    for block in flat.split(_BLOCK):
        x = wide[: block.numel()].copy_(block)
        sums.append(torch.dot(x, x).item())
    return math.fsum(sums)
