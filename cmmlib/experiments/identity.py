"""The identity of a merged model: the key of its scores, the same for all runs that lead to the same model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..evaluation.scorer import ZeroShotScorer
from ..merging.merger import ContinualMerger
from ..methods import get_method
from ..methods.finding import short_name
from ..methods.sources import code_hash
from ..suites.suite import Suite
from .code_graph import imported_modules, source_of
from .runs import Run

LEFT_OUT = (
    "cmmlib.methods",  # each method has its own hash (`cmmlib.methods.registry.Method.source_hash`)
    "cmmlib.merging.export",  # what is written beside a model does not change its scores
    "cmmlib.merging.model_card",
    "cmmlib.version",
)
"""Modules and packages that are not part of the code hash, though the merger or the scorer imports them."""


@dataclass(frozen=True)
class Merged:
    """The identity of a model whose scores are kept: what was merged, and how.

    Attributes:
        suite, suite_hash: name of the suite and hash of its content.
        backbone: name of the backbone.
        method: name of the method, or ``pretrained`` or ``individual``.
        params: all hyper-parameters as canonical JSON.
        code: hashes of the code that merged and scored it.
        sequence: names of the models merged, in order, as JSON.
    """

    suite: str
    suite_hash: str
    backbone: str
    method: str
    params: str
    code: str
    sequence: str


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def deciding_modules() -> list[str]:
    """The modules that decide scores with any method: those of the merger and the scorer, and what they import."""
    return imported_modules({ContinualMerger.__module__, ZeroShotScorer.__module__}, without=LEFT_OUT)


@cache
def _deciding_code() -> str:
    return code_hash(map(source_of, deciding_modules()))


def identity(suite: Suite, backbone: str, run: Run, step: int) -> Merged:
    """The identity of a run's merged model after ``step`` models, the same for all runs that lead to the same model.

    After no model it is the pretrained model.  After one, it is the individual model if the method returns that unchanged.
    If the order does not matter to the method, the names are sorted, so its final scores are measured only once.
    """
    method = get_method(run.method)
    sequence = run.order(suite)[:step]
    name, params, code = short_name(method.name), canonical_json(method.resolve(run.params)), method.source_hash
    if not sequence or (step == 1 and method.keeps_first):
        name, params, code = ("individual" if sequence else "pretrained"), "{}", ""
    elif method.order_free:
        sequence = sorted(sequence)
    return Merged(
        suite.name, suite.content_hash(backbone), backbone, name, params, code + _deciding_code(), canonical_json(sequence)
    )


def reference_identity(suite: Suite, backbone: str, task: str | None = None) -> Merged:
    """The identity of a task's individual model, or of the pretrained model if ``task`` is None."""
    sequence = [] if task is None else [task]
    name = "pretrained" if task is None else "individual"
    return Merged(suite.name, suite.content_hash(backbone), backbone, name, "{}", _deciding_code(), canonical_json(sequence))


def identity_at_once(suite: Suite, backbone: str, label: str, tasks: Iterable[str], code: str) -> Merged:
    """The identity of a reference that merges the models of some tasks at once (`cmmlib.experiments.at_once`).

    Args:
        label: of the row.
        code: hash of what merges.
    """
    sequence = canonical_json(sorted(tasks))
    return Merged(
        suite.name, suite.content_hash(backbone), backbone, f"at once: {label}", "{}", code + _deciding_code(), sequence
    )
