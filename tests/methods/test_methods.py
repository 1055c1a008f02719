"""The algebra of the methods: theorems, identities, plain reimplementations, degenerate layers, the registry."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import cmmlib
from cmmlib import ContinualMerger, get_method, method_names
from cmmlib.methods import Context, Interval, dop, exact, losses, opcm, registry, spectral, ties

SHAPES = [(6, 6), (4, 9), (9, 4), (3, 20), (20, 3), (1, 5), (5, 1), (1, 1)]
f64 = torch.float64


def randn(*shape: int, seed: int, rank: int | None = None, dtype: torch.dtype = f64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if rank is None:
        return torch.randn(shape, generator=generator, dtype=f64).to(dtype)
    left = torch.randn(shape[0], rank, generator=generator, dtype=f64)
    return (left @ torch.randn(rank, shape[1], generator=generator, dtype=f64)).to(dtype)


def close(actual: Tensor, expected: Tensor, rel: float = 1e-9) -> bool:
    return bool((actual - expected).norm() <= rel * max(expected.norm().item(), 1e-300))


def merge_task_vectors(method: str, taus: list[Tensor], **params) -> Tensor:
    """The merged task vector of a model of one linear weight whose base is zero, computed in float64."""
    linear = ["w"] if taus[0].ndim == 2 else None
    options = {"linear": linear} if linear else {}
    merger = ContinualMerger({"w": torch.zeros_like(taus[0])}, method, compute_dtype=f64, **options, **params)
    for tau in taus:
        merger.add({"w": tau})
    return merger.merged()["w"]


# ---------------------------------------------------------------------------------------------- thin SVD


@pytest.mark.parametrize("shape", SHAPES)
def test_thin_svd_is_an_svd(shape: tuple[int, int]):
    a = randn(*shape, seed=0)
    u, s, v = spectral.thin_svd(a)
    assert close((u * s) @ v.T, a)
    assert close(s, torch.linalg.svdvals(a))
    eye = torch.eye(len(s), dtype=f64)
    assert close(u.T @ u, eye) and close(v.T @ v, eye)


@pytest.mark.parametrize(("rank", "shape"), [(0, (5, 7)), (1, (7, 5)), (3, (8, 8))])
def test_thin_svd_leaves_out_the_null_space(rank: int, shape: tuple[int, int]):
    a = randn(*shape, seed=1, rank=rank) if rank else torch.zeros(shape, dtype=f64)
    u, s, v = spectral.thin_svd(a)
    assert u.shape == (shape[0], rank) and s.shape == (rank,) and v.shape == (shape[1], rank)
    assert close((u * s) @ v.T, a)


def test_cumulative_share_never_exceeds_one():
    for seed in range(300):
        c = spectral.cumulative_share(randn(768, seed=seed).abs().sort(descending=True).values)
        assert c[-1] == 1 and (c <= 1).all()


# ---------------------------------------------------------------------------------------------- OPCM


def full_clean(tau: Tensor, merged: Tensor, alpha: float, zero_diagonal: bool) -> Tensor:
    """The paper's projection as printed: full square U and V, P = Uᵀ τ V, entries set to zero."""
    u, s, vt = torch.linalg.svd(merged.double(), full_matrices=True)
    p = u.T @ tau.double() @ vt.T
    above = s.cumsum(0) / s.sum() > alpha + 1e-12
    r = int(above.int().argmax()) if above.any() else len(s)
    if zero_diagonal:
        p.diagonal()[:] = 0
    p[:r, :r] = 0
    return u @ p @ vt


