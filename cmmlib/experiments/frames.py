"""Tidy frames of measured accuracies; `cmmlib.analysis.runs` computes metrics from them."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from ..analysis.runs import RUN
from ..suites.suite import Suite
from .identity import identity, reference_identity
from .runs import Run
from .store import Results


def accuracies(suite: Suite, backbone: str, runs: Iterable[Run], results: Results) -> pd.DataFrame:
    """The accuracies that runs ask for, as far as ``results`` holds them: one row per run, step and scored task.

    What other runs have scored beside them is left out, so that nothing depends on what else the store holds.

    Returns:
        Columns ``label``, ``num_tasks``, ``seed``, ``step`` (from 1), ``merged`` (the task merged in that step),
        ``position`` (of the scored task in the order, from 1), ``task`` and ``accuracy`` (in per cent).
    """
    models = [
        (run, run.order(suite), step, wanted, identity(suite, backbone, run, step))
        for run in runs
        for step, wanted in enumerate(run.wanted(suite), 1)
        if wanted
    ]
    known = results.get_many({model for *_, model in models})
    rows = []
    for run, order, step, wanted, model in models:
        for position, task in enumerate(order, 1):
            if task in wanted and task in known[model]:
                accuracy = known[model][task].accuracy
                rows.append((run.label, run.num_tasks, run.seed, step, order[step - 1], position, task, accuracy))
    return pd.DataFrame(rows, columns=[*RUN, "step", "merged", "position", "task", "accuracy"])


def trained_accuracies(suite: Suite, backbone: str, num_tasks: Iterable[int]) -> pd.DataFrame:
    """Accuracies of models that were trained on the tasks, with the columns of `accuracies`; empty if the suite has none.

    ``merged`` is the task learnt in that step.  Joint training has only the last step, with "all" for ``merged``, and the
    seed `cmmlib.suites.NO_ORDER`.
    """
    counts = suite.trained(backbone)
    counts = counts[counts["num_tasks"].isin(list(num_tasks))]
    return counts.assign(accuracy=100 * counts["correct"] / counts["images"]).drop(columns=["correct", "images"])


def reference_accuracies(suite: Suite, backbone: str, num_tasks: int, results: Results) -> pd.DataFrame:
    """Accuracies of the pretrained and the individual models on the first ``num_tasks`` tasks of the suite, in per cent.

    Returns:
        Columns ``pretrained`` and ``individual``, indexed by ``task``.

    Raises:
        KeyError: a task has not been scored yet (`cmmlib.experiments.sequence.run_references`).
    """
    tasks = suite.task_names(num_tasks)
    pretrained = results.get(reference_identity(suite, backbone))
    individual = [results.get(reference_identity(suite, backbone, task))[task].accuracy for task in tasks]
    return pd.DataFrame(
        {"pretrained": [pretrained[task].accuracy for task in tasks], "individual": individual},
        index=pd.Index(tasks, name="task"),
    )
