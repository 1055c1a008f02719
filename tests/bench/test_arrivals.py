"""What is kept as models arrive is counted right, and a step may be measured more than once."""

from __future__ import annotations

import pytest
import torch

import cmmlib
from cmmlib.bench.arrivals import AT_ONCE, STREAMING, Streaming, merging
from cmmlib.bench.random_towers import LINEAR, Model


@pytest.mark.parametrize("label", [*STREAMING, *AT_ONCE])
def test_kept_bytes_grow_only_where_all_models_are_needed(label: str, base: Model, models: list[Model]):
    method, kept = merging(label, base), []
    for model in models:
        method.arrive(model)()
        kept.append(method.kept)
    size = sum(tensor.nbytes for tensor in base.values())
    eight, sixteen = 8 * 9 // 2, 16 * 17 // 2  # numbers of a packed symmetric matrix
    if label == "Kronecker":  # on both sides, the longer one of the second weight cut to its leading directions
        assert len(set(kept)) == 1 and 4 * 3 * eight < kept[0] - size < 4 * (3 * eight + sixteen)
        return
    # on the output side; on the input side, in float64
    sums = {"DOP-all (u)": 4 * (8 * 8 + 16 * 16), "WUDI": 8 * 2 * eight}.get(label, 0)
    assert kept == [size * t if label in AT_ONCE else size + sums for t in (1, 2, 3, 4)]
    assert method.keeps_models == (label in AT_ONCE)


def test_a_step_may_be_timed_twice(base: Model, models: list[Model]):
    method = Streaming(base, "opcm")
    for model in models:
        work = method.arrive(model)
        work()
        work()
    expected = cmmlib.merge(base, models, method="opcm", linear=LINEAR)
    merged = method.merger.merged()
    assert all(torch.equal(merged[name], expected[name]) for name in base)
