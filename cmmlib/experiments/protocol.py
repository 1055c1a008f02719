"""The protocol: which rows under which orders, what is scored when, and merging one order model by model."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from torch import Tensor

from ..evaluation import heads, images
from ..evaluation import scorer as evaluate
from ..evaluation.scorer import ZeroShotScorer
from ..merging import accumulated as running
from ..merging import merger, stepping
from ..merging.merger import ContinualMerger
from ..methods import get_method
from ..methods.registry import code_hash
from ..models import checkpoints, stream
from ..models import layer_kinds as layers
from ..models.checkpoints import open_model
from ..suites.suite import Suite
from .orders import task_order
from .store import Merged, Results, canonical_json
from .time_left import SCORING

Done = Callable[[str, float, float], None]
"""Told of finished work: its kind (`cmmlib.experiments.time_left`), how much of it, and the seconds that it took."""


def nobody(kind: str, amount: float, seconds: float) -> None:
    """A `Done` that does not care."""


def published_rows(num_tasks: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """The rows of the main table: label → (method, hyper-parameters) as published for that number of tasks.

    ``DOP`` is the published Adam solver; the ``DOP-exact`` rows solve the same objective exactly,
    and ``DOP-all`` that of all tasks at once.
    """
    scaling = {"scaling_factor": 0.3 if num_tasks <= 8 else 0.1}
    return {
        "Weight average": ("weight_average", {}),
        "Task arithmetic": ("task_arithmetic", scaling),
        "TIES": ("ties", scaling),
        "MagMax": ("magmax", {}),
        "OPCM (first version)": ("opcm", {"zero_diagonal": False}),
        "OPCM": ("opcm", {}),
        "DOP": ("dop", {}),
        "DOP-exact (α=0.8)": ("dop", {"solver": "exact", "alpha": 0.8}),
        "DOP-exact (balanced)": ("dop", {"solver": "exact", "alpha": "balanced"}),
        "DOP-all (u)": ("dop_all", {}),
    }


def label_of(method: str, params: dict[str, Any], num_tasks: int) -> str | None:
    """The label of the published row that a method with these hyper-parameters is, if it is one."""
    wanted = (method, get_method(method).resolve(params))
    for label, (name, defaults) in published_rows(num_tasks).items():
        if wanted == (name, get_method(name).resolve(defaults)):
            return label
    return None


@dataclass(frozen=True)
class Run:
    """One sequence: a method merges the tasks of one shuffled order.

    Attributes:
        label: the row's name in tables and figures.
        method, params: of the registry; ``params`` may leave out defaults.
        num_tasks: how many of the suite's tasks, from its first on.
        seed: of the order.
        every_step: score all tasks after every step (for curves), not only the task just merged and, at the end, all.
    """

    label: str
    method: str
    num_tasks: int
    seed: int
    params: dict[str, Any] = field(default_factory=dict, hash=False)
    every_step: bool = False

    def order(self, suite: Suite) -> list[str]:
        return task_order(suite.task_names(self.num_tasks), self.seed)

    def wanted(self, suite: Suite) -> list[list[str]]:
        """Per step the tasks to score; order [steps][tasks]."""
        order = self.order(suite)
        return [order if self.every_step or task == order[-1] else [task] for task in order]


def plan(
    rows: dict[str, tuple[str, dict[str, Any]]], num_tasks: int, seeds: Iterable[int], *, every_step: bool = False
) -> list[Run]:
    """All rows under the same orders.

    Raises:
        ValueError: an unknown method or parameter in ``rows``.
    """
    for method, params in rows.values():
        get_method(method).resolve(params)
    return [Run(label, m, num_tasks, seed, params, every_step) for seed in seeds for label, (m, params) in rows.items()]


@cache
def _protocol_code() -> str:
    return code_hash(
        inspect.getsource(module)
        for module in (merger, stepping, running, layers, checkpoints, stream, evaluate, images, heads)
    )


def identity(suite: Suite, backbone: str, run: Run, step: int) -> Merged:
    """What the merged model of ``run`` after ``step`` models is, the same for all runs that lead to the same model.

    No model is the pretrained one; a first model that the method returns unchanged is the individual one; where the order
    does not matter the names are sorted.  So final scores of such methods are not measured once per order.
    """
    method = get_method(run.method)
    sequence = run.order(suite)[:step]
    name, params, code = method.name, canonical_json(method.resolve(run.params)), method.source_hash
    if not sequence or (step == 1 and method.keeps_first):
        name, params, code = ("individual" if sequence else "pretrained"), "{}", ""
    elif method.order_free:
        sequence = sorted(sequence)
    return Merged(suite.name, suite.content_hash, backbone, name, params, code + _protocol_code(), canonical_json(sequence))


def run_sequence(
    suite: Suite, backbone: str, run: Run, results: Results, scorer: ZeroShotScorer, done: Done = nobody
) -> None:
    """Merge one order model by model, scoring what is wanted and not in ``results`` yet.

    As many merged models are kept as one pass over the images can score (`ZeroShotScorer.together`); ``done`` hears what
    work was done: its kind, how much of it, and the seconds that it took.
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
        if step in unfinished:
            # W0 + (W1 − W0) is not W1 to the last bit, and the individual models' scores are shared by all methods
            alone = models[step].method == "individual"
            waiting[step] = _tensors_of(suite.checkpoint(backbone, task)) if alone else merger.merged()
        if waiting and (len(waiting) >= scorer.together or step == unfinished[-1]):
            asked = {models[step]: wanted[step] for step in waiting}
            _score({models[step]: tensors for step, tensors in waiting.items()}, asked, results, scorer, done)
            waiting = {}


