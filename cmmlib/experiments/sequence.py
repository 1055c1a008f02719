"""Merging one order model by model, and scoring what is not known yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..evaluation.scorer import ZeroShotScorer
from ..merging.merger import ContinualMerger
from ..models.opening import open_model
from ..suites.suite import Suite
from .identity import Merged, identity, reference_identity
from .runs import Run
from .store import Store
from .time_left import SCORING

Done = Callable[[str, float, float], None]
"""Called with finished work: its kind (`cmmlib.experiments.time_left`), its amount and the seconds it took."""


def nobody(kind: str, amount: float, seconds: float) -> None:
    """A `Done` that does nothing."""


def run_sequence(suite: Suite, backbone: str, run: Run, results: Store, scorer: ZeroShotScorer, done: Done = nobody) -> None:
    """Merge one order model by model, and score what the run wants and ``results`` lacks.

    It keeps as many merged models as one pass over the images can score (`ZeroShotScorer.together`).
    """
    order, wanted = run.order(suite), run.wanted(suite)
    models = [identity(suite, backbone, run, step) for step in range(1, len(order) + 1)]
    known = results.get_many(models)
    unfinished = [step for step, model in enumerate(models) if not known[model].keys() >= set(wanted[step])]
    merger = ContinualMerger(suite.base(backbone), run.method, device=scorer.device, **run.params)
    waiting: dict[int, Mapping[str, Tensor]] = {}
    for step, task in enumerate(order[: max(unfinished, default=-1) + 1]):
        start = time.perf_counter()
        merger.add(suite.checkpoint(backbone, task), name=task)
        if step:  # the first model costs next to nothing
            done(run.label, 1, time.perf_counter() - start)
        if step == 0:
            _require_kept(merger, suite.checkpoint(backbone, task))
        if step in unfinished:
            # W0 + (W1 − W0) may differ from W1 in the last bit, and all methods share the individual models' scores
            alone = models[step].method == "individual"
            waiting[step] = _tensors_of(suite.checkpoint(backbone, task)) if alone else merger.merged()
        if waiting and (len(waiting) >= scorer.together or step == unfinished[-1]):
            asked = {models[step]: wanted[step] for step in waiting}
            _score({models[step]: tensors for step, tensors in waiting.items()}, asked, results, scorer, done)
            waiting = {}


def run_references(
    suite: Suite, backbone: str, num_tasks: int, results: Store, scorer: ZeroShotScorer, done: Done = nobody
) -> None:
    """Score the pretrained model on all tasks, and each individual model on its own task."""
    tasks = suite.task_names(num_tasks)
    _score({reference_identity(suite, backbone): None}, {reference_identity(suite, backbone): tasks}, results, scorer, done)
    for task in tasks:
        model = reference_identity(suite, backbone, task)
        if task not in results.get(model):
            _score({model: _tensors_of(suite.checkpoint(backbone, task))}, {model: [task]}, results, scorer, done)


def references_known(suite: Suite, backbone: str, num_tasks: int, results: Store) -> bool:
    """Whether `run_references` has nothing to do."""
    tasks = suite.task_names(num_tasks)
    individual = (task in results.get(reference_identity(suite, backbone, task)) for task in tasks)
    return results.get(reference_identity(suite, backbone)).keys() >= set(tasks) and all(individual)


def _score(
    models: Mapping[Merged, Mapping[str, Tensor] | None],
    wanted: Mapping[Merged, Sequence[str]],
    results: Store,
    scorer: ZeroShotScorer,
    done: Done,
) -> None:
    # look again: another process may have scored the same model meanwhile
    missing = {model: [task for task in wanted[model] if task not in results.get(model)] for model in models}
    missing = {model: tasks for model, tasks in missing.items() if tasks}
    # before the clock starts: preparing would spoil the estimate of the time left
    scorer.prepare({task for tasks in missing.values() for task in tasks})
    start = time.perf_counter()
    scores = scorer.score_many({model: models[model] for model in missing}, missing)
    seconds = time.perf_counter() - start
    for model, found in scores.items():
        results.put(model, found)
    done(SCORING, sum(score.images for found in scores.values() for score in found.values()), seconds)


def _require_kept(merger: ContinualMerger, model: str) -> None:
    """Raises ValueError if a method of the user's promises to return a single model unchanged, and does not."""
    method = merger.method
    if not method.keeps_first or method.step.__module__.startswith("cmmlib."):
        return
    merged, single = open_model(merger.merged()), open_model(model)
    for name in single.names:
        if not torch.allclose(merged.read(name), single.read(name), atol=1e-5):
            raise ValueError(
                f"method {method.name!r} declares keeps_first=True, but merging one model alone changes {name!r}: its "
                "scores would be taken for the individual model's. Take keeps_first out"
            )


def _tensors_of(model: str) -> dict[str, Tensor]:
    source = open_model(model)
    return {name: source.read(name) for name in source.names}