@pytest.mark.parametrize("zero_diagonal", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_thin_projection_equals_the_full_one(shape: tuple[int, int], alpha: float, zero_diagonal: bool):
    merged, tau = randn(*shape, seed=2), randn(*shape, seed=3)
    thin = opcm.clean(tau, merged, alpha=alpha, zero_diagonal=zero_diagonal)
    assert (thin - full_clean(tau, merged, alpha, zero_diagonal)).norm() <= 1e-9 * tau.norm()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_theorem_5_1_what_is_added_is_orthogonal(shape: tuple[int, int], alpha: float):
    merged, tau = randn(*shape, seed=4), randn(*shape, seed=5)
    cleaned = opcm.clean(tau, merged, alpha=alpha, zero_diagonal=True)
    assert abs(torch.sum(merged * cleaned)) <= 1e-10 * merged.norm() * tau.norm()


def test_theorem_5_1_needs_the_zeroed_diagonal():
    merged, tau = randn(8, 8, seed=4), randn(8, 8, seed=5)
    cleaned = opcm.clean(tau, merged, alpha=0.5, zero_diagonal=False)
    assert abs(torch.sum(merged * cleaned)) > 1e-3 * merged.norm() * tau.norm()


def test_theorem_5_1_holds_where_the_merged_vector_is_ill_conditioned():
    u, v = (torch.linalg.qr(randn(32, 32, seed=seed))[0] for seed in (6, 7))
    merged = (u * torch.logspace(0, -12, 32, dtype=f64)) @ v.T
    tau = randn(32, 32, seed=8)
    cleaned = opcm.clean(tau, merged, alpha=0.5, zero_diagonal=True)
    assert abs(torch.sum(merged * cleaned)) <= 1e-6 * merged.norm() * tau.norm()


@pytest.mark.parametrize("zero_diagonal", [True, False])
def test_theorem_5_2_the_norm_is_the_mean_norm_at_every_step(perturbed: Callable, zero_diagonal: bool):
    base = {"fc.weight": randn(6, 5, seed=0), "fc.bias": randn(6, seed=1)}
    merger = ContinualMerger(base, "opcm", linear=["fc.*"], zero_diagonal=zero_diagonal)
    for step in range(1, 5):
        merger.add(perturbed(base, step, scale=0.1 * step))
        history = merger.history
        assert history["merged_norm"].iloc[-1] == pytest.approx(history["task_vector_norm"].mean(), rel=1e-12)


@pytest.mark.parametrize("zero_diagonal", [True, False])
def test_unscaled_sum_equals_the_papers_recursion(zero_diagonal: bool):
    taus = [{"w": randn(7, 5, seed=seed), "b": randn(7, seed=seed + 50)} for seed in range(5)]
    merger = ContinualMerger({k: torch.zeros_like(t) for k, t in taus[0].items()}, linear=["w"], zero_diagonal=zero_diagonal)
    merged, lam, norms = {}, 1.0, []
    for t, tau in enumerate(taus):
        norms.append(sum(x.norm() ** 2 for x in tau.values()).sqrt())
        if t == 0:
            merged = dict(tau)
        else:  # M ← (λ_prev M + cleaned) / λ
            total = {"w": full_clean(tau["w"], merged["w"], 0.5, zero_diagonal), "b": tau["b"]}
            total = {key: lam * merged[key] + total[key] for key in total}
            lam = sum(x.norm() ** 2 for x in total.values()).sqrt() / torch.stack(norms).mean()
            merged = {key: x / lam for key, x in total.items()}
        merger.add(tau)
        assert all(close(merger.merged()[key], merged[key]) for key in merged)
        assert merger.history["lambda"].iloc[-1] == pytest.approx(float(lam), rel=1e-9)


@pytest.mark.parametrize("shape", [(24, 24), (24, 96), (96, 24), (24, 36)])
def test_float32_rounds_the_result_and_no_more_where_the_merged_vector_is_ill_conditioned(shape: tuple[int, int]):
    m, n = shape
    u, v = (torch.linalg.qr(randn(k, min(shape), seed=seed))[0] for seed, k in enumerate(shape))
    merged = ((u * torch.logspace(0, -4, min(shape), dtype=f64)) @ v.T).float()
    tau = randn(m, n, seed=8).float()
    expected = opcm.clean(tau.double(), merged.double(), alpha=0.5, zero_diagonal=True)
    assert (opcm.clean(tau, merged, alpha=0.5, zero_diagonal=True) - expected).norm() <= 3e-7 * tau.norm()


@pytest.mark.parametrize("shape", [(300, 300), (260, 700), (257, 259)])
def test_products_in_strips_and_parts_are_the_products(shape: tuple[int, int]):
    a, b = randn(*shape, seed=1).float(), randn(*shape, seed=2).float()
    assert close(spectral.outer(a), a.double() @ a.double().T)
    assert close(spectral.outer(a.T), a.double().T @ a.double())
    assert close(spectral.cross_gram(a, b), a.double() @ b.double().T)


def test_alpha_one_projects_out_everything_and_compat_the_least():
    merged, tau = randn(6, 4, seed=0), randn(6, 4, seed=1)
    u, _, v = spectral.thin_svd(merged)
    full = tau - u @ (u.T @ tau @ v) @ v.T  # r = k
    assert close(opcm.clean(tau, merged, alpha=1.0, zero_diagonal=False), full)
    assert close(opcm.clean(tau, merged, alpha=1.0, zero_diagonal=True), full)
    assert close(opcm.clean(tau, merged, alpha=1.0, zero_diagonal=False, compat=True), tau)  # r = 0


def test_alpha_one_takes_all_pairs_whatever_the_rounding():
    for seed in range(30):
        merged, tau = randn(40, 40, seed=seed), randn(40, 40, seed=seed + 1000)
        assert opcm.clean(tau, merged, alpha=1.0, zero_diagonal=False).norm() <= 1e-8 * tau.norm(), seed


@pytest.mark.parametrize("zero_diagonal", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_projection_commutes_with_transposition(shape: tuple[int, int], zero_diagonal: bool):
    merged, tau = randn(*shape, seed=9), randn(*shape, seed=10)
    there = opcm.clean(tau, merged, alpha=0.5, zero_diagonal=zero_diagonal)
    back = opcm.clean(tau.T, merged.T, alpha=0.5, zero_diagonal=zero_diagonal).T
    assert (there - back).norm() <= 1e-9 * tau.norm()


@pytest.mark.parametrize("scale", [1e-6, 3.0, 1e6])
def test_projection_does_not_see_the_scale_of_what_is_merged(scale: float):
    merged, tau = randn(6, 9, seed=11), randn(6, 9, seed=12)
    expected = opcm.clean(tau, merged, alpha=0.5, zero_diagonal=True)
    assert close(opcm.clean(tau, scale * merged, alpha=0.5, zero_diagonal=True), expected)
    assert close(opcm.clean(scale * tau, merged, alpha=0.5, zero_diagonal=True), scale * expected)


@given(st.integers(0, 10**6), st.sampled_from(SHAPES), st.floats(0, 1))
def test_projection_is_orthogonally_equivariant_and_idempotent(seed: int, shape: tuple[int, int], alpha: float):
    merged, tau = randn(*shape, seed=seed), randn(*shape, seed=seed + 1)
    q = torch.linalg.qr(randn(shape[0], shape[0], seed=seed + 2))[0]
    cleaned = opcm.clean(tau, merged, alpha=alpha, zero_diagonal=True)
    assert (opcm.clean(q @ tau, q @ merged, alpha=alpha, zero_diagonal=True) - q @ cleaned).norm() <= 1e-6 * tau.norm()
    assert (opcm.clean(cleaned, merged, alpha=alpha, zero_diagonal=True) - cleaned).norm() <= 1e-6 * tau.norm()


def test_nothing_is_left_of_a_repeated_task():
    tau = randn(5, 8, seed=13)
    assert opcm.clean(2 * tau, tau, alpha=0.5, zero_diagonal=True).norm() <= 1e-9 * tau.norm()


def test_nothing_is_cleaned_before_anything_is_merged():
    tau = randn(5, 8, seed=14)
    assert torch.equal(opcm.clean(tau, torch.zeros_like(tau), alpha=0.5, zero_diagonal=True), tau)


def test_pairs_without_singular_value_keep_their_diagonal():
    merged, tau = randn(8, 8, seed=15, rank=3), randn(8, 8, seed=16)
    u, _, v = spectral.thin_svd(merged)
    outside_u, outside_v = tau - u @ (u.T @ tau), tau - (tau @ v) @ v.T
    cleaned = opcm.clean(tau, merged, alpha=0.5, zero_diagonal=True)
    assert close(cleaned - u @ (u.T @ cleaned), outside_u)
    assert close(cleaned - (cleaned @ v) @ v.T, outside_v)


def test_task_vectors_that_cancel_leave_the_base():
    bias = torch.ones(3)
    merger = ContinualMerger({"b": torch.zeros(3)}, "opcm", linear=[])
    merger.add({"b": bias}).add({"b": -bias})
    assert torch.equal(merger.merged()["b"], torch.zeros(3))
    assert merger.history["lambda"].iloc[-1] == 0
    assert torch.equal(merger.add({"b": bias}).merged()["b"], bias)


# ---------------------------------------------------------------------------------------------- DOP


def pair(shape: tuple[int, int], space: dop.Space = "uv", epsilon: float = 0.99999, **options) -> tuple[dop.Quadratic, ...]:
    return tuple(dop.quadratic(randn(*shape, seed=seed, **options), space, epsilon) for seed in (20, 21))


def printed_loss(task_vector: Tensor, x: Tensor, space: dop.Space, epsilon: float) -> Tensor:
    """‖S Uᵀ E‖² + ‖E V S‖² with torch's SVD cut at the fewest values whose share of the sum reaches ε."""
    u, s, vt = torch.linalg.svd(task_vector, full_matrices=False)
    k = min(int((s.cumsum(0) / s.sum() < epsilon).sum()) + 1, len(s))
    e = x - task_vector
    loss = torch.zeros((), dtype=x.dtype)
    if "u" in space:
        loss = loss + (s[:k, None] * (u[:, :k].T @ e)).square().sum()
    if "v" in space:
        loss = loss + ((e @ vt[:k].T) * s[:k]).square().sum()
    return loss


def objective(old: dop.Quadratic, new: dop.Quadratic, x: Tensor, a: float) -> float:
    return float(a * old.gradient(x)[1] + (1 - a) * new.gradient(x)[1])


@pytest.mark.parametrize("epsilon", [0.99999, 0.7])
@pytest.mark.parametrize("space", ["u", "v", "uv"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_and_loss_are_those_of_the_printed_loss(shape: tuple[int, int], space: dop.Space, epsilon: float):
    center = randn(*shape, seed=22)
    x = randn(*shape, seed=23).requires_grad_()
    loss = printed_loss(center, x, space, epsilon)
    (expected,) = torch.autograd.grad(loss, x)
    gradient, value = dop.quadratic(center, space, epsilon).gradient(x.detach())
    assert close(gradient, expected)
    assert float(value) == pytest.approx(loss.item(), rel=1e-9)
    assert float(value) == pytest.approx(float(torch.sum(gradient * (x.detach() - center))) / 2, rel=1e-9)


@pytest.mark.parametrize("epsilon", [0.99999, 0.7])
@pytest.mark.parametrize("space", ["u", "v", "uv"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_loss_alone_is_the_one_that_comes_with_the_gradient(shape: tuple[int, int], space: dop.Space, epsilon: float):
    loss, x = dop.quadratic(randn(*shape, seed=22), space, epsilon), randn(*shape, seed=23)
    for form in (loss, loss.multiplied_out(), loss._replace(p=None)):
        assert form.loss(x) == pytest.approx(loss.gradient(x)[1], rel=1e-12)


@pytest.mark.parametrize(("smallest", "needed"), [(1.0, False), (2e-4, False), (3e-5, True), (0.0, True)])
def test_singular_vectors_are_computed_only_where_one_may_be_cut(smallest: float, needed: bool, monkeypatch):
    """Σ s is about 10: the rank cuts a smallest value of 1e-4; a bound of Σ s decides, which here is 1.6 times as large."""
    u, v = (torch.linalg.qr(randn(30, 30, seed=seed))[0] for seed in (1, 2))
    s = torch.linspace(1, 0.1, 30, dtype=f64) ** 2
    s[-1] = smallest
    asked = []
    real = torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda x: asked.append(x) or real(x))
    dop.quadratic((u * s) @ v.T, "uv", 0.99999)
    assert bool(asked) == needed


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
def test_adam_walks_the_path_of_an_autograd_loop(mgda: bool, ema: bool, space: dop.Space):
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
def test_adam_does_not_see_the_memory_layout(transposed: tuple[bool, bool], space: dop.Space):
    old, new = pair((6, 8), space)
    settings = dict(lr=1e-2, num_steps=20, alpha=0.8, mgda=True, ema=True, ema_beta=0.9)
    expected, _ = dop.solve_adam(old, new, **settings)
    column_major = [
        dop.Quadratic(q.center.T.contiguous().T if flip else q.center, q.u, q.v)
        for q, flip in zip((old, new), transposed, strict=True)
    ]
    assert (dop.solve_adam(*column_major, **settings)[0] - expected).abs().max() <= 1e-12


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3])
def test_mgda_weight_does_not_see_the_scale_of_the_task_vectors(scale: float):
    weights = []
    for factor in (1.0, scale):
        old, new = (dop.quadratic(factor * randn(6, 8, seed=seed).float(), "uv", 0.99999) for seed in (24, 25))
        settings = dict(lr=1e-4 * factor, num_steps=5, alpha=0.8, mgda=True, ema=False, ema_beta=0.9)
        weights.append(dop.solve_adam(old, new, **settings)[1])
    assert weights[1] == pytest.approx(weights[0], rel=1e-3)


@pytest.mark.parametrize("a", [0.2, 0.8])
@pytest.mark.parametrize("space", ["u", "v", "uv"])
@pytest.mark.parametrize("shape", SHAPES)
def test_exact_solution_is_stationary_and_below_adams(shape: tuple[int, int], space: dop.Space, a: float):
    old, new = pair(shape, space)
    x, weight = exact.solve_exact(old, new, a)
    assert weight == a
    gradients = [q.gradient(x)[0] for q in (old, new)]
    start = [q.gradient((old.center + new.center) / 2)[0] for q in (old, new)]
    residual = (a * gradients[0] + (1 - a) * gradients[1]).norm()
    assert residual <= 1e-10 * max(g.norm() for g in start)
    for lr in (1e-4, 1e-1):
        adam, _ = dop.solve_adam(old, new, lr=lr, num_steps=50, alpha=a, mgda=False, ema=False, ema_beta=0.9)
        assert objective(old, new, x, a) <= objective(old, new, adam, a) * (1 + 1e-12)


def kronecker_solution(old: dop.Quadratic, new: dop.Quadratic, a: float) -> Tensor:
    """Minimum-norm deviation from the average, from the mn × mn Hessian written out."""
    m, n = old.center.shape
    hessian, right = torch.zeros(m * n, m * n, dtype=f64), torch.zeros(m * n, dtype=f64)
    average = (old.center + new.center).double() / 2
    for weight, q in ((a, old), (1 - a, new)):
        part = torch.zeros(m * n, m * n, dtype=f64)
        if q.u is not None:
            part += torch.kron((q.u @ q.u.T).double(), torch.eye(n, dtype=f64))
        if q.v is not None:
            part += torch.kron(torch.eye(m, dtype=f64), (q.v @ q.v.T).double())
        hessian += weight * part
        right -= weight * part @ (average - q.center.double()).reshape(-1)
    step = torch.linalg.pinv(hessian, hermitian=True, rtol=1e-11) @ right
    return average + step.reshape(m, n)


@pytest.mark.parametrize("a", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("space", ["u", "v", "uv"])
@pytest.mark.parametrize(
    ("shape", "rank"),
    [
        ((5, 5), None),
        ((4, 7), None),
        ((7, 4), None),
        ((2, 9), None),
        ((9, 2), None),
        ((6, 6), 1),
        ((3, 9), 2),
        ((1, 6), None),
    ],
)
def test_exact_solution_is_the_minimiser_nearest_the_average(
    shape: tuple[int, int], rank: int | None, space: dop.Space, a: float
):
    old, new = pair(shape, space, rank=rank)
    assert close(exact.solve_exact(old, new, a)[0], kronecker_solution(old, new, a), rel=1e-8)


@pytest.mark.parametrize("space", ["u", "v", "uv"])
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, "balanced"])
def test_wide_layers_are_reduced_without_a_trace(
    space: dop.Space, alpha: float | Literal["balanced"], monkeypatch: pytest.MonkeyPatch
):
    old, new = pair((3, 31), space)
    reduced, a = exact.solve_exact(old, new, alpha)
    monkeypatch.setattr(exact, "_in_common_span", lambda old, new: (old, new, lambda y: y))
    whole, b = exact.solve_exact(old, new, alpha)
    assert a == pytest.approx(b, abs=1e-9)
    assert close(reduced, whole, rel=1e-8)


@given(st.integers(0, 10**6), st.sampled_from(SHAPES), st.sampled_from(["u", "v", "uv"]), st.floats(-3, 3))
def test_balanced_solution_equalises_the_losses(seed: int, shape: tuple[int, int], space: dop.Space, log_ratio: float):
    old = dop.quadratic(randn(*shape, seed=seed), space, 0.99999)
    new = dop.quadratic(10**log_ratio * randn(*shape, seed=seed + 1), space, 0.99999)
    x, a = exact.solve_exact(old, new, "balanced")
    l0, l1 = (float(q.gradient(x)[1]) for q in (old, new))
    scale = max(float(q.gradient(torch.zeros_like(x))[1]) for q in (old, new))
    assert 0 < a < 1
    assert l0 == pytest.approx(l1, rel=1e-5, abs=1e-13 * scale)
    assert close(exact.solve_exact(old, new, a)[0], x, rel=1e-6)


@pytest.mark.parametrize("space", ["u", "v"])
def test_transposition_swaps_u_and_v(space: dop.Space):
    taus = [randn(5, 9, seed=seed) for seed in (30, 31)]
    other: dop.Space = "v" if space == "u" else "u"
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


@pytest.mark.parametrize(
    ("s", "epsilon", "ours", "compat"),
    [
        ([4.0, 3, 2, 1], 0.65, 2, 1),
        ([4.0, 3, 2, 1], 0.75, 3, 2),
        ([4.0, 3, 2, 1], 1.0, 4, 3),
        ([4.0, 3, 2, 1], 0.3, 1, 0),
        ([1.0], 0.99999, 1, 0),
        ([2.0, 2], 0.5, 1, 0),
    ],
)
def test_rank_is_the_papers_and_one_fewer_under_compat(s: list[float], epsilon: float, ours: int, compat: int):
    values = torch.tensor(s, dtype=f64)
    assert losses.rank_at(values, epsilon) == ours
    assert losses.rank_at(values, epsilon, compat=True) == compat


SOLVERS = [{"solver": "adam", "num_steps": 5}, {"solver": "exact"}, {"solver": "exact", "alpha": "balanced"}]
solvers = pytest.mark.parametrize("solver", SOLVERS, ids=["adam", "exact", "balanced"])


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
def test_vectors_and_scalars_are_layers_too(shape: tuple[int, int], space: dop.Space, solver: dict, compat: bool):
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


# ---------------------------------------------------------------------------------------------- baselines


def plain_ties(merged: Tensor, tau: Tensor, share: float, merge_func: str) -> Tensor:
    """TIES on two vectors of d entries, sorted whole."""
    d = len(tau)
    rows = []
    for vector in (merged, tau):
        cut = vector.abs().sort().values[max(d - int(d * share), 1) - 1]
        rows.append(torch.where(vector.abs() >= cut, vector, torch.zeros_like(vector)))
    trimmed = torch.stack(rows)
    sign = trimmed.sum(0).sign()
    sign[sign == 0] = sign.sum().sign()
    agree = torch.where(torch.where(sign > 0, trimmed > 0, trimmed < 0), trimmed, torch.zeros_like(trimmed))
    if merge_func == "max":
        return agree.abs().max(0).values * sign
    if merge_func == "mean":
        return agree.sum(0) / (agree != 0).sum(0).clamp(min=1)
    return agree.sum(0)


@pytest.mark.parametrize("ties_in_magnitude", [False, True])
@pytest.mark.parametrize("merge_func", ["sum", "mean", "max"])
@pytest.mark.parametrize("threshold", [20, 0.2, 55.5, 1, 100, 0.001])
def test_ties_equals_the_sorted_vector_form(threshold: float, merge_func: str, ties_in_magnitude: bool):
    shapes = {"a": (7, 5), "b": (11,), "c": ()}
    models = [
        {key: randn(*shape, seed=seed + i) for i, (key, shape) in enumerate(shapes.items())} for seed in (0, 9, 18, 27)
    ]
    if ties_in_magnitude:
        models = [{key: x.round() for key, x in model.items()} for model in models]
    base = {key: torch.zeros(shape, dtype=f64) for key, shape in shapes.items()}
    merger = ContinualMerger(base, "ties", scaling_factor=0.4, threshold=threshold, merge_func=merge_func)
    expected = 0.0
    for t, model in enumerate(models):
        merger.add(model)
        tau = torch.cat([model[key].reshape(-1) for key in shapes])
        share = threshold / 100 if threshold > 1 else threshold
        expected = 0.4 * tau if t == 0 else expected + 0.4 * plain_ties(expected, tau, share, merge_func)
        merged = torch.cat([merger.merged()[key].reshape(-1) for key in shapes])
        assert (merged - expected).norm() <= 1e-12 * expected.norm()


@pytest.mark.parametrize("last", [5.0, -9.0])
def test_ties_gives_undecided_entries_the_sign_of_the_majority(last: float):
    taus = [torch.tensor([1.0, -2, 3, 5]), torch.tensor([-1.0, 2, 4, last])]
    merged = merge_task_vectors("ties", taus, scaling_factor=1, threshold=100)
    by_hand = taus[0] + plain_ties(*taus, 1.0, "sum")
    assert torch.equal(merged, by_hand)
    if last > 0:  # entries 0 and 1 cancel; the other two elect plus, so that their positive sides are added
        assert merged.tolist() == [2, 0, 10, 15]


@given(
    st.lists(st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0, 1.5, 1e-40, -3e38, 0.1]), max_size=6), min_size=1, max_size=4),
    st.sampled_from([torch.float32, f64]),
    st.data(),
)
def test_kth_magnitude_is_that_of_the_sorted_vector(lists: list[list[float]], dtype: torch.dtype, data: st.DataObject):
    vectors = [torch.tensor(values, dtype=dtype) for values in lists]
    whole = torch.cat(vectors).abs().sort().values
    if len(whole):
        k = data.draw(st.integers(1, len(whole)))
        assert ties.kth_magnitude(vectors, k) == whole[k - 1].item()


