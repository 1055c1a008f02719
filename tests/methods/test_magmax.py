"""MagMax: which value is kept, and that the result is scaled once."""

from __future__ import annotations

import torch

from ..helpers.layers import merge_task_vectors


def test_magmax_keeps_the_larger_and_on_a_tie_the_later():
    taus = [torch.tensor(row) for row in ([1.0, -2, 3, 0], [-1.0, 1, -4, 0], [0.5, 2, 4, 0])]
    assert torch.equal(merge_task_vectors("magmax", taus, scaling_factor=1), torch.tensor([-1.0, 2, 4, 0]))
    assert torch.equal(merge_task_vectors("magmax", taus), torch.tensor([-0.5, 1, 2, 0]))


def test_magmax_is_scaled_once():
    taus = [torch.tensor([4.0]), torch.tensor([3.0]), torch.tensor([-5.0])]
    assert merge_task_vectors("magmax", taus, scaling_factor=0.5).item() == -2.5
