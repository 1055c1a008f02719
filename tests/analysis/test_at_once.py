"""Merges of all models at once: as their papers have them, and what `kronecker` comes near to."""

from __future__ import annotations

import pytest
import torch

from cmmlib.analysis import (
    product_of_gaussians,
    task_arithmetic_at_once,
    ties_at_once,
    tsv_m_at_once,
    wudi_at_once,
)

from ..helpers import batch
from ..helpers.layers import close, merge_task_vectors, randn


def test_task_arithmetic_is_a_scaled_sum():
    assert torch.equal(task_arithmetic_at_once([torch.ones(2), 3 * torch.ones(2)], 0.5), torch.full((2,), 2.0))


def test_ties_trims_elects_and_averages_those_that_agree():
    values = [[4.0, 0.1, -3.0, 0.0, 0.2], [2.0, 5.0, 4.0, 0.1, 0.0]]
    task_vectors = [{"w": torch.tensor(v[:3]), "b": torch.tensor(v[3:])} for v in values]
    # as published one more than 40 % of five stay: (4, 0, -3, 0, 0.2) and (2, 5, 4, 0, 0); the third entry's sign is +
    merged = ties_at_once(task_vectors, share=0.4)
    assert torch.equal(merged["w"], torch.tensor([3.0, 5.0, 4.0])) and torch.equal(merged["b"], torch.tensor([0.0, 0.2]))


def test_wudi_and_tsv_m_are_the_published_ones():
    taus = [randn(12, 9, seed=i) for i in range(3)]
    assert close(wudi_at_once(taus), batch.wudi_published(taus))
    assert close(tsv_m_at_once(taus), batch.tsv_m(taus, rank=3))
    with pytest.raises(ValueError, match="3 models leave none of the 2 singular values"):
        tsv_m_at_once([tau[:2] for tau in taus])


@pytest.mark.parametrize("powers", [(0.75, 0.25), (0.5, 0.5), (1.0, 0.0)])
def test_conjugate_gradients_find_the_product_of_all_gaussians(powers: tuple[float, float]):
    taus = [randn(4, 7, seed=i) for i in range(4)]
    found = product_of_gaussians(taus, *powers, ridge=1e-2)
    assert close(found, batch.kronecker_at_once(taus, *powers, 1e-2), rel=1e-7)
    with pytest.raises(RuntimeError, match="did not converge in 1 steps"):
        product_of_gaussians(taus, *powers, max_steps=1)


def test_online_kronecker_merging_comes_near_to_it():
    taus = [randn(8, 10, seed=i) for i in range(6)]
    together = product_of_gaussians(taus)
    online = merge_task_vectors("kronecker", taus)
    mean = sum(taus) / len(taus)
    assert (online - together).norm() < 0.5 * (mean - together).norm()
