"""A merge of models that are all at hand, which leaves no state: in one pass over their files where the method allows it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..models.source import Model
from .accumulated import Draft, InMemory, Kept
from .apply_step import ApplyStep, run_walks, step_of
from .arrival import Arrival, Examined, arrive, require_new, warn_if_implausible
from .aside import warn_of
from .gathered import Gathered
from .merged import merged_tensor, merged_tensors, scale_of
from .model_step import following, merge_model
from .parameter_step import NormsUnknown
from .progress import Each
from .recipe import Recipe
from .standing import Standing
from .walk import Walked


class OnePass:
    """Several models merged into one, while the result is taken tensor by tensor.

    A ``separable`` method goes parameter by parameter: the base's tensor is read, then each model's in order, stepped,
    finished and given.  Where the finish is a scale that needs the norms of all parameters, the base is read once more,
    when they are known.  All other methods go model by model.  The numbers are those of `cmmlib.ContinualMerger`, in every
    bit.

    Args:
        recipe: of the merge.
        models: all models, in the order of merging.
        each: the parameters' names, for loops that show progress.
        apply: applies a layerwise method's step elsewhere.
        allow_repeat: let a model occur more than once; told by its content hash, so only where those are taken.
        scratch: on whose disk accumulated tensors lie that do not fit in memory; None to keep all in memory.

    Attributes:
        recipe, standing: those of the finished merge, when all tensors have been taken.

    Raises:
        FileNotFoundError, ValueError: as `cmmlib.ContinualMerger.add`, of all models, before a tensor is read.
    """

    def __init__(
        self,
        recipe: Recipe,
        models: Sequence[Model],
        *,
        each: Each,
        apply: ApplyStep | None = None,
        allow_repeat: bool = True,
        scratch: Path | None = None,
    ):
        self.recipe, self.standing = recipe, Standing()
        self._each, self._apply, self._allow_repeat, self._scratch = each, apply, allow_repeat, scratch
        self._arrivals = [arrive(recipe, model, None, number) for number, model in enumerate(models, 1)]
        self._said: set[str] = set()
        if not self._arrivals:
            raise ValueError("models: nothing to merge, the sequence is empty")

    def tensors(self, dtype: torch.dtype | None = None) -> Iterator[tuple[str, Tensor]]:
        """Every merged tensor by canonical name, sorted.

        Args:
            dtype: of the tensors; default: each as in the base.

        Raises:
            ValueError: NaN or infinity, a model equal to the base or to one before, or a value that the dtype cannot hold;
                perhaps only after the last tensor, so nothing may be visible until then.
        """
        if self.recipe.method.separable and not self.recipe.reference_compat and not self._scale_needs_norms():
            yield from self._at_once(dtype)
            return
        kept = self._keep()
        try:
            by_model = not self.recipe.method.separable or self.recipe.reference_compat
            yield from (self._model_by_model if by_model else self._scaled_at_the_end)(kept, dtype)
        finally:
            if isinstance(kept, Kept):
                kept.close()

    def _unknown(self) -> Standing:
        """What stands in the end, while its norms are not known."""
        return Standing(None, math.nan, ({},) * len(self._arrivals))

    def _scale_needs_norms(self) -> bool:
        if not self.recipe.method.scales:
            return False
        try:
            scale_of(self.recipe, self._unknown())
        except NormsUnknown:
            return True
        return False

    def _at_once(self, dtype: torch.dtype | None) -> Iterator[tuple[str, Tensor]]:
        recipe, unknown = self.recipe, self._unknown()
        gathered = self._gathered()
        walk = gathered.walk(Standing(), step=step_of(recipe, self._apply))

        def finished(key: str) -> tuple[Walked, Tensor]:
            walked = walk(key)
            assert walked.base is not None
            if walked.fixed:
                merged = walked.base.to(dtype or walked.base.dtype)
            else:
                here = replace(unknown, accumulated=InMemory(walked.values))
                merged = merged_tensor(recipe, here, key, walked.base, dtype)
            return walked._replace(base=None, values={}), merged

        for walked, merged in run_walks(recipe, finished, self._each("merging"), self._apply):
            gathered.take(walked)
            yield walked.key, merged
        self._conclude(gathered)

    def _scaled_at_the_end(self, kept: Draft, dtype: torch.dtype | None) -> Iterator[tuple[str, Tensor]]:
        gathered = self._gathered()
        walk = gathered.walk(Standing(), step=step_of(self.recipe, self._apply))
        for walked in run_walks(self.recipe, walk, self._each("merging"), self._apply):
            gathered.take(walked)
            for unit, value in walked.values.items():
                kept.put(unit, value)
        self._conclude(gathered)
        self.standing = replace(self.standing, accumulated=kept)
        yield from merged_tensors(self.recipe, self.standing, dtype, self._each("scaling"))
        self._require_unchanged()

    def _model_by_model(self, kept: Draft, dtype: torch.dtype | None) -> Iterator[tuple[str, Tensor]]:
        # a step takes a parameter's old value before it puts the new one in its place
        recipe, standing = self.recipe, Standing()
        for arrival in self._arrivals:
            recipe, new, examined = merge_model(recipe, standing, arrival, kept, apply=self._apply, each=self._each)
            self._accept(recipe, standing, arrival, examined)
            standing = new
        self.recipe, self.standing = recipe, standing
        yield from merged_tensors(recipe, standing, dtype, self._each("exporting"))
        self._require_unchanged()

    def _gathered(self) -> Gathered:
        return Gathered(self.recipe, [arrival.source for arrival in self._arrivals], hashing=self.recipe.hashing)

    def _keep(self) -> Draft:
        """Room for accumulated tensors: what the memory has beside the work in flight, or as much as it takes."""
        if self._scratch is None:
            return InMemory()
        recipe = self.recipe
        # two of the largest layers side by side, and the small ones between them, gain more than a temporary file costs
        in_flight = min(recipe.memory * 9 // 10, 9 * max(map(recipe.working_bytes, recipe.keys)) // 4)
        self.recipe = replace(recipe, memory=in_flight)
        return Kept((recipe.memory - in_flight) * 3 // 4, self._scratch)  # the rest for gaps between what is freed

    def _conclude(self, gathered: Gathered) -> None:
        """What stands after all models, whose parameters have all walked."""
        recipe, standing = gathered.recipe(), Standing()
        for number, arrival in enumerate(self._arrivals):
            examined = gathered.examined(number)
            self._accept(recipe, standing, arrival, examined)
            standing = following(recipe, standing, arrival, examined, gathered, number)
        self.recipe, self.standing = recipe, standing
        self._require_unchanged()

    def _accept(self, recipe: Recipe, standing: Standing, arrival: Arrival, examined: Examined) -> None:
        if not self._allow_repeat:
            require_new(arrival.source, examined, standing)
        warn_if_implausible(arrival.source, recipe.base, examined)
        warn_of(arrival.source, examined.aside, self._said)

    def _require_unchanged(self) -> None:
        for arrival in self._arrivals:
            arrival.require_unchanged(self.recipe.base)
