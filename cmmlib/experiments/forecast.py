"""What running notebooks would do: what is left of it, how long that takes here, what is written and fetched."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import torch
from tqdm import tqdm

from ..evaluation.scorer import ZeroShotScorer
from ..merging.merger import ContinualMerger
from ..paths import results_path
from ..suites.suite import Suite
from .grid import work_left
from .reproduce import Planned
from .rows import table_rows
from .runs import Run, plan_table
from .store import Results
from .time_left import SCORING, Pace

GRIDS = ("02_main_table", "03_accuracy_curves")
"""The notebooks whose work is counted; of `cmm reproduce` they take by far the longest."""


def planned_runs(planned: Planned) -> list[Run]:
    """The sequences of a notebook in `GRIDS`, as it plans them."""
    given = planned.parameters
    curves = isinstance(given["seeds"], dict)
    orders = (
        {int(n): seeds for n, seeds in given["seeds"].items()}
        if curves
        else dict.fromkeys(given["num_tasks"], given["seeds"])
    )
    runs = []
    for number, seeds in orders.items():
        rows = table_rows(number, given.get("every_row", False), methods=given.get("methods"))
        runs += plan_table(rows, number, seeds, given["adam_seeds"], every_step=curves)
    return runs


def forecast(plan: Sequence[Planned]) -> str:
    """What running these notebooks would do, in words.  Nothing is fetched, and nothing but the store's file is written.

    What has not been timed on this machine yet is timed on the first two models, where the suite needs no fetching.
    """
    parts = []
    for _, group in groupby(plan, key=lambda planned: planned.backbone):
        parts.append(_on_one_backbone(list(group)))
    return "\n\n".join(parts)


def _on_one_backbone(plan: Sequence[Planned]) -> str:
    suite, backbone, folder = plan[0].suite, plan[0].backbone, plan[0].folder
    given = plan[0].parameters
    device = given["device"] or ("cuda" if torch.cuda.is_available() else "cpu")
    jobs = given["jobs"] or (torch.cuda.device_count() if device == "cuda" else os.cpu_count()) or 1
    store = Results(results_path(suite.name))
    lines = [f"{suite.name}, {backbone}:"]
    every: list[Run] = []
    others = []
    for planned in plan:
        if planned.source.stem not in GRIDS:
            others.append(planned.source.stem)
            continue
        runs = planned_runs(planned)
        every += runs
        done = len(runs) - len(work_left(suite, backbone, runs, store)[0])
        rows = ", ".join(dict.fromkeys(run.label for run in runs))
        lines.append(f"  {planned.source.stem}: {len(runs)} sequences, {done} done already; rows {rows}")
    if others:
        lines.append(f"  {', '.join(others)}: not counted here")
    pending, scores, merges = work_left(suite, backbone, every, store)
    inputs = sum(count * _inputs(suite, task) for task, count in scores.items())
    pace = store.pace(suite.name, backbone, device)
    left: dict[str, float] = {SCORING: inputs, **merges}
    if pending and suite.name != "clip":  # whose models would have to be fetched
        _time(pace, left, pending, suite, backbone, device)
    if pending:
        lines.append(
            f"  to do: {len(pending)} sequences, {sum(merges.values())} models to merge, {inputs:,} classifications, "
            f"{jobs} at a time on {given['ray'] or device}; {_duration(pace, left, jobs)}"
        )
    else:
        lines.append("  to do: nothing but tables and figures")
    lines.append(f"  written: {folder}/ ({'which exists' if folder.exists() else 'new'}), scores in {store.path}")
    lines.append(f"  fetched: {_fetched(suite, backbone, every)}")
    return "\n".join(lines)


def _duration(pace: Pace, left: Mapping[str, float], jobs: int) -> str:
    if all(not pace.amount.get(kind) for kind in left):
        return "nothing of this has been timed here yet, so there is no estimate"
    return pace.describe(left, jobs)


def _inputs(suite: Suite, task: str) -> int:
    """How many images or texts a task is scored on: as published, or counted where that needs no fetching."""
    published = next((getattr(known, "images", 0) for known in suite.tasks if known.name == task), 0)
    count = published or len(suite.test_set(task))
    return min(count, suite.limit or count)


def _time(pace: Pace, left: Mapping[str, float], runs: Iterable[Run], suite: Suite, backbone: str, device: str) -> None:
    """Time one merge of each row, and scoring one task, where that is not known."""
    by_label = {run.label: run for run in runs if not pace.amount.get(run.label)}
    models = [suite.checkpoint(backbone, task) for task in suite.task_names(2)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for label, run in tqdm(by_label.items(), desc=f"timing the rows of {backbone}", unit="row", leave=False):
            merger = ContinualMerger(suite.base(backbone), run.method, device=device, **run.params).add(models[0])
            start = time.perf_counter()
            merger.add(models[1])
            pace.learn(label, 1, time.perf_counter() - start)
        if left[SCORING] and not pace.amount.get(SCORING):
            scorer, task = ZeroShotScorer(suite, backbone, device=device), suite.task_names(1)[0]
            scorer.prepare([task])
            start = time.perf_counter()
            scorer.score(None, [task])
            pace.learn(SCORING, scorer.size(task), time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)


def _fetched(suite: Suite, backbone: str, runs: Sequence[Run]) -> str:
    tasks = max((run.pool(suite) for run in runs), key=len, default=())
    known = suite.sources(backbone, tasks)
    if suite.name != "clip":
        return "nothing, the suite is on this machine"
    hub = sum(row["place"] == "hub" for row in known)
    return (
        f"{1 + len(tasks)} models and {len(tasks)} data sets, of which {len(known)} have been used with this cache already "
        f"({hub} of them from the hub); `cmm check --suite {suite.name}` says what is missing and how large it is"
    )
