"""DOP over all tasks at once: the minimiser of the sum of all losses, whatever the order, in a state of constant size."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import cmmlib
from cmmlib import ContinualMerger, get_method
from cmmlib.methods.losses import Space, quadratic

from ..helpers.layers import LINEAR, merge_task_vectors, randn, small_models


def task_vectors(shape: tuple[int, int], count: int = 4) -> list[Tensor]:
    return [randn(*shape, seed=seed) for seed in range(count)]


@pytest.mark.parametrize("weighting", ["none", "norm"])
@pytest.mark.parametrize("space", ["u", "v", "uv"])
@pytest.mark.parametrize("shape", [(5, 5), (3, 9), (9, 3), (1, 4), (4, 1)])
def test_all_task_dop_minimises_the_sum_of_all_losses(shape: tuple[int, int], space: Space, weighting: str):
    models = task_vectors(shape)
    x = merge_task_vectors("dop_all", models, svd_proj_space=space, weighting=weighting, ridge=0.0)
    gradient, start = torch.zeros_like(x), torch.zeros_like(x)
    for tau in models:
        weight = 1 / tau.norm() ** 2 if weighting == "norm" else 1.0
        loss = quadratic(tau, space, 1.0)
        gradient += weight * loss.curvature(x - tau)
        start += weight * loss.curvature(tau)
    assert gradient.norm() <= 1e-9 * start.norm()


@pytest.mark.parametrize("space", ["u", "v", "uv"])
def test_all_task_dop_does_not_see_the_order(space: Space):
    base, *_ = small_models()
    models = [small_models(seed)[1] for seed in range(5)]
    models = [{k: base[k] + 0.1 * m[k] for k in base} for m in models]
    there = cmmlib.merge(base, models, method="dop_all", svd_proj_space=space, linear=LINEAR)
    back = cmmlib.merge(base, models[::-1], method="dop_all", svd_proj_space=space, linear=LINEAR)
    assert all(torch.allclose(there[key], back[key], atol=1e-5) for key in base)


def test_all_task_dop_keeps_a_state_of_constant_size():
    sizes = []
    merger = ContinualMerger({"w": torch.zeros(4, 6)}, "dop_all", linear=["w"], svd_proj_space="uv")
    for tau in task_vectors((4, 6)):
        merger.add({"w": tau.float()})
        sizes.append({name: tuple(part.shape) for name, part in merger.standing.accumulated["w"].items()})
    assert sizes == [{"r": (4, 6), "p": (4, 4), "q": (6, 6)}] * 4


def test_a_ridge_shrinks_and_none_returns_a_single_model():
    (tau,) = task_vectors((4, 6), 1)
    assert (merge_task_vectors("dop_all", [tau], ridge=0.0) - tau).norm() <= 1e-9 * tau.norm()
    assert merge_task_vectors("dop_all", [tau], ridge=1.0).norm() < tau.norm()


def test_other_parameters_are_summed_over_the_root_of_their_number_or_averaged():
    models = [{"b": torch.full((3,), value)} for value in (1.0, 2.0, 6.0)]
    for others, expected in (("sqrt", 9 / math.sqrt(3)), ("mean", 3.0)):
        merged = cmmlib.merge({"b": torch.zeros(3)}, models, method="dop_all", others=others)["b"]
        assert torch.allclose(merged, torch.full((3,), expected))


def test_a_new_default_does_not_make_other_code_of_it():
    assert get_method("dop_all").defaults["svd_proj_space"] == "v"
    assert get_method("dop_all").source_hash == "6348450bc31620fb"  # with which states were saved when it was u
