"""From tidy scores of runs to the array and the metrics of every run.

Scores have one row each and the columns ``label``, ``num_tasks``, ``seed`` (together: the run), ``step`` (1-based),
``merged`` (the task merged in that step), ``position`` (of the scored task in the order, 1-based), ``task`` and
``accuracy`` in per cent.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import metrics

RUN = ["label", "num_tasks", "seed"]
"""The columns that tell one run from another."""


def accuracy_array(scores: pd.DataFrame) -> NDArray:
    """``R`` [orders, steps, tasks] in per cent from the scores of one label and number of tasks; NaN where not measured.

    Orders are sorted by seed.
    """
    seeds = sorted(scores["seed"].unique())
    size = int(scores["num_tasks"].iloc[0])
    array = np.full((len(seeds), size, size), np.nan)
    array[scores["seed"].map(seeds.index), scores["step"] - 1, scores["position"] - 1] = scores["accuracy"]
    return array


def per_run_metrics(scores: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    """What the field reports of every run, in per cent or points; NaN where it needs steps that were not scored.

    Args:
        scores: see the top of this module.
        references: ``pretrained`` and ``individual`` accuracy in per cent of at least those tasks, indexed by ``task``.

    Returns:
        Columns ``label``, ``num_tasks``, ``seed``, ``acc``, ``bwt``, ``forgetting``, ``plasticity``, ``forward_transfer``,
        ``normalized_acc``; see `cmmlib.analysis.metrics`.
    """
    rows = []
    for run, part in scores.groupby(RUN, sort=False):
        R = accuracy_array(part)[0]
        bounds = references.loc[_order(part)]
        values = (
            metrics.average_accuracy(R),
            metrics.backward_transfer(R),
            metrics.forgetting(R),
            metrics.plasticity(R),
            metrics.forward_transfer(R, bounds["pretrained"]),
            100 * metrics.normalized_accuracy(R, bounds["individual"]),
        )
        rows.append((*run, *map(float, values)))
    names = ["acc", "bwt", "forgetting", "plasticity", "forward_transfer", "normalized_acc"]
    return pd.DataFrame(rows, columns=[*RUN, *names])


def per_step_metrics(scores: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    """The points of the curves: per run and step the mean accuracy on seen and on unseen tasks, in per cent.

    Args:
        scores, references: as in `per_run_metrics`.

    Returns:
        Columns ``label``, ``num_tasks``, ``seed``, ``step``; ``seen``, ``unseen``; ``pretrained``, ``individual``: the mean
        accuracy of those models on the seen tasks; ``unseen_change``, unseen minus that of the pretrained model, in points.
    """
    parts = []
    for run, part in scores.groupby(RUN, sort=False):
        R = accuracy_array(part)[0]
        steps = np.arange(1, len(R) + 1)
        # a model that never changes: its accuracy on each task stands in every row
        pretrained, individual = (
            np.tile(references.loc[_order(part), name], (len(R), 1)) for name in ("pretrained", "individual")
        )
        values = {
            "seen": metrics.seen_accuracy(R),
            "unseen": metrics.unseen_accuracy(R),
            "pretrained": metrics.seen_accuracy(pretrained),
            "individual": metrics.seen_accuracy(individual),
            "unseen_change": metrics.unseen_accuracy(R - pretrained),
        }
        parts.append(pd.DataFrame(dict(zip(RUN, run, strict=True)) | {"step": steps} | values))
    return pd.concat(parts, ignore_index=True)


def _order(scores: pd.DataFrame) -> list[str]:
    return scores.drop_duplicates("position").sort_values("position")["task"].tolist()