@pytest.mark.parametrize("dtype", [torch.float32, f64])
def test_kth_magnitude_of_many_close_values(dtype: torch.dtype):
    values = (1 + randn(20000, seed=0) * 1e-6).to(dtype)
    whole = values.abs().sort().values
    for k in (1, 2, 9999, 16000, 20000):
        assert ties.kth_magnitude(values.split(3000), k) == whole[k - 1].item()


def test_magmax_keeps_the_larger_and_on_a_tie_the_later():
    taus = [torch.tensor(row) for row in ([1.0, -2, 3, 0], [-1.0, 1, -4, 0], [0.5, 2, 4, 0])]
    assert torch.equal(merge_task_vectors("magmax", taus, scaling_factor=1), torch.tensor([-1.0, 2, 4, 0]))
    assert torch.equal(merge_task_vectors("magmax", taus), torch.tensor([-0.5, 1, 2, 0]))


def test_magmax_is_scaled_once():
    taus = [torch.tensor([4.0]), torch.tensor([3.0]), torch.tensor([-5.0])]
    assert merge_task_vectors("magmax", taus, scaling_factor=0.5).item() == -2.5


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=6, unique=True), st.data())
def test_order_of_tasks_does_not_matter_to_the_linear_methods(seeds: list[int], data: st.DataObject):
    taus = [randn(3, 4, seed=seed) for seed in seeds]
    shuffled = data.draw(st.permutations(taus))
    for name, expected in (("weight_average", sum(taus) / len(taus)), ("task_arithmetic", 0.3 * sum(taus))):
        assert get_method(name).order_free
        for order in (taus, shuffled):
            assert (merge_task_vectors(name, order) - expected).norm() <= 1e-12 * max(tau.norm() for tau in taus)


