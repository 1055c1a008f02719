"""What one more model costs: the time it takes to merge it, and the bytes that are kept until the next."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from torch import Tensor

from ..merging.merge import merge
from ..merging.merger import ContinualMerger
from ..models.opening import open_model
from ..models.source import Model

AT_ONCE = "all models at once"


def kept_bytes(merger: ContinualMerger) -> int:
    """The bytes of what a merger has accumulated.  The pretrained model is everyone's and not counted."""
    accumulated = merger.standing.accumulated or {}
    values = [accumulated[key] for key in accumulated]
    return sum(t.nbytes for value in values for t in ([value] if isinstance(value, Tensor) else value.values()))


def arrival_costs(
    base: Model, models: Sequence[Model], methods: Mapping[str, tuple[str, dict[str, Any]]], anew: str
) -> pd.DataFrame:
    """Time and memory as models arrive, of methods that keep a state and of one that merges anew from all models.

    Args:
        base: the pretrained model.
        models: in the order of arrival.
        methods: label → name and hyper-parameters of a method.
        anew: the method that merges anew, with its defaults; it keeps all models.

    Returns:
        A row per method and number of models: ``method`` (a label, or `AT_ONCE`), ``models``, ``seconds`` for one more
        model, and ``kept``, what is held until the next, as a multiple of the pretrained model's size.
    """
    source = open_model(base)
    size = sum(source.read(key).nbytes for key in source.shapes)
    rows = []
    for label, (method, settings) in methods.items():
        merger = ContinualMerger(base, method, **settings)
        for number, model in enumerate(models, 1):
            begin = time.perf_counter()
            merger.add(model)
            rows.append((label, number, time.perf_counter() - begin, kept_bytes(merger) / size))
    for number in range(1, len(models) + 1):
        begin = time.perf_counter()
        merge(base, models[:number], method=anew)
        rows.append((AT_ONCE, number, time.perf_counter() - begin, float(number)))
    return pd.DataFrame(rows, columns=["method", "models", "seconds", "kept"])
