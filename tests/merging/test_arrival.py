"""A model that arrives is refused before anything is changed, and warned of where it is implausible."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cmmlib import ContinualMerger, merge
from cmmlib.merging.parameter_step import Inputs, Stepped

from ..helpers.models import BASE, METHODS, QUICK, TASKS, broken, contents, same

FAULTS = {
    "missing": r"lacks 'fc\.bias'; is it fine-tuned from base.*a whole model",
    "extra": r"has, and the base has not, 'head\.weight'",
    "misshapen": r"'fc\.weight' has shape \(6, 4\), in base.* it is \(4, 6\)",
    "nan": r"'fc\.weight' holds NaN or infinity; the checkpoint is broken",
    "inf": r"'fc\.weight' holds NaN or infinity; the checkpoint is broken",
    "integer": r"'fc\.weight' has weights in int8, which cannot be merged.*Dequantise",
    "same": r"equals the base .*nothing to merge",
}


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("method", METHODS)
def test_a_refused_model_is_named_and_changes_nothing(
    method: str, fault: str, on_disk: bool, toy: tuple, saved: Callable, tmp_path: Path
):
    base, models = toy
    params = {"linear": ["fc.weight"], **QUICK.get(method, {})}
    bad = base if fault == "same" else broken(models[1], fault)
    merger = ContinualMerger(base, method, save_every_step=tmp_path / "steps", **params)
    for position in (0, 1):
        before = merger.merged() if position else None
        with pytest.raises(ValueError, match=FAULTS[fault]) as error:
            merger.add(saved(bad, "bad.safetensors") if on_disk else bad)
        label = "bad.safetensors" if on_disk else f"model {position + 1} "
        assert label in str(error.value)
        assert len(merger) == len(merger.history) == position
        if position:
            assert same(merger.merged(), before)
        merger.add(models[position], name=f"m{position}")
    assert same(merger.merged(), merge(base, models[:2], method=method, **params))
    assert sorted(p.name for p in (tmp_path / "steps").iterdir()) == ["step_01_m0", "step_02_m1"]


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_broken_base_is_blamed_itself(value: float, toy: tuple):
    base, models = toy
    base["fc.bias"][0] = value
    with pytest.raises(ValueError, match=r"base \(mapping of 2 tensors\): 'fc\.bias' holds NaN or infinity"):
        ContinualMerger(base, "weight_average").add(models[0])


def test_a_model_that_changes_while_it_is_read_is_refused(begun: Path, tmp_path: Path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(TASKS[1].read_bytes())

    class Meddling:
        at_once = 1

        def __call__(self, step: Callable, inputs: Inputs) -> Stepped:
            os.utime(path, ns=(1, 1))
            return step(inputs)

    before = contents(begun)
    with pytest.raises(ValueError, match="changed while it was read; nothing was merged"):
        ContinualMerger.load(begun, apply_step=Meddling()).add(path)
    assert contents(begun) == before


def test_a_model_of_another_base_is_warned_of_with_the_figures(begun: Path):
    torch.manual_seed(0)
    stranger = {key: x.std() * torch.randn_like(x) for key, x in load_file(BASE).items()}
    with pytest.warns(UserWarning, match=r"implausibly far from .*‖τ‖ = .*, ‖W0‖ = .*, ratio 1\.\d\d"):
        ContinualMerger.load(begun).add(stranger)
