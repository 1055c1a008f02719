"""Tidy frames of what was measured, and the metrics of every run."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ..analysis import metrics
from ..suites.suite import Suite
from .protocol import Run, identity, reference_identity
from .store import Results

RUN = ["label", "num_tasks", "seed"]


def accuracies(suite: Suite, backbone: str, runs: Iterable[Run], results: Results) -> pd.DataFrame:
    """Tidy scores of runs, in per cent: one row per score.

    Columns: ``label``, ``num_tasks``, ``seed``, ``step`` (1-based), ``merged`` (the task merged in that step), ``position``
    (of the scored task in the order, 1-based), ``task``, ``accuracy``.
    """
    models = [(run, step, identity(suite, backbone, run, step)) for run in runs for step in range(1, run.num_tasks + 1)]
    known = results.get_many({model for _, _, model in models})
    rows = []
    for run, step, model in models:
        order = run.order(suite)
        for position, task in enumerate(order, 1):
            if task in known[model]:
                accuracy = known[model][task].accuracy
                rows.append((run.label, run.num_tasks, run.seed, step, order[step - 1], position, task, accuracy))
    return pd.DataFrame(rows, columns=[*RUN, "step", "merged", "position", "task", "accuracy"])


def trained_accuracies(suite: Suite, backbone: str, num_tasks: Iterable[int]) -> pd.DataFrame:
    """Scores of models that were trained on the tasks, as far as the suite ships any: in the form of `accuracies`.

    ``merged`` is the task learnt in that step.  Joint training has a single step, the last, whose ``merged`` is "all",
    and the seed `cmmlib.suites.NO_ORDER`.
    """
    counts = suite.trained(backbone)
    counts = counts[counts["num_tasks"].isin(list(num_tasks))]
    return counts.assign(accuracy=100 * counts["correct"] / counts["images"]).drop(columns=["correct", "images"])


def reference_accuracies(suite: Suite, backbone: str, num_tasks: int, results: Results) -> pd.DataFrame:
    """``pretrained`` and ``individual`` accuracy in per cent, indexed by ``task``: the first tasks of the suite.

    Raises:
        KeyError: they have not been measured (`cmmlib.experiments.protocol.run_references`).
    """
    tasks = suite.task_names(num_tasks)
    pretrained = results.get(reference_identity(suite, backbone))
    individual = [results.get(reference_identity(suite, backbone, task))[task].accuracy for task in tasks]
    return pd.DataFrame(
        {"pretrained": [pretrained[task].accuracy for task in tasks], "individual": individual},
        index=pd.Index(tasks, name="task"),
    )


def accuracy_array(scores: pd.DataFrame) -> np.ndarray:
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
        scores: `accuracies`.
        references: `reference_accuracies` of at least the tasks in ``scores``.

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
        pretrained, individual = (np.tile(references.loc[_order(part), name], (len(R), 1)) for name in references)
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
