"""Other Kronecker products in place of the nearest in the Frobenius norm."""

import pytest
import torch

from cmmlib import merge
from cmmlib.experiments.kronecker_products import added_factors, kl_product
from cmmlib.methods import get_method, method_names
from cmmlib.methods.kronecker_algebra import gram_of, nearest_product

HOME = "cmmlib.experiments.kronecker_products"
SIZES = (4, 6)


def definite(size, seed):
    root = torch.randn(size, 2 * size, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return root @ root.T / size


def pairs(seed):
    return tuple((definite(size, seed + i), definite(size, seed + i + 10)) for i, size in enumerate(SIZES))


def divergence(g, a, kept_g, kept_a):
    """2 KL(N(0, Q⁻¹) ‖ N(0, P⁻¹)) + log det P + mn, with P the sum of both products and Q the one that is kept."""
    whole, kept = torch.kron(g[0], a[0]) + torch.kron(g[1], a[1]), torch.kron(kept_g, kept_a)
    return (torch.trace(whole @ torch.linalg.inv(kept)) + torch.logdet(kept)).item()


@pytest.mark.parametrize("seed", range(3))
def test_no_product_near_it_is_nearer_in_the_divergence(seed):
    g, a = pairs(seed)
    best = kl_product(g, a)
    least = divergence(g, a, *best)
    c, d = nearest_product(gram_of(*g), gram_of(*a))
    frobenius = c[0] * g[0] + c[1] * g[1], d[0] * a[0] + d[1] * a[1]
    assert least < divergence(g, a, *frobenius) and least < divergence(g, a, *added_factors(g, a))
    for number in range(20):
        turn = [1e-2 * (definite(size, 100 + number) - torch.eye(size)) for size in SIZES]
        assert least <= divergence(g, a, best[0] + turn[0], best[1] + turn[1])


def test_equal_factors_are_kept_and_count_their_models():
    g, a = definite(4, 1), definite(6, 2)
    kept = torch.kron(*kl_product((g, g), (a, a)))
    torch.testing.assert_close(kept, 2 * torch.kron(g, a))


@pytest.mark.parametrize("product", ["nearest_in_kl", "added_up"])
def test_two_models_merge_as_by_the_nearest_product_and_a_third_does_not(product):
    base = {"proj.weight": torch.zeros(5, 7, dtype=torch.double), "proj.bias": torch.zeros(5, dtype=torch.double)}
    generator = torch.Generator().manual_seed(0)
    models = [
        {name: torch.randn(value.shape, generator=generator, dtype=torch.double) for name, value in base.items()}
        for _ in range(3)
    ]
    for number, alike in ((1, True), (2, True), (3, False)):  # what is kept matters from the third model on
        ours = merge(base, models[:number], method=f"{HOME}:{product}", linear=["*.weight"])
        whole = merge(base, models[:number], method="kronecker", cap=4.0, linear=["*.weight"])
        assert torch.allclose(ours["proj.weight"], whole["proj.weight"], atol=1e-9) == alike
        torch.testing.assert_close(ours["proj.bias"], whole["proj.bias"])


def test_they_are_no_methods_to_choose_from():
    assert get_method(f"{HOME}:added_up").separable
    assert not {"added_up", "nearest_in_kl"} & {*method_names()}
