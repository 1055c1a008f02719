"""One parameter's step: what is accumulated, the base, the model and the context in; the new value and a report out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

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
        base, model: the parameter of the base and of the model that arrives.
        context: all else that the method may know; ``context.base`` is filled in by the step.
    """

    accumulated: Value | None
    base: Tensor
    model: Tensor
    context: Context


@dataclass(frozen=True)
class ParameterStep:
    """A method with its hyper-parameters, as a function of `Inputs`; may be sent to another process."""

    method: Method
    params: Mapping[str, Any]

    def __call__(self, inputs: Inputs) -> tuple[Value, Report]:
        """The new accumulated value, and the method's report.

        Raises:
            ValueError: the method gave NaN or infinity, or a tensor of another shape.
        """
        tau = inputs.model - inputs.base
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
        finite = all(math.isfinite(square(part)) for part in tensors_of(value))  # isfinite().all() takes 20 times as long
        if shape != tuple(tau.shape) or not finite:
            raise ValueError(
                f"method {self.method.name!r} returned a tensor of shape {shape} for {context.name!r} of shape "
                f"{tuple(tau.shape)}, finite: {finite}; a method bug or extreme parameters"
            )
        return value, report


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


def square(tensor: Tensor) -> float:
    """Σ x², in float64, without a copy."""
    return torch.linalg.vector_norm(tensor, dtype=torch.float64).item() ** 2
