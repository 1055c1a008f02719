"""Online Kronecker merging against brute force: every Gaussian as one dense matrix, nothing in factors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from cmmlib import ContinualMerger
from cmmlib.methods.kronecker_algebra import gram_of, nearest_product
from cmmlib.methods.packed import unpack

from ..helpers import batch
from ..helpers.layers import close, f64, merge_task_vectors, randn

POWERS = [(0.75, 0.25), (0.5, 0.5), (0.3, 1.2)]
DENSE_SHAPES = [(4, 4), (4, 6), (6, 4), (1, 5), (5, 1)]
RIDGE = 1e-3


def rearranged(precision: Tensor, m: int, n: int) -> Tensor:
    """The matrix (m², n²) of a matrix (mn, mn) in which a Kronecker product has rank one (Van Loan & Pitsianis)."""
    return precision.view(m, n, m, n).transpose(1, 2).reshape(m * m, n * n)


def nearest(precision: Tensor, m: int, n: int) -> Tensor:
    """The nearest Kronecker product, from the whole SVD."""
    u, s, vt = torch.linalg.svd(rearranged(precision, m, n), full_matrices=False)
    return s[0] * torch.kron(u[:, 0].reshape(m, m), vt[0].reshape(n, n))


def simulated(taus: list[Tensor], powers: tuple[float, float]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """After every model: X, the sum of both precisions (mn, mn), and what is kept of it.

    With E's rows in one vector e, tr(G E A Eᵀ) = eᵀ (G ⊗ A) e.
    """
    m, n = taus[0].shape
    mean, kept = torch.zeros(m * n, dtype=f64), torch.zeros(m * n, m * n, dtype=f64)
    for tau in taus:
        precision = torch.kron(*batch.kronecker_precisions(tau, *powers, RIDGE))
        total = kept + precision
        mean = torch.linalg.solve(total, kept @ mean + precision @ tau.flatten())
        kept = nearest(total, m, n)
        yield mean.view(m, n), total, kept


def options(powers: tuple[float, float]) -> dict[str, float]:
    return {"input_power": powers[0], "output_power": powers[1], "ridge": RIDGE, "cap": 100}  # no cap


@pytest.mark.parametrize("powers", POWERS)
@pytest.mark.parametrize("shape", DENSE_SHAPES)
def test_after_every_model_the_state_is_the_product_nearest_to_the_sum(shape: tuple[int, int], powers: tuple[float, float]):
    taus = [randn(*shape, seed=i) for i in range(3)]
    merger = ContinualMerger({"w": torch.zeros(shape, dtype=f64)}, "kronecker", linear=["w"], **options(powers))
    for count, (tau, (_, total, expected)) in enumerate(zip(taus, simulated(taus, powers), strict=True), 1):
        kept = merger.add({"w": tau}).standing.accumulated["w"]
        g, a = unpack(kept["g"]), unpack(kept["a"])
        product = torch.kron(a, g) if shape[0] > shape[1] else torch.kron(g, a)  # the large side is always kept as ``a``
        assert close(product, expected, rel=1e-12)
        if count > 1 and min(shape) > 1:  # else there is but a sum that is a product itself, and nothing to choose
            assert not close(product, total, rel=1e-2)


@pytest.mark.parametrize("powers", POWERS)
@pytest.mark.parametrize("shape", DENSE_SHAPES)
def test_the_merged_weight_is_that_of_a_dense_simulation(shape: tuple[int, int], powers: tuple[float, float]):
    taus = [2**-i * randn(*shape, seed=i) for i in range(4)]
    for count, (mean, _, _) in enumerate(simulated(taus, powers), 1):
        merged = merge_task_vectors("kronecker", taus[:count], **options(powers))
        assert close(merged, mean, rel=1e-11)
        if min(shape) > 1:  # from the third model on the nearest product costs something, so the simulation matters
            assert close(merged, batch.kronecker_at_once(taus[:count], *powers, RIDGE), rel=1e-2) == (count < 3)


def spd(n: int, seed: int) -> Tensor:
    half = randn(n, n, seed=seed)
    return half @ half.T + 0.1 * torch.eye(n, dtype=f64)


def spike(n: int, at: int, ridge: float = 1e-6) -> Tensor:
    """Of rank one, but for a ridge."""
    matrix = ridge * torch.eye(n, dtype=f64)
    matrix[at, at] += 1
    return matrix


def block(n: int, first: bool, seed: int) -> Tensor:
    """On the first two coordinates alone, or on the others."""
    matrix = torch.zeros(n, n, dtype=f64)
    part = slice(None, 2) if first else slice(2, None)
    matrix[part, part] = spd(2 if first else n - 2, seed)
    return matrix


def models(powers: tuple[float, float], scale: float = 1.0, decay: float = 0.0) -> tuple[Tensor, ...]:
    taus = [randn(4, 5, seed=i) * torch.logspace(0, -i * decay, 5, dtype=f64) for i in range(2)]
    (g, a), (g_new, a_new) = (batch.kronecker_precisions(tau, *powers, RIDGE) for tau in taus)
    return g, scale * g_new, a, a_new


PAIRS: dict[str, tuple[Tensor, ...]] = {
    **{f"random {i}": (spd(4, i), spd(4, i + 1), spd(5, i + 2), spd(5, i + 3)) for i in range(0, 40, 4)},
    "of two models": models((0.75, 0.25)),
    "of two models, one of which has columns that decay": models((1.5, 1.0), decay=3.0),
    "a new one of little weight": models((0.75, 0.25), scale=1e-5),
    "a new one of much weight": models((0.75, 0.25), scale=1e5),
    "one factor in common": (spd(4, 0), spd(4, 1), spd(5, 2), spd(5, 2)),
    "all but multiples": (spd(4, 0), spd(4, 0) + 1e-3 * spd(4, 1), spd(5, 2), 2 * spd(5, 2) + 1e-3 * spd(5, 3)),
    "spikes apart": (spike(4, 0), 2 * spike(4, 1), spike(5, 0), spike(5, 1)),
    "spikes apart on one side": (spike(4, 0), 2 * spike(4, 1), spike(5, 0), spike(5, 0)),
    "blocks without an overlap": (block(4, True, 0), block(4, False, 1), block(5, True, 2), block(5, False, 3)),
    "blocks and full ones": (block(4, True, 0), spd(4, 1), spd(5, 2), block(5, False, 3)),
}


def singular_pair(g: Tensor, g_new: Tensor, a: Tensor, a_new: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Of G⊗A + G_t⊗A_t: each first singular vector, as a matrix, and what it is made of, nothing clamped.

    The latter are its coefficients with G and G_t, or A and A_t, both scaled to length 1.
    """
    m, n = len(g), len(a)
    u, _, vt = torch.linalg.svd(rearranged(torch.kron(g, a) + torch.kron(g_new, a_new), m, n), full_matrices=False)
    found = []
    for vector, pair in ((u[:, 0].view(m, m), (g, g_new)), (vt[0].view(n, n), (a, a_new))):
        vector = vector * vector.trace().sign()
        basis = torch.stack([matrix.flatten() / matrix.norm() for matrix in pair], 1)
        coefficients = torch.linalg.pinv(basis) @ vector.flatten()  # the least ones where both are multiples
        assert close(basis @ coefficients, vector.flatten())  # it lies in their span
        found.append((vector, coefficients))
    return found


@pytest.mark.parametrize("pair", PAIRS)
def test_no_coefficient_of_the_nearest_product_is_negative_before_it_is_clamped(pair: str):
    g, g_new, a, a_new = PAIRS[pair]
    (left, of_g), (right, of_a) = singular_pair(g, g_new, a, a_new)
    assert of_g.min() >= -1e-12 and of_a.min() >= -1e-12
    x, y = nearest_product(gram_of(g, g_new), gram_of(a, a_new))
    ours = x[0] * g + x[1] * g_new, y[0] * a + y[1] * a_new  # the clamp has changed nothing
    assert close(ours[0] / ours[0].norm(), left, rel=1e-9) and close(ours[1] / ours[1].norm(), right, rel=1e-9)


def test_where_an_inner_product_is_negative_a_coefficient_is_and_this_test_would_see_it():
    g, g_new, a, a_new = PAIRS["random 0"]
    g_new = g_new - 2 * (g_new * g).sum() / g.norm() ** 2 * g  # not definite: at an obtuse angle to G
    assert gram_of(g, g_new)[0, 1] < 0
    assert min(coefficients.min().item() for _, coefficients in singular_pair(g, g_new, a, a_new)) < -0.05
