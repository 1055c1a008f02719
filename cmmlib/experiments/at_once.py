"""References computed from all models at once, scored like merged models and kept in the same store.

They are for context.  None of them can go on when a further model arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

import pandas as pd
import torch
from torch import Tensor

from ..analysis.at_once import (
    product_of_gaussians,
    task_arithmetic_at_once,
    ties_at_once,
    tsv_m_at_once,
    wudi_at_once,
)
from ..evaluation.scorer import ZeroShotScorer
from ..methods.sources import code_hash
from ..models import layer_kinds
from ..models.opening import open_model
from .code_graph import imported_modules, source_of
from .identity import deciding_modules, identity_at_once
from .regmean import regmean, tasks_moments
from .rows import all_rows
from .store import Results

TaskVector = Mapping[str, Tensor]
"""Parameter, without ``vision_model.`` → its task vector."""

AtOnce = Callable[[Sequence[TaskVector], Mapping[str, str]], Mapping[str, Tensor]]
"""From the task vectors of all models, and the kind of every parameter, to the merged task vector."""

REGMEAN = "RegMean (sees data)"


def layer_by_layer(
    merge: Callable[[Sequence[Tensor]], Tensor], taus: Sequence[TaskVector], kinds: Mapping[str, str], *, convolution: bool
) -> dict[str, Tensor]:
    """Merge every linear weight as a matrix, and the others by their mean.

    Args:
        merge: of the task vectors (m, n) of one weight.
        convolution: whether convolutions count as linear weights.
    """
    matrices = ("linear", "convolution") if convolution else ("linear",)
    merged = {}
    for name, like in taus[0].items():
        parts = [tau[name] for tau in taus]
        if kinds[name] in matrices:
            merged[name] = merge([part.flatten(1) for part in parts]).view_as(like)
        else:
            merged[name] = torch.stack(parts).mean(0)
    return merged


def at_once_rows(num_tasks: int) -> dict[str, AtOnce]:
    """Label → reference, with the hyper-parameters published for this number of tasks."""
    scaling = all_rows(num_tasks)["Task arithmetic"][1]["scaling_factor"]

    def task_arithmetic(taus: Sequence[TaskVector], kinds: Mapping[str, str]) -> dict[str, Tensor]:
        return {name: task_arithmetic_at_once([tau[name] for tau in taus], scaling) for name in taus[0]}

    def ties(taus: Sequence[TaskVector], kinds: Mapping[str, str]) -> dict[str, Tensor]:
        return ties_at_once(taus)

    return {
        f"Task arithmetic (λ {scaling:g}, at once)": task_arithmetic,
        "TIES (λ 1, at once)": ties,
        "WUDI (as published)": partial(layer_by_layer, wudi_at_once, convolution=False),
        "TSV-M (r/T, as published)": partial(layer_by_layer, tsv_m_at_once, convolution=False),
        "Product of Gaussians (at once)": partial(layer_by_layer, product_of_gaussians, convolution=True),
    }


@cache
def _merging_code() -> str:
    """Hash of what merges; the code that reads and scores is part of every identity."""
    merging = {__name__, product_of_gaussians.__module__, regmean.__module__}
    kept_apart = [*deciding_modules(), Results.__module__, all_rows.__module__, identity_at_once.__module__]
    return code_hash(map(source_of, imported_modules(merging, without=kept_apart)))


def at_once_accuracies(scorer: ZeroShotScorer, tasks: Sequence[str], results: Results) -> pd.DataFrame:
    """ACC of `at_once_rows` and of `cmmlib.experiments.regmean`; what ``results`` lacks is computed.

    Args:
        tasks: whose models are merged.

    Returns:
        Columns ``label``, ``num_tasks`` and ``acc`` in per cent.
    """
    suite, backbone = scorer.suite, scorer.backbone
    base = open_model(suite.base(backbone))
    kinds = layer_kinds(base)
    start = {name: base.read(name).float() for name in kinds}
    models = {task: open_model(suite.checkpoint(backbone, task)) for task in tasks}
    towers = {task: {name: model.read(name).float() for name in start} for task, model in models.items()}
    taus = [{name: tower[name] - start[name] for name in start} for tower in towers.values()]

    def sees_data(taus: Sequence[TaskVector], kinds: Mapping[str, str]) -> dict[str, Tensor]:
        return regmean(taus, list(tasks_moments(scorer, towers).values()))

    code = _merging_code()
    found = []
    for label, merge in (at_once_rows(len(tasks)) | {REGMEAN: sees_data}).items():
        model = identity_at_once(suite, backbone, label, tasks, code)
        scores = results.get(model)
        if not scores.keys() >= set(tasks):
            merged = merge(taus, kinds)
            scores = scorer.score({name: start[name] + merged[name] for name in start}, tasks)
            results.put(model, scores)
        found.append((label, len(tasks), sum(scores[task].accuracy for task in tasks) / len(tasks)))
    return pd.DataFrame(found, columns=["label", "num_tasks", "acc"])
