"""Methods that keep sums: after the last model they are where the batch method is, whatever the order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

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


def with_cutoff(s: Tensor, d: Tensor, ridge: float, cutoff: float) -> Tensor:
    """M of M (S + ρ λ I) = D, where eigenvalues of S at or below a share of the largest, λ, count as zero."""
    values, vectors = torch.linalg.eigh(s)
    kept = values > cutoff * values[-1]
    return (d @ vectors[:, kept] / (values[kept] + ridge * values[-1])) @ vectors[:, kept].T


def right_side(
    taus: list[Tensor], ridge: float = 0.0, cutoff: float = 0.0, share: float = 1.0, normed: bool = False
) -> Tensor:
    """ACTMat and TACT with a ridge and a cutoff, from their definition; WUDI too where weights are ``normed``."""
    weights = [1 / tau.norm() ** 2 if normed else 1.0 for tau in taus]
    guides = []
    for tau in taus:
        smallest = tau.abs().flatten().argsort()[: tau.numel() - round(share * tau.numel())]
        guides.append(tau.flatten().index_fill(0, smallest, 0).view_as(tau))
    squares = [w * guide.T @ guide for w, guide in zip(weights, guides, strict=True)]
    return with_cutoff(sum(squares), sum(tau @ square for tau, square in zip(taus, squares, strict=True)), ridge, cutoff)


def dop_all(taus: list[Tensor], space: str, ridge: float = 1e-3, cutoff: float = 0.0) -> Tensor:
    """X of P X + X Q + ρ σ X = k R, σ the largest eigenvalue; where there are both, a linear system per eigenvector of P."""
    p, q, r = sum(tau @ tau.T for tau in taus), sum(tau.T @ tau for tau in taus), sum(tau @ tau.T @ tau for tau in taus)
    if space == "v":
        return with_cutoff(q, r, ridge, cutoff)
    if space == "u":
        return with_cutoff(p, r.T, ridge, cutoff).T
    values, vectors = torch.linalg.eigh(p)
    shifts = values + ridge * (values[-1] + batch.spectral_norm(q))
    systems = q + shifts.view(-1, 1, 1) * torch.eye(len(q), dtype=f64)
    return vectors @ torch.linalg.solve(systems, 2 * vectors.T @ r)


FORMS: dict[str, tuple[str, dict, Batch]] = {
    "wudi": ("wudi", {}, partial(batch.wudi, ridge=1e-3, pull="zero")),
    "wudi towards the models": ("wudi", {"pull": "models"}, partial(batch.wudi, ridge=1e-3, pull="models")),
    "wudi without a ridge": ("wudi", {"ridge": 0.0}, partial(batch.wudi, ridge=0.0, pull="zero")),
    "wudi by Adam": ("wudi", {"solver": "adam"}, batch.wudi_published),
    "actmat": ("actmat", {}, batch.actmat),
    "actmat with a ridge": ("actmat", {"ridge": 1e-3}, partial(right_side, ridge=1e-3)),
    "tact": ("actmat", {"share": 0.5}, partial(batch.actmat, share=0.5)),
    "tact with a ridge": ("actmat", {"share": 0.5, "ridge": 1e-3}, partial(right_side, ridge=1e-3, share=0.5)),
    "iso_c": ("iso_c", {"scaling_factor": 1.5}, partial(batch.iso_c, scaling_factor=1.5)),
    "tsv_m": ("tsv_m", {"share": 0.25}, partial(batch.tsv_m, rank=2)),
    "dop_all u": ("dop_all", {"svd_proj_space": "u"}, partial(dop_all, space="u")),
    "dop_all v": ("dop_all", {"svd_proj_space": "v"}, partial(dop_all, space="v")),
    "dop_all uv": ("dop_all", {"svd_proj_space": "uv"}, partial(dop_all, space="uv")),
}
RANK_TWO = [(9, 11), (11, 9), (8, 40), (40, 8)]
"""Shapes of which a quarter of the singular values are two."""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", RANK_TWO)
def test_the_sums_give_what_the_batch_method_gives(form: str, shape: tuple[int, int]):
    method, params, together = FORMS[form]
    taus = [2**-i * randn(*shape, seed=i) for i in range(5)]
    assert close(merge_task_vectors(method, taus, **params), together(taus), rel=1e-7)


class Case(NamedTuple):
    """Random task vectors in float32."""

    rows: int
    columns: int
    models: int = 6
    decay: float = 0.0  # the columns fall to ten to the power of minus so much

    def task_vectors(self, seed: int) -> list[Tensor]:
        scale = torch.logspace(0, -self.decay, self.columns, dtype=f64)
        return [(randn(self.rows, self.columns, seed=seed + i) * scale).float() for i in range(self.models)]


CASES = {
    "white": Case(24, 32),
    "wide": Case(24, 96),
    "wide, 3 models": Case(24, 96, models=3),  # 72 directions of 96: the rest has the ridge alone
    "wide, 4 models": Case(24, 96, models=4),  # 96 of 96: the weakest of a square random matrix is very weak
    "tall": Case(96, 24),
    "decaying": Case(24, 32, decay=3),
    "wide, decaying": Case(24, 96, decay=3),
    "tall, decaying": Case(96, 24, decay=3),
}
SEED = 310
"""Of the first task vector: with it no eigenvalue is within 8 % of a cutoff, where rounding might decide."""


def merged_in_float32(method: str, taus: list[Tensor], **params: object) -> Tensor:
    merger = ContinualMerger({"w": torch.zeros(taus[0].shape)}, method, linear=["w"], **params)
    for tau in taus:
        merger.add({"w": tau})
    return merger.merged()["w"].double()


def distance(actual: Tensor, expected: Tensor) -> float:
    """‖actual − expected‖ / ‖expected‖."""
    return ((actual - expected).norm() / expected.norm()).item()


FLOAT32: dict[str, list[float | None]] = {
    # D is rounded to float32. The solution divides that by eigenvalues: those of many white rows are all large, those of 6
    # · 24 rows in 96 columns less so, and with 3 models in 96 columns the ridge alone is left, which raises it most
    "wudi": [9.6, 23, 570, 120, 6.4, 7.0, 9.9, 6.9],
    "wudi towards the models": [9.1, 21, 300, 89, 6.4, 6.7, 10, 6.9],
    "actmat with a ridge": [8.8, 25, 560, 130, 6.4, 8.1, 11, 7.4],
    "tact with a ridge": [8.5, 22, 530, 140, 6.5, 7.3, 9.8, 7.0],
    # without a ridge what no model spans is cut off, and with it its rounding; where the cutoff decides is tested below
    "wudi without a ridge": [9.8, 23, 20, None, 6.5, None, None, None],
    "actmat": [8.8, 26, 20, None, 6.4, None, None, None],
    "tact": [8.8, 22, 24, None, 6.5, None, None, None],
    # 300 steps of 1e-5, each rounded, whatever the matrix
    "wudi by Adam": [290, 320, 340, 280, 300, 280, 300, 260],
    # the sum is in float64, so this is the rounding of the result
    "iso_c": [2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5],
    # R is rounded to float32 and divided by the roots of P and Q, which are small where all models' singular vectors, 36
    # (24 of 4), are about as many as there are rows or columns
    "tsv_m": [20, 6.8, 3.8, 71, 7.0, 21, 18, 6.9],
    # P, Q and R are all in float32, which a ridge of 1e-3 raises where eigenvalues are small: those of the longer side, and
    # of rows whose columns decay; with both sides λ + μ is seldom small
    "dop_all u": [9.5, 8.4, 7.6, 7.1, 44, 37, 14, None],
    "dop_all v": [11, 48, 45, None, 7.6, None, None, None],
    "dop_all uv": [8.4, 8.6, 8.0, 7.8, 8.0, 12, 9.5, 4400],  # and cut off in places if tall
}
"""Measured errors in units of 1e-8, of the cases in their order; None where a cutoff in float32 decides."""


@pytest.mark.parametrize(
    ("form", "case", "measured"),
    [
        (form, case, measured)
        for form, row in FLOAT32.items()
        for case, measured in zip(CASES, row, strict=True)
        if measured is not None
    ],
)
def test_in_float32_they_do_so_to_what_was_measured(form: str, case: str, measured: float):
    method, params, together = FORMS[form]
    if form == "tsv_m":
        together = partial(batch.tsv_m, rank=6)
    taus = CASES[case].task_vectors(SEED)
    expected = together([tau.double() for tau in taus])
    assert distance(merged_in_float32(method, taus, **params), expected) <= 4e-8 * measured


EPSILON = torch.finfo(torch.float32).eps
WITHOUT_RIDGE: dict[str, Callable[..., Tensor]] = {
    "wudi without a ridge": partial(right_side, normed=True),
    "actmat": right_side,
    "tact": partial(right_side, share=0.5),
}


@pytest.mark.parametrize(
    ("case", "to_cut", "to_ridged"),
    [
        ("wide, 4 models", 1.3e-5, 4e-4),  # the weakest direction is just above or below the cutoff, and divides by so much
        ("decaying", 4e-7, 4e-7),
        ("wide, decaying", 5e-7, 6e-7),
        ("tall, decaying", 2.5e-7, 2.5e-7),
    ],
)
@pytest.mark.parametrize("form", WITHOUT_RIDGE)
def test_without_a_ridge_float32_cuts_off_weak_directions_that_a_ridge_of_a_millionth_gives_back(
    form: str, case: str, to_cut: float, to_ridged: float
):
    method, params, together = FORMS[form]
    batch_form, taus = WITHOUT_RIDGE[form], CASES[case].task_vectors(SEED)
    exact = [tau.double() for tau in taus]
    merged = merged_in_float32(method, taus, **params)
    assert 0.8 < distance(merged, together(exact)) < 1.05  # nearly all of it: the minimiser is largest in the weak ones
    assert distance(merged, batch_form(exact, cutoff=CASES[case].columns * EPSILON)) <= to_cut
    ridged = merged_in_float32(method, taus, **params | {"ridge": 1e-6})
    assert distance(ridged, batch_form(exact, ridge=1e-6)) <= to_ridged
    assert distance(merge_task_vectors(method, exact, **params), together(exact)) <= 1e-7  # float64 cuts off far less


@pytest.mark.parametrize(
    ("space", "case", "far", "to_cut"),
    [
        ("v", "wide, 4 models", 0.0062, 1.5e-5),  # as above
        ("v", "decaying", 0.054, 4e-7),
        ("v", "wide, decaying", 0.097, 6e-7),
        ("v", "tall, decaying", 0.12, 4e-7),
        ("u", "tall, decaying", 0.0070, 6e-5),  # R falls off with the columns, and P is rounded to float32
    ],
)
def test_all_task_dop_cuts_weak_directions_off_in_float32_whatever_the_ridge(
    space: str, case: str, far: float, to_cut: float
):
    taus = CASES[case].task_vectors(SEED)
    exact = [tau.double() for tau in taus]
    cutoff = max(CASES[case].rows, CASES[case].columns) * EPSILON
    merged = merged_in_float32("dop_all", taus, svd_proj_space=space)
    assert 0.7 * far < distance(merged, dop_all(exact, space)) < 1.4 * far
    assert distance(merged, dop_all(exact, space, cutoff=cutoff)) <= to_cut
    smaller = merged_in_float32("dop_all", taus, svd_proj_space=space, ridge=1e-6)  # counts the cut ones for more
    assert 0.4 < distance(smaller, dop_all(exact, space, ridge=1e-6)) < 1
    assert distance(merge_task_vectors("dop_all", exact, svd_proj_space=space), dop_all(exact, space)) <= 1e-12


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
    assert close(merge_task_vectors("tsv_m", [tau, tau], share=0.3), truncated)


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
