"""A layerwise method's steps may be applied elsewhere."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from cmmlib import ContinualMerger

from ..helpers.models import State, same


@pytest.mark.parametrize("on_disk", [False, True])
def test_layers_may_be_stepped_elsewhere(on_disk: bool, folder: Callable, clip_models: list[State], tmp_path: Path):
    seen = []

    def elsewhere(step: Callable, inputs: Iterable) -> Iterator:
        for each in inputs:
            seen.append(each[2].name)
            yield pickle.loads(pickle.dumps(step))(pickle.loads(pickle.dumps(each)))

    merger = ContinualMerger(folder("base"), "opcm", layer_map=elsewhere)
    plain = ContinualMerger(folder("base"), "opcm")
    if on_disk:
        merger.save(tmp_path / "state")
        merger = ContinualMerger.load(tmp_path / "state", layer_map=elsewhere)
    for model in clip_models[:2]:
        merger.add(model)
        plain.add(model)
    assert len(seen) == 2 * len(plain.merged())
    assert same(merger.merged(), plain.merged())
