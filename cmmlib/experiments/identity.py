"""What a merged model is: the key under which its scores are kept, the same for all runs that lead to the same model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..evaluation.scorer import ZeroShotScorer
from ..merging.merger import ContinualMerger
from ..methods import get_method
from ..methods.registry import code_hash
from ..suites.suite import Suite
from .code_graph import imported_modules, source_of
from .runs import Run

LEFT_OUT = (
    "cmmlib.methods",  # each method's own hash covers it (`cmmlib.methods.registry.Method.source_hash`)
    "cmmlib.merging.export",  # what is written beside a model decides no score
    "cmmlib.merging.model_card",
    "cmmlib.version",
)
"""Modules and packages that do not count where the merger and the scorer lead to them; all others do."""


@dataclass(frozen=True)
class Merged:
    """What was merged: the identity of a model whose scores are kept.

    Attributes:
        suite, suite_hash: the suite and the hash of its content.
        backbone: name of the backbone.
        method: name of the method, or ``pretrained`` or ``individual``.
        params: all hyper-parameters as canonical JSON.
        code: hash of the code that merged and scored it.
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
    """One spelling per value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def deciding_modules() -> list[str]:
    """The modules that decide a score whatever the method: that of the merger, that of the scorer and what they import."""
    return imported_modules({ContinualMerger.__module__, ZeroShotScorer.__module__}, without=LEFT_OUT)


@cache
def _deciding_code() -> str:
    return code_hash(map(source_of, deciding_modules()))


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
    return Merged(suite.name, suite.content_hash, backbone, name, params, code + _deciding_code(), canonical_json(sequence))


def reference_identity(suite: Suite, backbone: str, task: str | None = None) -> Merged:
    """The pretrained model, or the individual model of a task."""
    sequence = [] if task is None else [task]
    name = "pretrained" if task is None else "individual"
    return Merged(suite.name, suite.content_hash, backbone, name, "{}", _deciding_code(), canonical_json(sequence))
