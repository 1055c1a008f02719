"""DOP's losses: gradient and value against autograd of the printed formula, the rank, what is computed when."""

from __future__ import annotations

import pytest
import torch

from cmmlib.methods import losses
from cmmlib.methods.losses import Space, quadratic

from ..helpers.dop_losses import printed_loss
from ..helpers.layers import SHAPES, close, f64, randn


@pytest.mark.parametrize("epsilon", [0.99999, 0.7])
@pytest.mark.parametrize("space", ["u", "v", "uv"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_and_loss_are_those_of_the_printed_loss(shape: tuple[int, int], space: Space, epsilon: float):
    center = randn(*shape, seed=22)
    x = randn(*shape, seed=23).requires_grad_()
    loss = printed_loss(center, x, space, epsilon)
    (expected,) = torch.autograd.grad(loss, x)
    gradient, value = quadratic(center, space, epsilon).gradient(x.detach())
    assert close(gradient, expected)
    assert float(value) == pytest.approx(loss.item(), rel=1e-9)
    assert float(value) == pytest.approx(float(torch.sum(gradient * (x.detach() - center))) / 2, rel=1e-9)


@pytest.mark.parametrize("epsilon", [0.99999, 0.7])
@pytest.mark.parametrize("space", ["u", "v", "uv"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_loss_alone_is_the_one_that_comes_with_the_gradient(shape: tuple[int, int], space: Space, epsilon: float):
    loss, x = quadratic(randn(*shape, seed=22), space, epsilon), randn(*shape, seed=23)
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
    quadratic((u * s) @ v.T, "uv", 0.99999)
    assert bool(asked) == needed


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
