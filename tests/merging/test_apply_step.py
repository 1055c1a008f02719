"""A layerwise method's steps may be applied elsewhere."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from cmmlib import ContinualMerger
from cmmlib.merging.parameter_step import Inputs, Stepped

from ..helpers.models import State, same


@pytest.mark.parametrize("on_disk", [False, True])
def test_layers_may_be_stepped_elsewhere(on_disk: bool, folder: Callable, clip_models: list[State], tmp_path: Path):
    seen = []

    class Elsewhere:
        at_once = 2

        def __call__(self, step: Callable, inputs: Inputs) -> Stepped:
            seen.append(inputs.context.name)
            return pickle.loads(pickle.dumps(step))(pickle.loads(pickle.dumps(inputs)))

    elsewhere = Elsewhere()
    merger = ContinualMerger(folder("base"), "opcm", apply_step=elsewhere)
    plain = ContinualMerger(folder("base"), "opcm")
    if on_disk:
        merger.save(tmp_path / "state")
        merger = ContinualMerger.load(tmp_path / "state", apply_step=elsewhere)
    for model in clip_models[:2]:
        merger.add(model)
        plain.add(model)
    assert len(seen) == 2 * len(plain.merged())
    assert same(merger.merged(), plain.merged())
