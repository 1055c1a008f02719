"""DOP: the MGDA weight, the published Adam solver, symmetries of the merge, degenerate layers."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor

import cmmlib
from cmmlib import ContinualMerger
from cmmlib.methods import dop
from cmmlib.methods.losses import Quadratic, Space, quadratic

from ..helpers.dop_losses import SOLVERS, pair, printed_loss
from ..helpers.layers import close, f64, merge_task_vectors, randn

solvers = pytest.mark.parametrize("solver", SOLVERS, ids=["adam", "exact", "balanced"])


def plain_mgda(g0: Tensor, g1: Tensor) -> float:
    """argmin over c of ‖c g0 + (1 − c) g1‖ on a fine grid, which needs no formula."""
    grid = torch.linspace(0, 1, 100001, dtype=f64)
    v00, v01, v11 = (torch.sum(p * q) for p, q in ((g0, g0), (g0, g1), (g1, g1)))
    return grid[(grid**2 * v00 + 2 * grid * (1 - grid) * v01 + (1 - grid) ** 2 * v11).argmin()].item()


@pytest.mark.parametrize(
    ("g0", "g1", "weight"),
    [([1.0, 0], [0.0, 1], 0.5), ([1.0, 0], [0.0, 2], 0.8), ([1.0, 0], [2.0, 1], 0.999), ([2.0, 1], [1.0, 0], 0.001)],
)
def test_mgda_weight_is_that_of_the_shortest_vector_clipped(g0: list[float], g1: list[float], weight: float):
    g0, g1 = torch.tensor(g0), torch.tensor(g1)
    assert dop.mgda_weight(*(torch.dot(p, q).item() for p, q in ((g0, g0), (g0, g1), (g1, g1)))) == pytest.approx(weight)
    assert plain_mgda(g0, g1) == pytest.approx(weight, abs=1.1e-3)


@pytest.mark.parametrize(
    ("mgda", "ema", "space"), [(False, True, "uv"), (True, True, "uv"), (True, False, "u"), (True, True, "v")]
)
def test_adam_walks_the_path_of_an_autograd_loop(mgda: bool, ema: bool, space: Space):
    old, new = pair((6, 8), space)
    x = ((old.center + new.center) / 2).requires_grad_()
    optimizer, a = torch.optim.Adam([x], lr=1e-3), 0.8
    for _ in range(30):
        l0, l1 = (printed_loss(q.center, x, space, 0.99999) for q in (old, new))
        if mgda:
            (g0,), (g1,) = (torch.autograd.grad(loss, x, retain_graph=True) for loss in (l0, l1))
            c = min(max(plain_mgda(g0 / l0.detach(), g1 / l1.detach()), 0.001), 0.999)
            a = 0.9 * a + 0.1 * c if ema else c
        optimizer.zero_grad()
        (a * l0 + (1 - a) * l1).backward()
        optimizer.step()
    ours, weight = dop.solve_adam(old, new, lr=1e-3, num_steps=30, alpha=0.8, mgda=mgda, ema=ema, ema_beta=0.9)
    assert weight == pytest.approx(a, abs=1e-4)
    assert (ours - x.detach()).abs().max() <= (1e-5 if mgda else 1e-12)


@pytest.mark.parametrize("space", ["u", "v", "uv"])
@pytest.mark.parametrize("transposed", [(True, False), (False, True), (True, True)])
def test_adam_does_not_see_the_memory_layout(transposed: tuple[bool, bool], space: Space):
    old, new = pair((6, 8), space)
    settings = dict(lr=1e-2, num_steps=20, alpha=0.8, mgda=True, ema=True, ema_beta=0.9)
    expected, _ = dop.solve_adam(old, new, **settings)
    column_major = [
        Quadratic(q.center.T.contiguous().T if flip else q.center, q.u, q.v)
        for q, flip in zip((old, new), transposed, strict=True)
    ]
    assert (dop.solve_adam(*column_major, **settings)[0] - expected).abs().max() <= 1e-12


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3])
def test_mgda_weight_does_not_see_the_scale_of_the_task_vectors(scale: float):
    weights = []
    for factor in (1.0, scale):
        old, new = (quadratic(factor * randn(6, 8, seed=seed).float(), "uv", 0.99999) for seed in (24, 25))
        settings = dict(lr=1e-4 * factor, num_steps=5, alpha=0.8, mgda=True, ema=False, ema_beta=0.9)
        weights.append(dop.solve_adam(old, new, **settings)[1])
    assert weights[1] == pytest.approx(weights[0], rel=1e-3)


@pytest.mark.parametrize("space", ["u", "v"])
def test_transposition_swaps_u_and_v(space: Space):
    taus = [randn(5, 9, seed=seed) for seed in (30, 31)]
    other: Space = "v" if space == "u" else "u"
    for options in ({"solver": "exact", "alpha": 0.4}, {"solver": "adam", "num_steps": 20}):
        there = merge_task_vectors("dop", taus, svd_proj_space=space, **options)
        back = merge_task_vectors("dop", [tau.T for tau in taus], svd_proj_space=other, **options)
        assert close(back.T, there)


@pytest.mark.parametrize("alpha", [0.3, 0.8, "balanced"])
def test_exact_solution_scales_with_the_task_vectors(alpha: float | Literal["balanced"]):
    taus = [randn(5, 9, seed=seed) for seed in (32, 33)]
    expected = merge_task_vectors("dop", taus, solver="exact", alpha=alpha)
    scaled = merge_task_vectors("dop", [1e-3 * tau for tau in taus], solver="exact", alpha=alpha)
    assert close(scaled, 1e-3 * expected, rel=1e-7)


def test_exact_solution_swaps_with_the_models():
    taus = [randn(5, 9, seed=seed) for seed in (34, 35)]
    there = merge_task_vectors("dop", taus, solver="exact", alpha=0.3)
    assert close(merge_task_vectors("dop", taus[::-1], solver="exact", alpha=0.7), there)


@solvers
@pytest.mark.parametrize("compat", [False, True])
def test_layers_without_a_task_vector_keep_the_other_ones(solver: dict, compat: bool):
    zero, one, two = torch.zeros(4, 5), randn(4, 5, seed=0).float(), randn(4, 5, seed=1).float()
    base = {"a": zero, "b": zero}
    merger = ContinualMerger(base, "dop", linear=["a", "b"], reference_compat=compat, **solver)
    merger.add({"a": one, "b": zero}).add({"a": zero, "b": two})
    assert torch.equal(merger.merged()["a"], one) and torch.equal(merger.merged()["b"], two)
    assert merger.history["degenerate_mean"].iloc[-1] == 1


@solvers
def test_merging_a_layer_with_itself_changes_nothing(solver: dict):
    tau = randn(4, 5, seed=2)
    assert close(merge_task_vectors("dop", [tau, tau.clone()], **solver), tau)


@solvers
@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (1, 1)])
@pytest.mark.parametrize("space", ["u", "v", "uv"])
def test_vectors_and_scalars_are_layers_too(shape: tuple[int, int], space: Space, solver: dict, compat: bool):
    taus = [randn(*shape, seed=seed) for seed in (0, 1, 2)]
    merged = merge_task_vectors("dop", taus, svd_proj_space=space, reference_compat=compat, **solver)
    assert torch.isfinite(merged).all()
    assert merged.norm() <= 2 * max(tau.norm() for tau in taus)


@solvers
def test_rank_one_layers_with_nothing_in_common_are_both_kept_by_the_exact_solver(solver: dict):
    one, two = torch.zeros(4, 6, dtype=f64), torch.zeros(4, 6, dtype=f64)
    one[0, 0], two[1, 1] = 2.0, 3.0
    merged = merge_task_vectors("dop", [one, two], **solver)
    assert torch.isfinite(merged).all()
    if solver["solver"] == "exact":
        assert close(merged, one + two)  # the one point where both losses vanish, nearest the average


@pytest.mark.parametrize("excluded", ["pre.out", "vision_model.pre.out"])
def test_excluded_and_other_parameters_are_averaged(excluded: str):
    base = {"pre.fc.weight": torch.zeros(3, 4), "pre.out.weight": torch.zeros(3, 4), "pre_layrnorm.weight": torch.zeros(3)}
    base = {"vision_model." + key: tensor for key, tensor in base.items()}
    models = [{key: randn(*x.shape, seed=seed).float() for key, x in base.items()} for seed in (1, 2, 3)]
    merged = cmmlib.merge(base, models, method="dop", linear=["*.weight"], exclude_keys=[excluded], solver="exact")
    for key in base:
        average = ((models[0][key] + models[1][key]) / 2 + models[2][key]) / 2
        assert torch.allclose(merged[key], average, atol=1e-6) == ("fc" not in key)