def test_order_matters_to_the_methods_that_do_not_claim_otherwise():
    taus = [randn(5, 5, seed=seed) for seed in range(3)]
    for name in ("ties", "opcm", "dop"):
        assert not get_method(name).order_free
        assert not close(merge_task_vectors(name, taus), merge_task_vectors(name, taus[::-1]), rel=1e-6)


FIRST_KEPT = [("weight_average", {}), ("opcm", {}), ("opcm", {"zero_diagonal": False}), *(("dop", s) for s in SOLVERS)]


@given(
    st.integers(0, 10**6),
    st.sampled_from(SHAPES),
    st.floats(-6, 3),
    st.sampled_from(FIRST_KEPT),
    st.sampled_from([torch.float32, f64]),
    st.booleans(),
)
def test_a_first_model_is_returned_unchanged(
    seed: int, shape: tuple[int, int], log_scale: float, setting: tuple[str, dict], dtype: torch.dtype, compat: bool
):
    name, params = setting
    assert get_method(name).keeps_first
    base = {"w": randn(*shape, seed=seed, dtype=dtype), "b": randn(shape[0], seed=seed + 1, dtype=dtype)}
    model = {key: x + (10**log_scale * randn(*x.shape, seed=seed + 2)).to(dtype) for key, x in base.items()}
    if all(torch.equal(model[key], base[key]) for key in base):
        return
    merged = ContinualMerger(base, name, linear=["w"], reference_compat=compat, **params).add(model).merged()
    for key in model:
        rounding = 4 * torch.finfo(dtype).eps * (base[key].abs() + model[key].abs())
        assert merged[key].dtype == dtype and ((merged[key] - model[key]).abs() <= rounding).all()


