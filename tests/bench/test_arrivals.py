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
    outer = 4 * (8 * 8 + 16 * 16) if label == "DOP-all (u)" else 0
    assert kept == [size * t if label in AT_ONCE else size + outer for t in (1, 2, 3, 4)]
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
