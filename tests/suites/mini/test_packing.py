"""Eight-bit task vectors."""

from __future__ import annotations

import numpy as np
import pytest

from cmmlib.suites.mini.packing import pack, unpack
from cmmlib.suites.mini.tasks import TASKS
from cmmlib.suites.zoos.checksums import tensors_hash

from .shipped import SHIPPED, stored


@pytest.mark.parametrize("backbone", SHIPPED)
def test_stored_towers_match_their_committed_checksums(suite, backbone):
    from safetensors.numpy import load_file

    folder, base = stored(backbone)
    towers = {task.name: unpack(base, load_file(folder / "deltas" / f"{task.name}.safetensors")) for task in TASKS}
    assert {name: tensors_hash(tower) for name, tower in towers.items()} == suite.checksums["towers"][backbone]


def test_quantisation_error_is_at_most_half_a_step():
    rng = np.random.default_rng(0)
    base = {"vision_model.a": rng.normal(size=(5, 3, 2)).astype("f4"), "vision_model.b": np.ones(4, "f4")}
    delta = {"vision_model.a": 0.01 * rng.normal(size=(5, 3, 2)).astype("f4"), "vision_model.b": np.ones(4, "f4")}
    delta["vision_model.a"][2] = 0  # a row that did not move has no scale
    found = unpack(base, pack(base, {name: base[name] + delta[name] for name in base}))
    step = np.abs(delta["vision_model.a"]).max(axis=(1, 2), keepdims=True) / 127
    error = np.abs(found["vision_model.a"] - base["vision_model.a"] - delta["vision_model.a"])
    assert (error <= step / 2 + 1e-6).all()
    assert np.array_equal(found["vision_model.b"], np.full(4, 2, "f4"))
