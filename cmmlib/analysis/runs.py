"""From tidy scores of runs to the accuracy array and the metrics of every run.

Scores have one row each, with the columns ``label``, ``num_tasks``, ``seed`` (together: the run), ``step`` (from 1),
``merged`` (the task merged in that step), ``position`` (of the scored task in the order, from 1), ``task`` and ``accuracy``
(in per cent).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import metrics

RUN = ["label", "num_tasks", "seed"]
"""The columns that identify a run."""


def accuracy_array(scores: pd.DataFrame) -> NDArray:
    """The accuracy array ``R`` [orders, steps, tasks] in per cent, see `cmmlib.analysis.metrics`; NaN where not measured.

    Args:
        scores: of one label and one number of tasks; the orders are sorted by seed.
    """
    seeds = sorted(scores["seed"].unique())
    size = int(scores["num_tasks"].iloc[0])
    array = np.full((len(seeds), size, size), np.nan)
    array[scores["seed"].map(seeds.index), scores["step"] - 1, scores["position"] - 1] = scores["accuracy"]
    return array


def per_run_metrics(scores: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    """The usual metrics of every run; NaN if a metric needs steps that were not scored.

    Args:
        scores: see the top of this module.
        references: columns ``pretrained`` and ``individual``, accuracies in per cent, indexed by ``task``.

    Returns:
        Columns ``label``, ``num_tasks``, ``seed``; ``acc``, ``plasticity`` and ``normalized_acc`` in per cent; ``bwt``,
        ``forgetting`` and ``forward_transfer`` in points; see `cmmlib.analysis.metrics`.
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
    """The points of the curves: mean accuracies on seen and on unseen tasks, one row per run and step.

    Args:
        scores, references: as in `per_run_metrics`.

    Returns:
        Columns ``label``, ``num_tasks``, ``seed``, ``step``; ``seen`` and ``unseen`` in per cent; ``pretrained`` and
        ``individual``, the mean accuracies of those models on the seen tasks, in per cent; ``unseen_change``, ``unseen``
        minus the pretrained model's mean accuracy on the unseen tasks, in points.
    """
    parts = []
    for run, part in scores.groupby(RUN, sort=False):
        R = accuracy_array(part)[0]
        steps = np.arange(1, len(R) + 1)
        # models that never change have the same accuracies in every row
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
