"""The geometry of task vectors: against definitions written out, and against what OPCM itself does."""

import numpy as np
import pytest
import torch

from cmmlib.analysis import geometry
from cmmlib.methods.opcm import clean


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_inner_products_of_parameters_add_up_to_those_of_the_whole_vectors():
    models = [[random(4, 3, seed=i), random(5, seed=10 + i)] for i in range(3)]
    total = sum(geometry.inner_products(parameter) for parameter in zip(*models, strict=True))
    whole = torch.stack([torch.cat([tensor.flatten() for tensor in model]) for model in models])
    np.testing.assert_allclose(total, (whole @ whole.T).numpy())
    np.testing.assert_allclose(geometry.cosines(total), _cosine(whole.numpy()))


def _cosine(rows):
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def test_the_cosine_with_a_zero_vector_is_nan():
    found = geometry.cosines(geometry.inner_products([torch.ones(3), torch.zeros(3)]))
    assert found[0, 0] == pytest.approx(1) and np.isnan(found[0, 1]) and np.isnan(found[1, 1])


def test_effective_rank_counts_equal_singular_values_and_no_zeros():
    assert geometry.effective_rank(torch.tensor([2.0, 2.0, 2.0, 0.0])) == pytest.approx(3)
    assert geometry.effective_rank(torch.tensor([1.0])) == pytest.approx(1)
    assert geometry.effective_rank(torch.tensor([])) == 0


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (7, 7)])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_shares_removed_are_what_opcm_removes(shape, alpha):
    tau, accumulated = random(*shape, seed=1), random(*shape, seed=2)
    found = geometry.projection(tau, accumulated, alpha=alpha)
    cleaned = clean(tau, accumulated, alpha=alpha, zero_diagonal=True)
    kept = 1 - found.removed_block - found.removed_diagonal
    assert cleaned.square().sum().item() == pytest.approx(kept * tau.square().sum().item())
    # without the diagonal it is the block alone
    block = tau - clean(tau, accumulated, alpha=alpha, zero_diagonal=False)
    assert block.square().sum().item() == pytest.approx(found.removed_block * found.norm**2)
    assert found.pairs == min(shape) and found.rank == {0.0: 0, 1.0: found.pairs}.get(alpha, found.rank)


def test_a_vector_inside_the_leading_subspace_is_removed_whole():
    u, _ = torch.linalg.qr(random(6, 6))
    v, _ = torch.linalg.qr(random(8, 6, seed=1))
    accumulated = u @ torch.diag(torch.tensor([5.0, 4, 3, 0.3, 0.2, 0.1]).double()) @ v.T
    tau = u[:, :2] @ random(2, 2, seed=3) @ v[:, :2].T
    found = geometry.projection(tau, accumulated, alpha=0.9)
    assert found.rank == 2 and found.removed_block == pytest.approx(1)
    assert found.in_left == pytest.approx(1) and found.in_right == pytest.approx(1)
    assert found.removed_diagonal == pytest.approx(0, abs=1e-12)


def test_random_directions_have_the_expected_shares():
    accumulated = random(12, 20, seed=1)
    draws = [geometry.projection(random(12, 20, seed=seed), accumulated, alpha=0.5) for seed in range(100, 400)]
    for measured, expected in (
        ("removed_block", "random_block"),
        ("removed_diagonal", "random_diagonal"),
        ("in_left", "random_left"),
        ("in_right", "random_right"),
    ):
        mean = np.mean([getattr(draw, measured) for draw in draws])
        assert mean == pytest.approx(getattr(draws[0], expected), rel=0.1), measured


def test_nothing_is_removed_from_the_first_model_nor_of_a_zero_one():
    found = geometry.projections([random(4, 5), torch.zeros(4, 5, dtype=torch.float64)], alpha=0.5)
    for step in found:
        assert (step.removed_block, step.removed_diagonal, step.in_left, step.in_right) == (0, 0, 0, 0)
    assert found[0].pairs == 0 and found[1].norm == 0 and found[1].pairs == 4


def test_projections_follow_the_merge_itself():
    taus = [random(5, 7, seed=seed) for seed in range(4)]
    found = geometry.projections(taus, alpha=0.5)
    accumulated = taus[0]
    for step, tau in zip(found[1:], taus[1:], strict=True):
        assert step == geometry.projection(tau, accumulated, alpha=0.5)
        accumulated = accumulated + clean(tau, accumulated, alpha=0.5, zero_diagonal=True)


def test_layers_are_told_by_depth_and_kind():
    assert geometry.layer_of("encoder.layers.11.self_attn.q_proj.weight") == (11, "q")
    assert geometry.layer_of("encoder.layers.0.mlp.fc2.weight") == (0, "fc2")
    assert geometry.layer_of("head.weight") == (-1, "head")
    assert geometry.layer_of("encoder.layer.3.attention.output.dense.weight") == (3, "out")
    assert geometry.layer_of("encoder.layer.0.attention.self.query.weight") == (0, "q")
    assert geometry.layer_of("encoder.layer.0.output.dense.weight") == (0, "fc2")
    assert geometry.layer_of("pooler.dense.weight") == (-1, "pooler")
