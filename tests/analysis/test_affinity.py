"""The affinity of subspaces: 1 for the same one, 0 for orthogonal ones, about k/n for random ones."""

import numpy as np
import pytest
import torch

from cmmlib.analysis import own_and_other, subspace_affinity

from ..helpers.layers import randn


def test_a_space_has_affinity_one_with_itself_and_none_with_its_complement():
    basis, _ = torch.linalg.qr(randn(10, 10, seed=0))
    inside, outside = basis[:, :3], basis[:, 3:6]
    tau = randn(8, 3, seed=1) @ inside.T
    inputs = [randn(50, 3, seed=2) @ inside.T, randn(50, 3, seed=3) @ outside.T]
    np.testing.assert_allclose(subspace_affinity([tau], inputs, 3), [[1, 0]], atol=1e-12)


def test_half_a_shared_space_counts_half():
    tau, inputs = torch.eye(8)[[0, 1]], torch.eye(8)[[1, 2]]
    np.testing.assert_allclose(subspace_affinity([tau], [inputs], 2), [[0.5]], atol=1e-12)


def test_random_spaces_have_affinity_k_over_n():
    taus = [randn(20, 40, seed=seed) for seed in range(6)]
    inputs = [randn(5, 30, 40, seed=10 + seed, dtype=torch.float32) for seed in range(7)]
    found = subspace_affinity(taus, inputs, 10)
    assert found.shape == (6, 7)
    assert found.mean() == pytest.approx(10 / 40, abs=0.02)


def test_inputs_of_several_tokens_are_rows_like_others():
    tau, inputs = randn(6, 5, seed=0), randn(4, 3, 5, seed=1)
    np.testing.assert_allclose(
        subspace_affinity([tau], [inputs], 2), subspace_affinity([tau], [inputs.reshape(12, 5)], 2), rtol=1e-12
    )


def test_own_is_the_diagonal_and_other_all_else():
    layers = np.array([[[1, 0.2], [0.4, 0.8]], [[0.6, 0.0], [0.2, 0.4]]])
    own, other = own_and_other(layers)
    assert own == pytest.approx(0.7) and other == pytest.approx(0.2)
