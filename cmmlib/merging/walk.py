"""One parameter's way through one model or several: each is read once, checked, hashed and stepped, on one thread.

This is the one place where stored tensors meet a method. What differs between a merge that grows model by model and one
that is made in one pass is how many models a walk goes through, and who holds what it gives.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..methods import Context, Value
from ..methods.weight_average import weight_average
from ..models.content_hash import entry_of
from ..models.source import Source
from .parameter_step import Inputs, Report, Step, accumulated_of, context_of, in_rows, square
from .recipe import Recipe
from .standing import Standing


class Seen(NamedTuple):
    """What one model's part of a walk tells.

    Attributes:
        square: ‖τ‖² of the parameter, in float64; 0 where it stays the base's.
        merged_square: ‖accumulated‖² after this model; NaN where it was not taken.
        entry: what it adds to the model's content hash, if that is taken.
        reports: the method's quantities, of every layer that has some.
        read_seconds, step_seconds: reading and checking; the method's step.
    """

    square: float
    merged_square: float
    entry: bytes | None
    reports: tuple[Report, ...]
    read_seconds: float
    step_seconds: float


class Walked(NamedTuple):
    """What a walk gives.

    Attributes:
        key: the parameter's canonical name.
        base: the base's tensor, as stored; whoever has no more use for it puts None there.
        base_square, base_entry: ‖W0‖², and what it adds to the base's content hash, if that is taken.
        seen: of every model, in order.
        values: what is accumulated after the last, by unit; nothing for what stays the base's.
        fixed: the base holds infinite values there (a mask), and so do the models.
        looked: what looking at it gave.
    """

    key: str
    base: Tensor | None
    base_square: float
    base_entry: bytes | None
    seen: tuple[Seen, ...]
    values: dict[str, Value]
    fixed: bool
    looked: tuple[Any, ...] = ()


Look = Callable[[Value, Tensor], Iterable[Any]]
"""A function of what is accumulated (zeros before the first model) and of the task vector, of one layer."""


@dataclass(frozen=True)
class Walk:
    """A function of a parameter's name.

    Attributes:
        recipe, standing: the merge, and what stands before the first of the models.
        sources: the models.
        step: the step of a layer; None to change nothing.
        look: looks at every layer that the method sees, before the step; for a single model.
        survey: what the method's survey returned, for a single model.
        hash_models, hash_base: which contents are hashed on the way.
    """

    recipe: Recipe
    standing: Standing
    sources: Sequence[Source]
    step: Step | None = None
    look: Look | None = None
    survey: Any = None
    hash_models: bool = False
    hash_base: bool = False

    def __call__(self, key: str) -> Walked:
        """Walk.

        Raises:
            ValueError: NaN or infinity, in a model, in the base, or as the result of a step.
        """
        recipe, clock = self.recipe, time.perf_counter
        at = clock()
        base = recipe.base.read(key)
        base_entry = entry_of(key, base) if self.hash_base else None
        w0 = recipe.computed(base)
        units = recipe.units.get(key, []) if self.step or (self.look and key in recipe.kinds) else []
        values: dict[str, Value | None] = {unit: accumulated_of(recipe, self.standing, unit) for unit in units}
        seen: list[Seen] = []
        looked: list[Any] = []
        fixed = False
        for number, source in enumerate(self.sources):
            new = source.read(key)
            entry = entry_of(key, new) if self.hash_models and source.identity is None else None
            tau = recipe.computed(new) - w0
            total = square(tau)
            if not math.isfinite(total):
                self._require_mask(key, base, new, source)
                fixed, total, values = True, 0.0, {}
            del new
            read, at = clock() - at, clock()
            if self.look and values:
                for old, change in zip(values.values(), recipe.layers[key].views(tau), strict=True):
                    looked += self.look(torch.zeros_like(change) if old is None else old, change)
            merged_square, reports = self._stepped(key, number, tau, w0, values) if values and self.step else (0.0, ())
            stepped, at = clock() - at, clock()
            seen.append(Seen(total, merged_square, entry, reports, read, stepped))
        # for a plausibility check alone, so float32 will do
        base_norm = 0.0 if fixed else torch.linalg.vector_norm(w0).item()
        done = {unit: value for unit, value in values.items() if value is not None and self.step}
        return Walked(key, base, base_norm * base_norm, base_entry, tuple(seen), done, fixed, tuple(looked))

    def _stepped(
        self, key: str, number: int, tau: Tensor, w0: Tensor, values: dict[str, Value | None]
    ) -> tuple[float, tuple[Report, ...]]:
        """Step all layers of one parameter; their new values take the place of the old ones."""
        recipe, t = self.recipe, len(self.standing.models) + number + 1
        if key not in recipe.kinds:  # statistics of BatchNorm, which are averaged whatever the method
            (before,) = values.values()
            assert before is None or isinstance(before, Tensor)
            values[key] = in_rows(weight_average(torch.zeros_like(tau) if before is None else before, tau, Context(t)))
            return 0.0, ()
        assert self.step is not None
        squares: list[float] = []
        reports: list[Report] = []
        layer, about = recipe.layers[key], {"kind": recipe.kinds[key], "survey": self.survey}
        # through several models, a norm over all parameters is known only when all have walked
        standing = self.standing if len(self.sources) == 1 else replace(self.standing, norm=math.nan)
        # what an elementwise method has in between, nobody looks at; what is not finite shows in the end
        measured = recipe.method.layerwise or number == len(self.sources) - 1
        for unit, change, old in zip(recipe.units[key], layer.views(tau), layer.views(w0), strict=True):
            context = context_of(recipe, standing, t, name=unit, **about)
            result = self.step(Inputs(values[unit], change, old, context, spent=number > 0), measured=measured)
            values[unit] = result.value
            squares.append(result.square)
            reports += [result.report] if result.report else []
        return math.fsum(squares), tuple(reports)

    def _require_mask(self, key: str, base: Tensor, new: Tensor, source: Source) -> None:
        if not base.isinf().any() or not torch.equal(base, new):
            guilty = source if not torch.isfinite(new).all() else self.recipe.base
            raise ValueError(f"{guilty.label}: {guilty.names[key]!r} holds NaN or infinity; the checkpoint is broken")
