"""OPCM's scale λ, measured on a merge: what the formulas of `cmmlib.analysis.opcm_scale` need."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import torch
from torch import Tensor

from ..merging.merger import ContinualMerger
from ..models import layer_kinds, open_model
from ..suites.suite import Suite
from .orders import task_order


def measure_scale(suite: Suite, backbone: str, num_tasks: Iterable[int], seeds: Iterable[int]) -> pd.DataFrame:
    """Merge with OPCM and by weight average, and take the norms after every model.

    The merger gives merged models, not the sum A_t of what OPCM leaves of the task vectors.  But
    A_t = λ_t (merged_t − base), to the rounding of float32 weights.

    Returns:
        One row per number of tasks, order and step; the columns that `cmmlib.analysis.opcm_scale.scale_formulas` takes.
    """
    seeds = list(seeds)
    parts = [_one_order(suite, backbone, number, seed) for number in num_tasks for seed in seeds]
    return pd.concat(parts, ignore_index=True)


def _one_order(suite: Suite, backbone: str, num_tasks: int, seed: int) -> pd.DataFrame:
    base = open_model(suite.base(backbone))
    weights = {key: base.read(key).double() for key in base.shapes}
    kinds = layer_kinds(base)
    linear = [key for key in weights if kinds[key] == "linear"]
    other = [key for key in weights if kinds[key] != "linear"]
    opcm, average = (ContinualMerger(suite.base(backbone), method) for method in ("opcm", "weight_average"))
    before = {key: torch.zeros_like(weight) for key, weight in weights.items()}  # A of the step before
    rows = []
    for step, task in enumerate(task_order(suite.task_names(num_tasks), seed), 1):
        for merger in (opcm, average):
            merger.add(suite.checkpoint(backbone, task), name=task)
        merged, scale = open_model(opcm.merged()), opcm.history["lambda"][step]
        after = {key: scale * (merged.read(key).double() - weight) for key, weight in weights.items()}
        cleaned = {key: after[key] - before[key] for key in weights}
        rows.append(
            {
                "num_tasks": num_tasks,
                "seed": seed,
                "step": step,
                "lambda": scale,
                "mean_norm": opcm.history["task_vector_norm"].mean(),
                "sum_norm": step * average.history["merged_norm"][step],
                "linear_norm": _square(after, linear) ** 0.5,
                "cleaned_linear": _square(cleaned, linear),
                "cleaned_other": _square(cleaned, other),
            }
        )
        before = after
    return pd.DataFrame(rows)


def _square(tensors: dict[str, Tensor], keys: list[str]) -> float:
    return sum(tensors[key].square().sum().item() for key in keys)
