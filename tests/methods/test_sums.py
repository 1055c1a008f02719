"""Methods that keep sums: after the last model they are where the batch method is, whatever the order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

import cmmlib
from cmmlib import ContinualMerger, get_method
from cmmlib.methods.packed import add_to_diagonal, pack, packed_gram, unpack
from cmmlib.methods.right_sums import largest_eigenvalue
from cmmlib.methods.tsv_m import inverse_root

from ..helpers import batch
from ..helpers.layers import SHAPES, close, f64, merge_task_vectors, randn

Batch = Callable[[list[Tensor]], Tensor]

FORMS: dict[str, tuple[str, dict, Batch]] = {
    "wudi": ("wudi", {}, partial(batch.wudi, ridge=1e-3, pull="zero")),
    "wudi towards the models": ("wudi", {"pull": "models"}, partial(batch.wudi, ridge=1e-3, pull="models")),
    "wudi without a ridge": ("wudi", {"ridge": 0.0}, partial(batch.wudi, ridge=0.0, pull="zero")),
    "wudi by Adam": ("wudi", {"solver": "adam"}, batch.wudi_published),
    "actmat": ("actmat", {}, batch.actmat),
    "tact": ("actmat", {"share": 0.5}, partial(batch.actmat, share=0.5)),
    "iso_c": ("iso_c", {"scaling_factor": 1.5}, partial(batch.iso_c, scaling_factor=1.5)),
    "tsv_m": ("tsv_m", {"share": 0.25}, partial(batch.tsv_m, rank=2)),
}
RANK_TWO = [(9, 11), (11, 9), (8, 40), (40, 8)]
"""Shapes of which a quarter of the singular values are two."""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", RANK_TWO)
def test_the_sums_give_what_the_batch_method_gives(form: str, shape: tuple[int, int]):
    method, params, together = FORMS[form]
    taus = [2**-i * randn(*shape, seed=i) for i in range(5)]
    assert close(merge_task_vectors(method, taus, **params), together(taus), rel=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_in_float32_they_do_so_to_a_millionth(form: str):
    method, params, together = FORMS[form]
    taus = [randn(24, 32, seed=i).float() for i in range(6)]
    if form == "tsv_m":
        together = partial(batch.tsv_m, rank=6)
    merger = ContinualMerger({"w": torch.zeros(24, 32)}, method, linear=["w"], **params)
    for tau in taus:
        merger.add({"w": tau})
    rel = 1e-5 if "Adam" in form else 1e-6  # 300 steps of 1e-5, each rounded
    assert close(merger.merged()["w"].double(), together([tau.double() for tau in taus]), rel)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_their_order_does_not_matter(form: str, shape: tuple[int, int]):
    method, params, _ = FORMS[form]
    assert get_method(method).order_free
    taus = [randn(*shape, seed=i) for i in range(4)]
    there, back = (merge_task_vectors(method, order, **params) for order in (taus, taus[::-1]))
    assert close(there, back, rel=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_their_state_does_not_grow(form: str):
    method, params, _ = FORMS[form]
    merger = ContinualMerger({"w": torch.zeros(6, 8)}, method, linear=["w"], **params)
    shapes = []
    for seed in range(3):
        kept = merger.add({"w": randn(6, 8, seed=seed).float()}).standing.accumulated["w"]
        shapes.append({name: (part.shape, part.dtype) for name, part in kept.items()})
    assert shapes[0] == shapes[1] == shapes[2]


@pytest.mark.parametrize("form", FORMS)
def test_a_task_vector_of_zero_breaks_nothing(form: str):
    method, params, _ = FORMS[form]
    tau, zero = randn(5, 6, seed=0), torch.zeros(5, 6, dtype=f64)

    def merged(taus: list[Tensor]) -> Tensor:
        models = [{"w": tau, "b": torch.ones(5, dtype=f64)} for tau in taus]
        base = {name: torch.zeros_like(x) for name, x in models[0].items()}
        return cmmlib.merge(base, models, method=method, linear=["w"], **params)["w"]

    assert torch.equal(merged([zero, zero]), zero)
    assert close(merged([zero, tau, zero]), merge_task_vectors(method, [tau], **params))


@pytest.mark.parametrize("method", ["wudi", "actmat", "iso_c", "tsv_m", "kronecker"])
def test_a_convolution_is_a_matrix_where_asked_for_and_averaged_otherwise(method: str):
    base = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.Linear(4, 3)).double()
    models = [{name: x + 0.1 * randn(*x.shape, seed=i) for name, x in base.state_dict().items()} for i in (1, 2)]
    start = base.state_dict()["0.weight"]
    taus = [model["0.weight"] - start for model in models]
    as_matrix = cmmlib.merge(base, models, method=method, convolution=True)["0.weight"] - start
    averaged = cmmlib.merge(base, models, method=method, convolution=False)["0.weight"] - start
    expected = merge_task_vectors(method, [tau.flatten(1) for tau in taus]).view_as(start)
    assert close(as_matrix, expected, rel=1e-7)
    assert close(averaged, sum(taus) / 2)


def test_other_methods_see_a_convolution_as_before():
    seen = {}

    @cmmlib.method(name="looks", layerwise=True)
    def looks(merged, task_vector, ctx):
        seen[ctx.name] = ctx.kind
        return merged + task_vector

    base = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3, bias=False))
    ContinualMerger(base, "looks").add({name: x + 1 for name, x in base.state_dict().items()})
    assert seen == {"0.weight": "other"}


def test_iso_c_scales_what_it_averages_too():
    models = [{"w": torch.eye(2), "b": torch.full((2,), value)} for value in (1.0, 2.0)]
    base = {name: torch.zeros_like(x) for name, x in models[0].items()}
    merged = cmmlib.merge(base, models, method="iso_c", linear=["w"], scaling_factor=1.5)
    assert torch.allclose(merged["b"], torch.full((2,), 2.25))


def test_both_pulls_end_at_the_minimiser_of_least_norm():
    taus = [randn(4, 20, seed=i) for i in range(3)]
    least = merge_task_vectors("wudi", taus, ridge=0.0)
    for pull in ("zero", "models"):
        distances = [
            (merge_task_vectors("wudi", taus, ridge=ridge, pull=pull) - least).norm().item() for ridge in (1e-2, 1e-4, 1e-6)
        ]
        assert batch.falls(distances) and distances[-1] <= 1e-4 * least.norm()


def test_the_pull_towards_the_models_keeps_a_single_one_and_the_pull_towards_zero_shrinks_it():
    tau = randn(6, 5, seed=0)
    assert close(merge_task_vectors("wudi", [tau], pull="models", ridge=0.1), tau)
    assert merge_task_vectors("wudi", [tau], pull="zero", ridge=0.1).norm() < 0.95 * tau.norm()


def test_wudi_is_dop_all_of_the_right_side_but_for_the_ridge():
    taus = [randn(5, 7, seed=i) for i in range(4)]
    other = merge_task_vectors("dop_all", taus, svd_proj_space="v", weighting="norm", ridge=1e-3)
    assert close(merge_task_vectors("wudi", taus, ridge=1e-3), other)


def test_identical_models_give_tsv_m_the_truncated_one():
    tau = randn(10, 12, seed=0)
    u, s, vt = torch.linalg.svd(tau, full_matrices=False)
    truncated = u[:, :3] * s[:3] @ vt[:3]
    assert close(merge_task_vectors("tsv_m", [tau, tau], share=0.3), 2 * truncated / 2)


def test_a_fixed_share_of_one_over_t_is_published_tsv_m_and_another_goes_away_from_it():
    taus = [randn(20, 30, seed=i) * torch.logspace(0, -2, 30, dtype=f64) for i in range(4)]
    published = batch.tsv_m(taus, rank=5)
    assert close(merge_task_vectors("tsv_m", taus, share=0.25), published)
    far, farther = (merge_task_vectors("tsv_m", taus, share=share) - published for share in (0.2, 0.1))
    assert 0.1 * published.norm() < far.norm() < farther.norm() < published.norm()


@pytest.mark.parametrize("n", range(1, 9))
def test_a_packed_matrix_comes_back_from_half_its_size(n: int):
    matrix = randn(n, n, seed=n)
    matrix = matrix + matrix.T
    assert pack(matrix).numel() == n * (n + 1) // 2
    assert torch.equal(unpack(pack(matrix)), matrix)


@pytest.mark.parametrize("decay", [0.0, 3.0])
def test_the_largest_eigenvalue_is_found_without_a_decomposition(decay: float):
    half = randn(300, 300, seed=0) * torch.logspace(0, -decay, 300, dtype=f64)
    matrix = half @ half.T
    assert largest_eigenvalue(matrix) == pytest.approx(torch.linalg.eigvalsh(matrix)[-1].item(), rel=1e-10)


@pytest.mark.parametrize("n", range(2, 9))
def test_a_gram_matrix_is_packed_as_it_is_made(n: int):
    half = randn(5, n, seed=n)
    assert close(unpack(packed_gram(half)), half.T @ half)
    shifted = packed_gram(half)
    add_to_diagonal(shifted, 2.0)
    assert close(unpack(shifted), half.T @ half + 2 * torch.eye(n, dtype=f64))


@pytest.mark.parametrize("distance", [1.0, 1e-3, 0.0])
def test_a_known_bound_on_the_rank_changes_no_inverse_root(distance: float):
    first = torch.linalg.qr(randn(80, 5, seed=0)).Q
    second = torch.linalg.qr(first + distance * randn(80, 5, seed=1)).Q
    both = torch.cat([first, second], 1)
    fast, full = (inverse_root(both @ both.T, rank) for rank in (10, None))
    assert close(fast @ fast.T, full @ full.T, rel=1e-7)
    if distance:
        assert close(fast @ (fast.T @ both), batch.polar(both), rel=1e-7)
