"""The registry: names, hyper-parameters and their checks, methods of one's own, the hash of a method's source."""

from __future__ import annotations

import dataclasses
import inspect
import linecache
from collections.abc import Callable
from types import ModuleType
from typing import Annotated

import numpy as np
import pytest
import torch
from torch import Tensor

import cmmlib
from cmmlib import ContinualMerger, get_method, method_names
from cmmlib.methods import Context, Interval, opcm, registry, spectral


def test_the_shipped_methods_are_registered_with_their_papers():
    ours = set(method_names())
    published = {"weight_average", "task_arithmetic", "ties", "magmax", "opcm", "dop", "nufilt"}
    assert ours == published | {"wudi", "actmat", "iso_c", "tsv_m"} | {"dop_all", "kronecker"}
    assert all(get_method(name).paper.startswith("https://") for name in ours)


@pytest.mark.parametrize("name", ["opmc", "", None, ["opcm"]])
def test_an_unknown_method_is_named_with_the_known_ones(name: object):
    with pytest.raises(
        ValueError, match=r"unknown method .*known are actmat, dop, dop_all, iso_c, .* tsv_m, weight_average, wudi"
    ):
        get_method(name)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("opcm", {"alhpa": 0.5}, r"'opcm' has no parameter 'alhpa'; it takes alpha, zero_diagonal"),
        ("weight_average", {"alpha": 1}, r"'weight_average' has no parameter 'alpha'; it takes none"),
        ("opcm", {"alpha": 1.5}, r"'opcm', parameter 'alpha': expected a value in \[0, 1\], got 1.5"),
        ("opcm", {"alpha": -0.1}, r"expected a value in \[0, 1\]"),
        ("opcm", {"alpha": "0.5"}, r"'alpha': expected a finite number, got '0.5'"),
        ("opcm", {"alpha": True}, r"'alpha': expected a finite number, got True"),
        ("opcm", {"alpha": None}, r"expected a finite number"),
        ("opcm", {"alpha": float("nan")}, r"'alpha': expected a finite number, got nan"),
        ("task_arithmetic", {"scaling_factor": float("inf")}, r"expected a finite number, got inf"),
        ("opcm", {"zero_diagonal": 1}, r"'zero_diagonal': expected true or false, got 1"),
        ("opcm", {"zero_diagonal": "false"}, r"expected true or false"),
        ("ties", {"threshold": 0}, r"'threshold': expected a value in \(0, 100\], got 0"),
        ("ties", {"threshold": 101}, r"expected a value in \(0, 100\]"),
        ("ties", {"merge_func": "median"}, r"expected 'sum' or 'mean' or 'max', got 'median'"),
        ("dop", {"num_steps": 1.5}, r"'num_steps': expected a whole number, got 1.5"),
        ("dop", {"num_steps": float("nan")}, r"'num_steps': expected a whole number, got nan"),
        ("dop", {"num_steps": float("inf")}, r"'num_steps': expected a whole number, got inf"),
        ("dop", {"num_steps": -1}, r"expected a value in \[0, inf\]"),
        ("dop", {"lr": 0}, r"'lr': expected a value in \(0, inf\]"),
        ("dop", {"alpha": "even"}, r"'alpha': expected a finite number or 'balanced' or 'mgda', got 'even'"),
        ("dop", {"alpha": 2}, r"'alpha': expected a value in \[0, 1\] or 'balanced' or 'mgda', got 2"),
        ("dop", {"svd_proj_space": "vu"}, r"expected 'u' or 'v' or 'uv'"),
        ("dop", {"exclude_keys": "fc"}, r"'exclude_keys': expected a list of names, got 'fc'"),
        ("dop", {"exclude_keys": [1]}, r"'exclude_keys': expected a string"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named(name: str, params: dict, message: str):
    with pytest.raises(ValueError, match=message):
        get_method(name).resolve(params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alpha": "balanced"}, r"'alpha': 'balanced' needs solver='exact'"),
        (
            {"exclude_keys": ["fc.weight"]},
            r"'fc.weight' is not the name of a linear module of the base; one of them is 'fc'",
        ),
    ],
)
def test_parameters_that_do_not_go_together_are_refused_at_once(params: dict, message: str):
    with pytest.raises(ValueError, match=message):
        ContinualMerger({"fc.weight": torch.zeros(2, 2)}, "dop", linear=["fc.weight"], **params)


def test_parameters_become_canonical():
    resolved = get_method("dop").resolve({"alpha": 1, "num_steps": 40.0, "exclude_keys": ["a"], "lr": np.float32(0.5)})
    assert resolved == {**get_method("dop").defaults, "alpha": 1.0, "num_steps": 40, "exclude_keys": ("a",), "lr": 0.5}
    assert {key: type(resolved[key]) for key in ("alpha", "num_steps", "lr")} == {
        "alpha": float,
        "num_steps": int,
        "lr": float,
    }
    assert type(get_method("dop").resolve({"num_steps": np.int64(3)})["num_steps"]) is int
    assert get_method("dop").resolve({"solver": "exact", "alpha": "balanced"})["alpha"] == "balanced"
    assert get_method("ties").resolve({}) == {"scaling_factor": 0.3, "threshold": 20.0, "merge_func": "sum"}


