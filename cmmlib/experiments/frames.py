"""Tidy frames of what was measured; `cmmlib.analysis.runs` has the metrics of every run."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from ..analysis.runs import RUN
from ..suites.suite import Suite
from .identity import identity, reference_identity
from .runs import Run
from .store import Results


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
        KeyError: they have not been measured (`cmmlib.experiments.sequence.run_references`).
    """
    tasks = suite.task_names(num_tasks)
    pretrained = results.get(reference_identity(suite, backbone))
    individual = [results.get(reference_identity(suite, backbone, task))[task].accuracy for task in tasks]
    return pd.DataFrame(
        {"pretrained": [pretrained[task].accuracy for task in tasks], "individual": individual},
        index=pd.Index(tasks, name="task"),
    )
