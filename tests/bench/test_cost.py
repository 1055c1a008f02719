"""What the cost bench times: the merges from all models at once are right, and what is kept is counted right."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import cmmlib
from cmmlib.bench import cost
from cmmlib.bench.random_towers import LINEAR, random_model

Model = dict[str, Tensor]


@pytest.fixture
def towers() -> tuple[Model, list[Model]]:
    shapes = {"q_proj.weight": (8, 8), "mlp.fc1.weight": (16, 8), "mlp.fc1.bias": (16,)}
    generator = torch.Generator().manual_seed(0)
    base = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return base, [random_model(base, seed) for seed in range(1, 5)]


def test_merging_anew_gives_what_the_constant_state_gives(towers: tuple[Model, list[Model]]):
    base, models = towers
    anew = cost.dop_all_anew(base, models)
    kept = cmmlib.merge(base, models, method="dop_all", linear=LINEAR)
    for name, tensor in base.items():
        torch.testing.assert_close(anew[name] - tensor, kept[name] - tensor, rtol=1e-3, atol=1e-6)


def test_ties_at_once_trims_elects_and_averages_those_that_agree():
    base = {"w": torch.zeros(5)}
    models = [{"w": torch.tensor(values)} for values in ([4.0, 0.1, -3.0, 0.0, 0.2], [2.0, 5.0, 4.0, 0.1, 0.0])]
    # as published one more than 40 % of five stay: (4, 0, -3, 0, 0.2) and (2, 5, 4, 0, 0); the third entry's sign is +
    expected = torch.tensor([3.0, 5.0, 4.0, 0.0, 0.2])
    assert torch.equal(cost.ties_at_once(base, models, share=0.4)["w"], expected)


@pytest.mark.parametrize("label", [*cost.STREAMING, *cost.AT_ONCE])
def test_kept_bytes_grow_only_where_all_models_are_needed(label: str, towers: tuple[Model, list[Model]]):
    base, models = towers
    merging, kept = cost.Merging(label, base), []
    for model in models:
        merging.arrive(model)()
        kept.append(merging.kept)
    size = sum(tensor.nbytes for tensor in base.values())
    outer = 4 * (8 * 8 + 16 * 16) if label == "DOP-all (u)" else 0
    assert kept == [size * t if label in cost.AT_ONCE else size + outer for t in (1, 2, 3, 4)]


def test_a_step_may_be_timed_twice(towers: tuple[Model, list[Model]]):
    base, models = towers
    merging = cost.Merging("OPCM", base)
    for model in models:
        work = merging.arrive(model)
        work()
        work()
    expected = cmmlib.merge(base, models, method="opcm", linear=LINEAR)
    merged = merging.merger.merged()
    assert all(torch.equal(merged[name], expected[name]) for name in base)
