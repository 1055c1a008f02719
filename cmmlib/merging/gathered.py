"""What the walks of all parameters add up to, for each model and for the base."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..models.content_hash import DIGESTS, ContentHash, content_hash
from ..models.layers import Layer
from ..models.source import Source
from .arrival import Examined
from .aside import aside_of
from .parameter_step import Report
from .recipe import Recipe
from .standing import Standing
from .walk import Seen, Walk, Walked


class Gathered:
    """Takes what walks give, one parameter after the other in the order of their names, and lets the tensors go.

    Args:
        recipe: of the merge.
        sources: the models that the walks go through.
        hashing: whether contents are hashed; by the scheme of today on the way.
    """

    def __init__(self, recipe: Recipe, sources: Sequence[Source], *, hashing: bool):
        self._recipe, self._sources, self._hashing = recipe, sources, hashing
        self._hash_base = hashing and (recipe.base_hash is None or recipe.recorded)
        self._seen: list[list[Seen]] = [[] for _ in sources]
        self._averaged: list[set[str]] = [set() for _ in sources]
        self._hashes = [ContentHash() for _ in sources]
        self._base_hash = ContentHash()
        self._found: str | None = None
        self._base_squares: list[float] = []
        self._fixed: set[str] = set()

    def walk(self, standing: Standing, **how: Any) -> Walk:
        """The walk whose results are taken; see `Walk` for the rest of its arguments."""
        on_the_way = self._recipe.hash_scheme == DIGESTS
        return Walk(
            self._recipe,
            standing,
            self._sources,
            **how,
            hash_models=self._hashing and on_the_way,
            hash_base=self._hash_base and on_the_way,
        )

    def take(self, walked: Walked) -> None:
        """Take the next parameter's."""
        statistic = self._recipe.layers[walked.key].kind == "statistic"
        for seen, averaged, digest, one in zip(self._seen, self._averaged, self._hashes, walked.seen, strict=True):
            if one.entry is not None:
                digest.take(one.entry)
            if statistic and one.square:
                averaged.add(walked.key)
            seen.append(one._replace(square=0.0, entry=None) if statistic else one._replace(entry=None))
        if walked.base_entry is not None:
            self._base_hash.take(walked.base_entry)
        if not statistic:
            self._base_squares.append(walked.base_square)
        if walked.fixed:
            self._fixed.add(walked.key)

    def recipe(self) -> Recipe:
        """The recipe with what was found: the base's hash, and what stays as it is in the base.

        Raises:
            ValueError: another base than the recorded one.
        """
        recipe, found = self._recipe, self._found_base_hash()
        if recipe.base_hash is not None and found not in (None, recipe.base_hash):
            raise recipe.wrong_base("another content")
        if recipe.base_hash is None:
            recipe = replace(recipe, base_hash=found)
        fixed = {key for key in self._fixed if recipe.layers[key].kind != "fixed"}
        return replace(recipe, layers={**recipe.layers, **dict.fromkeys(fixed, Layer("fixed"))}) if fixed else recipe

    def examined(self, number: int) -> Examined:
        """What was seen of a model.

        Raises:
            ValueError: it equals the base.
        """
        base, source = self._recipe.base, self._sources[number]
        norm = math.sqrt(math.fsum(seen.square for seen in self._seen[number]))
        if norm == 0:
            raise ValueError(f"{source.label} equals the base {base.label.removeprefix('base ')}: there is nothing to merge")
        base_norm = math.sqrt(math.fsum(self._base_squares))
        return Examined(norm, base_norm, self._content(number), aside_of(base, source, self._averaged[number]))

    def merged_norm(self, number: int) -> float:
        """‖accumulated‖ over all parameters after a model."""
        return math.sqrt(math.fsum(seen.merged_square for seen in self._seen[number]))

    def reports(self, number: int) -> list[Report]:
        """The method's quantities of all layers."""
        return [report for seen in self._seen[number] for report in seen.reports]

    def seconds(self, number: int) -> dict[str, float]:
        """Seconds of reading and of merging a model, added up over threads."""
        seen = self._seen[number]
        return {
            "read_seconds": math.fsum(one.read_seconds for one in seen),
            "merge_seconds": math.fsum(one.step_seconds for one in seen),
        }

    def _content(self, number: int) -> str | None:
        scheme, source = self._recipe.hash_scheme, self._sources[number]
        if not self._hashing:
            return None
        if source.identity is not None or scheme != DIGESTS:
            return content_hash(source, scheme)
        return self._hashes[number].hexdigest()

    def _found_base_hash(self) -> str | None:
        scheme = self._recipe.hash_scheme
        if not self._hash_base:
            return None
        if self._found is None:
            self._found = self._base_hash.hexdigest() if scheme == DIGESTS else content_hash(self._recipe.base, scheme)
        return self._found
