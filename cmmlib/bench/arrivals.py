"""Methods as models arrive: some keep a state of constant size, others keep all models and merge them again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Protocol

from ..experiments.arrival_cost import kept_bytes
from ..merging.merger import ContinualMerger
from .at_once import dop_all_anew, ties_anew
from .random_towers import LINEAR, Model
from .timing import Work

STREAMING: dict[str, tuple[str, dict[str, Any]]] = {
    "Weight average": ("weight_average", {}),
    "OPCM": ("opcm", {}),
    "DOP-exact (α=0.8)": ("dop", {"solver": "exact", "alpha": 0.8}),
    "DOP-all (u)": ("dop_all", {"svd_proj_space": "u"}),
    "WUDI": ("wudi", {"pull": "zero"}),
    "Kronecker": ("kronecker", {}),
}
AT_ONCE: dict[str, Callable[[Model, list[Model]], Model]] = {
    "DOP-all (u), merged anew": dop_all_anew,
    "TIES, all at once": ties_anew,
}


class Merging(Protocol):
    """One method.  The pretrained model, which all methods share, is not counted."""

    keeps_models: bool

    def arrive(self, model: Model) -> Work:
        """The work of computing the merged model's parameters.  It may be repeated, with the same result."""
        ...

    @property
    def kept(self) -> int:
        """Bytes that are kept until the next model."""
        ...


class Streaming:
    """A `ContinualMerger`."""

    keeps_models = False

    def __init__(self, base: Model, method: str, **params: Any) -> None:
        self.merger = ContinualMerger(base, method, linear=LINEAR, **params)

    def arrive(self, model: Model) -> Work:
        """See `Merging`."""
        before = self.merger

        def add() -> None:
            after = copy.copy(before)  # `add` changes only the copy, so the work can be repeated
            self.merger = after.add(model)
            self.merger.merged()  # a method of sums solves them only now

        return add

    @property
    def kept(self) -> int:
        """See `Merging`."""
        return kept_bytes(self.merger)


class AtOnce:
    """Keeps all models, and merges them again by a function of all."""

    keeps_models = True

    def __init__(self, base: Model, merge: Callable[[Model, list[Model]], Model]) -> None:
        self.base, self.merge = base, merge
        self.models: list[Model] = []

    def arrive(self, model: Model) -> Work:
        """See `Merging`."""
        self.models.append(model)
        return lambda: self.merge(self.base, self.models)

    @property
    def kept(self) -> int:
        """See `Merging`."""
        return sum(tensor.nbytes for model in self.models for tensor in model.values())


def merging(label: str, base: Model) -> Merging:
    """The method with this label in `STREAMING` or `AT_ONCE`, before the first model."""
    if label in AT_ONCE:
        return AtOnce(base, AT_ONCE[label])
    method, params = STREAMING[label]
    return Streaming(base, method, **params)