def test_a_method_of_ones_own_works_end_to_end(toy: tuple):
    @cmmlib.method(paper="https://example.org/decay")
    def decay(
        merged: Tensor, task_vector: Tensor, ctx: Context, *, gamma: Annotated[float, Interval(0, 1)] = 0.5
    ) -> tuple[Tensor, dict[str, float]]:
        kept = gamma * merged
        return kept + task_vector, {"kept": kept.norm().item()}

    base, models = toy
    merger = ContinualMerger(base, "decay", gamma=1)
    for model in models:
        merger.add(model)
    for key in base:
        assert torch.allclose(merger.merged()[key], base[key] + sum(m[key] - base[key] for m in models), atol=1e-6)
    assert {"kept_mean", "kept_min", "kept_max"} <= set(merger.history.columns)
    with pytest.raises(ValueError, match=r"'decay', parameter 'gamma': expected a value in \[0, 1\]"):
        ContinualMerger(base, "decay", gamma=2)


def test_survey_finish_summary_and_check_reach_a_method_of_ones_own(toy: tuple):
    base, models = toy
    calls = []

    def check(params, layers):
        calls.append(dict(layers))

    def survey(pairs, ctx, *, power):
        return sum(tau.numel() for _, tau in pairs) + sum(m.numel() for m, _ in pairs)

    def finish(merged, ctx, *, power):
        return merged / ctx.t**power

    def summary(ctx, *, power):
        return {"models": ctx.t}

    @cmmlib.method(name="mean_by_hand", survey=survey, finish=finish, summary=summary, check=check)
    def step(merged, task_vector, ctx, *, power: float):
        assert ctx.survey == 2 * 28 and ctx.base.shape == merged.shape
        return merged + task_vector

    with pytest.raises(ValueError, match="needs a value for its parameter 'power'"):
        ContinualMerger(base, "mean_by_hand")
    merger = ContinualMerger(base, "mean_by_hand", power=1)
    for model in models:
        merger.add(model)
    expected = cmmlib.merge(base, models, method="weight_average")
    assert all(torch.allclose(merger.merged()[key], expected[key], atol=1e-6) for key in base)
    assert list(merger.history["models"]) == [1, 2, 3]
    assert calls == [dict.fromkeys(base, "other")]


def test_names_of_shipped_methods_are_protected_and_own_ones_can_be_replaced():
    with pytest.raises(ValueError, match="'opcm' belongs to a method of cmmlib; choose another"):

        @cmmlib.method(name="opcm")
        def impostor(merged, task_vector, ctx):
            return merged

    for factor in (1, 2):

        @cmmlib.method(name="mine")
        def mine(merged, task_vector, ctx, *, scale: float = float(factor)):
            return scale * task_vector

    assert get_method("mine").defaults == {"scale": 2.0}


def test_a_hyper_parameter_cannot_take_a_name_of_the_merger():
    arguments = inspect.signature(cmmlib.ContinualMerger).parameters.values()
    names = {parameter.name for parameter in arguments if parameter.kind is not parameter.VAR_KEYWORD}
    assert names == registry.RESERVED
    with pytest.raises(ValueError, match="ContinualMerger takes 'device' itself"):

        @cmmlib.method
        def clashing(merged, task_vector, ctx, *, device: str = "cpu"):
            return merged


def defined(source: str) -> Callable:
    """What a notebook cell with this source defines: a function whose source Python can find."""
    file = f"<cell {hash(source)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space = {"__name__": "__main__"}
    exec(compile(source, file, "exec"), space)
    return space["step"]


def test_source_hash_follows_the_code_of_a_method_of_ones_own():
    def hash_of(source: str, **options) -> str:
        cmmlib.method(name="mine", **options)(defined(source))
        return get_method("mine").source_hash

    one = "def step(merged, task_vector, ctx):\n    return merged + task_vector\n"
    two = "def step(merged, task_vector, ctx):\n    return merged + 2 * task_vector\n"
    assert hash_of(one) == hash_of(one)
    assert hash_of(one) != hash_of(two)
    assert hash_of(one) != hash_of(one, finish=defined(two))


def test_source_hashes_of_the_shipped_methods_differ():
    hashes = {
        get_method(name).source_hash for name in ("weight_average", "task_arithmetic", "ties", "magmax", "opcm", "dop")
    }
    assert len(hashes) == 6


def test_source_hash_covers_the_shared_modules(monkeypatch: pytest.MonkeyPatch):
    read = inspect.getsource

    def hash_after_a_change_of(changed: ModuleType | None, name: str) -> str:
        monkeypatch.setattr(inspect, "getsource", lambda piece: read(piece) + "\nchanged = 1\n" * (piece is changed))
        return dataclasses.replace(get_method(name)).source_hash  # a copy, as the hash is kept

    for module in (spectral, opcm):
        assert hash_after_a_change_of(module, "opcm") != hash_after_a_change_of(None, "opcm")
    assert hash_after_a_change_of(spectral, "magmax") == hash_after_a_change_of(None, "magmax")


def test_a_method_without_source_cannot_be_identified():
    namespace = {"__name__": "__main__"}
    exec("def sourceless(merged, task_vector, ctx):\n    return merged", namespace)
    cmmlib.method(namespace["sourceless"])
    with pytest.raises(ValueError, match="define it in a file or in a notebook cell"):
        _ = cmmlib.get_method("sourceless").source_hash
