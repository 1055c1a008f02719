"""References computed from all models at once, scored like merged models and kept in the same store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from torch import Tensor

from ..evaluation.scorer import ZeroShotScorer
from ..methods.registry import code_hash
from ..models.opening import open_model
from .code_graph import imported_modules, source_of
from .identity import identity_at_once
from .regmean import regmean, tasks_moments
from .store import Results

TaskVector = Mapping[str, Tensor]
"""Parameter, without ``vision_model.`` → its task vector."""

AtOnce = Callable[[Sequence[TaskVector]], Mapping[str, Tensor]]
"""From the task vectors of all models to the merged one."""

REGMEAN = "RegMean (sees data)"


def at_once_accuracies(
    scorer: ZeroShotScorer, rows: Mapping[str, AtOnce], tasks: Sequence[str], results: Results
) -> pd.DataFrame:
    """ACC of references that merge all models at once, and of `cmmlib.experiments.regmean` under the label ``REGMEAN``.

    Args:
        rows: label → function.  The label belongs to the identity of the scores, so it must say what the function is.
        tasks: whose models are merged.

    Returns:
        Columns ``label``, ``num_tasks`` and ``acc`` in per cent.
    """
    suite, backbone = scorer.suite, scorer.backbone
    base = open_model(suite.base(backbone))
    start = {name: base.read(name).float() for name in base.names}
    models = {task: open_model(suite.checkpoint(backbone, task)) for task in tasks}
    towers = {task: {name: model.read(name).float() for name in start} for task, model in models.items()}
    taus = [{name: tower[name] - start[name] for name in start} for tower in towers.values()]

    def sees_data(taus: Sequence[TaskVector]) -> Mapping[str, Tensor]:
        return regmean(taus, list(tasks_moments(scorer, towers).values()))

    found = []
    for label, merge in {**rows, REGMEAN: sees_data}.items():
        code = code_hash(map(source_of, imported_modules([merge.__module__])))
        model = identity_at_once(suite, backbone, label, tasks, code)
        scores = results.get(model)
        if not scores.keys() >= set(tasks):
            merged = merge(taus)
            scores = scorer.score({name: start[name] + merged[name] for name in start}, tasks)
            results.put(model, scores)
        found.append((label, len(tasks), sum(scores[task].accuracy for task in tasks) / len(tasks)))
    return pd.DataFrame(found, columns=["label", "num_tasks", "acc"])
