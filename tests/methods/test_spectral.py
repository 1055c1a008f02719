"""The thin SVD through the Gram matrix: an SVD, without the null space, and accurate to 60 digits' measure."""

from __future__ import annotations

import mpmath
import pytest
import torch
from torch import Tensor

from cmmlib.methods import spectral

from ..helpers.conditioning import MATRICES
from ..helpers.layers import SHAPES, close, f64, randn


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


def mp_svdvals(a: Tensor) -> list[mpmath.mpf]:
    """Singular values at 60 digits, descending."""
    with mpmath.workdps(60):
        matrix = mpmath.matrix(a.tolist())
        if a.shape[0] < a.shape[1]:
            matrix = matrix.T
        return sorted((abs(s) for s in mpmath.svd_r(matrix, compute_uv=False)), reverse=True)


@pytest.mark.parametrize("name", MATRICES)
def test_thin_svd_against_60_digits(name: str):
    a = MATRICES[name]
    expected = mp_svdvals(a)
    u, s, v = spectral.thin_svd(a)
    kept = [x for x in expected if x > spectral.RANK_TOLERANCE * expected[0]]
    assert len(s) == len(kept)  # the stated convention: pairs at or below the tolerance do not exist
    for ours, exact_value in zip(s.tolist(), kept, strict=True):
        assert abs(ours - exact_value) <= 1e-14 * expected[0]
    if len(s):
        eye = torch.eye(len(s), dtype=f64)
        smaller, larger = (u, v) if a.shape[0] <= a.shape[1] else (v, u)
        assert (smaller.T @ smaller - eye).abs().max() <= 1e-13
        # the large side's vectors lose (s_1 / s_i)²: u_i errs by eps (s_1 / s_i)² towards u_1, which Aᵀ stretches again
        assert (larger.T @ larger - eye).abs().max() <= 1e-15 * float(expected[0] / kept[-1]) ** 2 + 1e-13
        assert ((u * s) @ v.T - a).norm() <= 2 * spectral.RANK_TOLERANCE * a.norm()


def test_cumulative_share_never_exceeds_one():
    for seed in range(300):
        c = spectral.cumulative_share(randn(768, seed=seed).abs().sort(descending=True).values)
        assert c[-1] == 1 and (c <= 1).all()


@pytest.mark.parametrize("shape", [(300, 300), (260, 700), (257, 259)])
def test_products_in_strips_and_parts_are_the_products(shape: tuple[int, int]):
    a, b = randn(*shape, seed=1).float(), randn(*shape, seed=2).float()
    assert close(spectral.outer(a), a.double() @ a.double().T)
    assert close(spectral.outer(a.T), a.double().T @ a.double())
    assert close(spectral.cross_gram(a, b), a.double() @ b.double().T)