@pytest.mark.parametrize("name", ["task_arithmetic", "ties", "magmax"])
def test_methods_that_scale_do_not_claim_to_keep_a_first_model(name: str):
    tau = randn(4, 4, seed=0)
    assert not get_method(name).keeps_first
    assert not close(merge_task_vectors(name, [tau]), tau)


@pytest.mark.parametrize(("name", "params"), [*FIRST_KEPT[:3], ("task_arithmetic", {}), ("ties", {}), ("magmax", {})])
def test_merging_scales_with_the_task_vectors(name: str, params: dict):
    taus = [randn(5, 4, seed=seed) for seed in range(3)]
    expected = merge_task_vectors(name, taus, **params)
    assert close(merge_task_vectors(name, [1024 * tau for tau in taus], **params), 1024 * expected)


# ---------------------------------------------------------------------------------------------- registry


def test_the_six_methods_are_registered_with_their_papers():
    ours = {name for name in method_names() if registry._is_ours(get_method(name).step)}
    assert ours == {"weight_average", "task_arithmetic", "ties", "magmax", "opcm", "dop", "dop_all"}
    assert all(get_method(name).paper.startswith("https://") for name in ours)


@pytest.mark.parametrize("name", ["opmc", "", None, ["opcm"]])
def test_an_unknown_method_is_named_with_the_known_ones(name: object):
    with pytest.raises(
        ValueError, match=r"unknown method .*known are dop, dop_all, magmax, opcm, task_arithmetic, ties, weight_average"
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
    sources = registry._sources(get_method("opcm"))
    assert any("def thin_svd" in source for source in sources) and any("def clean" in source for source in sources)
    assert not any("def thin_svd" in source for source in registry._sources(get_method("magmax")))


def test_a_hyper_parameter_cannot_take_a_name_of_the_merger():
    arguments = inspect.signature(cmmlib.ContinualMerger).parameters.values()
    names = {parameter.name for parameter in arguments if parameter.kind is not parameter.VAR_KEYWORD}
    assert names == registry.RESERVED
    with pytest.raises(ValueError, match="ContinualMerger takes 'device' itself"):

        @cmmlib.method
        def clashing(merged, task_vector, ctx, *, device: str = "cpu"):
            return merged


def test_a_method_without_source_cannot_be_identified():
    namespace = {"__name__": "__main__"}
    exec("def sourceless(merged, task_vector, ctx):\n    return merged", namespace)
    cmmlib.method(namespace["sourceless"])
    with pytest.raises(ValueError, match="define it in a file or in a notebook cell"):
        _ = cmmlib.get_method("sourceless").source_hash