def run_references(
    suite: Suite, backbone: str, num_tasks: int, results: Results, scorer: ZeroShotScorer, done: Done = nobody
) -> None:
    """Score the pretrained model on all tasks and each individual model on its own."""
    tasks = suite.task_names(num_tasks)
    _score({reference_identity(suite, backbone): None}, {reference_identity(suite, backbone): tasks}, results, scorer, done)
    for task in tasks:
        model = reference_identity(suite, backbone, task)
        if task not in results.get(model):
            _score({model: _tensors_of(suite.checkpoint(backbone, task))}, {model: [task]}, results, scorer, done)


def references_known(suite: Suite, backbone: str, num_tasks: int, results: Results) -> bool:
    """Whether `run_references` has nothing to do."""
    tasks = suite.task_names(num_tasks)
    individual = (task in results.get(reference_identity(suite, backbone, task)) for task in tasks)
    return results.get(reference_identity(suite, backbone)).keys() >= set(tasks) and all(individual)


def _score(
    models: Mapping[Merged, Mapping[str, Tensor] | None],
    wanted: Mapping[Merged, Sequence[str]],
    results: Results,
    scorer: ZeroShotScorer,
    done: Done,
) -> None:
    # asked anew: another process may have scored the same model meanwhile
    missing = {model: [task for task in wanted[model] if task not in results.get(model)] for model in models}
    missing = {model: tasks for model, tasks in missing.items() if tasks}
    # preparing is no scoring: it would spoil the estimate of the time that is left
    scorer.prepare({task for tasks in missing.values() for task in tasks})
    start = time.perf_counter()
    scores = scorer.score_many({model: models[model] for model in missing}, missing)
    seconds = time.perf_counter() - start
    for model, found in scores.items():
        results.put(model, found)
    done(SCORING, sum(score.images for found in scores.values() for score in found.values()), seconds)


def _tensors_of(model: str) -> dict[str, Tensor]:
    source = open_model(model)
    return {name: source.read(name) for name in source.names}


def reference_identity(suite: Suite, backbone: str, task: str | None = None) -> Merged:
    """The pretrained model, or the individual model of a task."""
    sequence = [] if task is None else [task]
    name = "pretrained" if task is None else "individual"
    return Merged(suite.name, suite.content_hash, backbone, name, "{}", _protocol_code(), canonical_json(sequence))
