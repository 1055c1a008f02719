"""NUFILT: what the filter and the adapter do, the closed form against the published objective, the paper and the code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import cmmlib
from cmmlib import ContinualMerger
from cmmlib.methods.nufilt import closed_form, fit_adapter, scaled

from ..helpers.layers import close, f64, merge_task_vectors, randn

WIDTH = {"null_rank": 192, "task_rank": 64, "adapter_rank": 256}  # 6, 2 and 8 at a width of 24


def right_vectors(matrix: Tensor, count: int) -> Tensor:
    return torch.linalg.svd(matrix).Vh[:count].T


@pytest.mark.parametrize("shape", [(24, 30), (30, 24), (24, 24)])
def test_it_keeps_the_old_directions_and_agrees_with_the_new_model_on_its_own(shape: tuple[int, int]):
    old, new = (randn(*shape, seed=i) for i in range(2))
    merged = merge_task_vectors("nufilt", [old, new], epsilon=1e-10, **WIDTH)
    v_past, v_task = right_vectors(old, 6), right_vectors(new, 2)
    assert close(merged @ v_past, old @ v_past)
    assert close(merged @ v_task, new @ v_task, rel=1e-7)


def test_the_closed_form_minimises_under_its_constraint():
    residual, v_task, v_past = (
        randn(5, 2, seed=0),
        right_vectors(randn(9, 9, seed=1), 2),
        right_vectors(randn(9, 9, seed=2), 3),
    )
    epsilon = 0.1
    delta = closed_form(residual, v_task, v_past, epsilon)
    assert (delta @ v_past).norm() <= 1e-12 * delta.norm()
    gradient = (delta @ v_task - residual) @ v_task.T + epsilon * delta
    assert ((gradient - gradient @ v_past @ v_past.T).norm()) <= 1e-12 * residual.norm()


def published_loss(delta: Tensor, residual: Tensor, v_task: Tensor, v_past: Tensor) -> float:
    return ((residual - delta @ v_task).norm() ** 2 + (delta @ v_past).norm() ** 2).item()


@pytest.mark.parametrize("input_side", [False, True])
def test_adam_takes_the_steps_that_autograd_would(input_side: bool):
    residual, v_task, v_past = (
        randn(6, 2, seed=0),
        right_vectors(randn(9, 9, seed=1), 2),
        right_vectors(randn(9, 9, seed=2), 3),
    )
    left = randn(6, 9, seed=3) if input_side else None
    ours = fit_adapter(residual, v_task, v_past, left, rank=4, lr=1e-3, num_steps=20, seed=5)
    generator = torch.Generator().manual_seed(5)
    a = (0.02 * torch.randn(4, 9, generator=generator, dtype=f64)).requires_grad_()
    b = torch.zeros(9 if input_side else 6, 4, dtype=f64, requires_grad=True)
    optimizer = torch.optim.Adam([a, b], lr=1e-3)
    for _ in range(20):
        optimizer.zero_grad()
        delta = b @ a if left is None else left @ b @ a
        (((residual - delta @ v_task) ** 2).sum() + ((delta @ v_past) ** 2).sum()).backward()
        optimizer.step()
    assert close(ours, (b @ a if left is None else left @ b @ a).detach())


def test_the_closed_form_has_a_lower_published_loss_than_adam():
    old, new = 0.01 * randn(24, 30, seed=0), 0.01 * randn(24, 30, seed=1)
    v_past, v_task = right_vectors(old, 6), right_vectors(new, 2)
    residual = new @ v_past @ v_past.T @ v_task - old @ v_task
    adam = fit_adapter(residual, v_task, v_past, None, rank=8, lr=1e-3, num_steps=50, seed=0)
    closed = closed_form(residual, v_task, v_past, 1e-3)
    losses = [published_loss(delta, residual, v_task, v_past) for delta in (closed, adam, torch.zeros_like(old))]
    assert losses[0] < 1e-3 * losses[1] and losses[1] < losses[2]


def test_the_first_model_is_kept_or_filtered_as_published():
    tau = randn(24, 30, seed=0)
    assert close(merge_task_vectors("nufilt", [tau], **WIDTH), tau)
    filtered = merge_task_vectors("nufilt", [tau], filter_first=True, **WIDTH)
    assert not filtered[:, :6].any() and torch.equal(filtered[:, 6:], tau[:, 6:])


def test_identical_models_are_not_returned():
    tau = randn(24, 30, seed=0)
    assert not close(merge_task_vectors("nufilt", [tau, tau], **WIDTH), tau, rel=1e-2)


def test_the_code_leaves_all_but_attention_and_fc1_pretrained_and_the_paper_does_not():
    names = ["attn.q", "mlp.fc1", "mlp.fc2", "norm"]
    base = {name: torch.zeros(6, 6, dtype=f64) if name != "norm" else torch.zeros(6, dtype=f64) for name in names}
    models = [{name: randn(*x.shape, seed=i) for name, x in base.items()} for i in (1, 2)]
    linear = ["attn.q", "mlp.fc1", "mlp.fc2"]
    code = cmmlib.merge(base, models, method="nufilt", variant="code", solver="adam", linear=linear)
    assert [bool(code[name].any()) for name in names] == [True, True, False, False]
    paper = cmmlib.merge(base, models, method="nufilt", linear=linear)
    assert close(paper["norm"], (models[0]["norm"] + models[1]["norm"]) / 2) and paper["mlp.fc2"].any()


@pytest.mark.parametrize("solver", ["closed", "adam"])
@pytest.mark.parametrize("variant", ["paper", "code"])
def test_the_same_merge_twice_is_the_same_and_zeros_break_nothing(solver: str, variant: str):
    base = {"attn.w": torch.zeros(8, 10), "b": torch.zeros(8)}
    models = [{"attn.w": 0.1 * randn(8, 10, seed=i).float() * (i != 1), "b": torch.ones(8)} for i in range(3)]
    first, second = (ContinualMerger(base, "nufilt", linear=["attn.w"], solver=solver, variant=variant) for _ in range(2))
    for model in models:
        first.add(model)
        second.add(model)
    assert torch.equal(first.merged()["attn.w"], second.merged()["attn.w"])


def test_ranks_scale_with_the_width():
    assert [scaled(128, torch.empty(shape)) for shape in ((768, 768), (3072, 768), (1024, 4096), (64, 64), (1, 9))] == [
        128,
        128,
        171,
        11,
        1,
    ]
