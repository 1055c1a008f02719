"""The protocol: which rows under which orders, what is scored when, and merging one order model by model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from torch import Tensor

from . import checkpoints, evaluate, layers, merger, running, stepping, stream
from .checkpoints import open_model
from .evaluate import ZeroShotScorer
from .merger import ContinualMerger
from .methods import get_method
from .methods.registry import code_hash
from .orders import task_order
from .results import Merged, Results, canonical_json
from .suites import Suite


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
        inspect.getsource(module) for module in (merger, stepping, running, layers, checkpoints, stream, evaluate)
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
    suite: Suite, backbone: str, run: Run, results: Results, scorer: ZeroShotScorer, done: Callable[[int], None] = int
) -> None:
    """Merge one order model by model, scoring what is wanted and not in ``results`` yet; ``done`` hears how many."""
    order, wanted = run.order(suite), run.wanted(suite)
    models = [identity(suite, backbone, run, step) for step in range(1, len(order) + 1)]
    known = results.get_many(models)
    unfinished = [step for step, model in enumerate(models) if not known[model].keys() >= set(wanted[step])]
    merger = ContinualMerger(suite.base(backbone), run.method, **run.params)
    for step, task in enumerate(order[: max(unfinished, default=-1) + 1]):
        merger.add(suite.checkpoint(backbone, task), name=task)
        # asked again: another process may have scored the same model meanwhile
        missing = [task for task in wanted[step] if task not in results.get(models[step])]
        if missing:
            # W0 + (W1 − W0) is not W1 to the last bit, and the individual models' scores are shared by all methods
            alone = models[step].method == "individual"
            tensors = _tensors_of(suite.checkpoint(backbone, task)) if alone else merger.merged()
            results.put(models[step], scorer.score(tensors, missing))
            done(len(missing))


def run_references(suite: Suite, backbone: str, num_tasks: int, results: Results, scorer: ZeroShotScorer) -> None:
    """Score the pretrained model on all tasks and each individual model on its own."""
    tasks = suite.task_names(num_tasks)
    models = [reference_identity(suite, backbone), *(reference_identity(suite, backbone, task) for task in tasks)]
    for model, own in zip(models, [tasks, *([task] for task in tasks)], strict=True):
        missing = [task for task in own if task not in results.get(model)]
        if not missing:
            continue
        tensors = _tensors_of(suite.checkpoint(backbone, own[0])) if model.method == "individual" else None
        results.put(model, scorer.score(tensors, missing))


def _tensors_of(model: str) -> dict[str, Tensor]:
    source = open_model(model)
    return {name: source.read(name) for name in source.names}


def reference_identity(suite: Suite, backbone: str, task: str | None = None) -> Merged:
    """The pretrained model, or the individual model of a task."""
    sequence = [] if task is None else [task]
    name = "pretrained" if task is None else "individual"
    return Merged(suite.name, suite.content_hash, backbone, name, "{}", _protocol_code(), canonical_json(sequence))
