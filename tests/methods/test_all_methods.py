"""What every method says of itself: whether order matters, whether a first model is kept, how results scale."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cmmlib import ContinualMerger, get_method

from ..helpers.dop_losses import SOLVERS
from ..helpers.layers import SHAPES, close, f64, merge_task_vectors, randn

FIRST_KEPT = [("weight_average", {}), ("opcm", {}), ("opcm", {"zero_diagonal": False}), *(("dop", s) for s in SOLVERS)]
FIRST_KEPT += [("kronecker", {}), ("kronecker", {"input_power": 1.0, "output_power": 0.0, "cap": 0.5})]
SCALE = [("task_arithmetic", {}), ("ties", {}), ("magmax", {}), ("wudi", {}), ("wudi", {"pull": "models"}), ("actmat", {})]
SCALE += [("iso_c", {}), ("tsv_m", {}), ("nufilt", {}), ("kronecker", {})]


def test_order_matters_to_the_methods_that_do_not_claim_otherwise():
    taus = [randn(5, 5, seed=seed) for seed in range(3)]
    for name in ("ties", "opcm", "dop", "nufilt", "kronecker"):
        assert not get_method(name).order_free
        assert not close(merge_task_vectors(name, taus), merge_task_vectors(name, taus[::-1]), rel=1e-6)


@given(
    st.integers(0, 10**6),
    st.sampled_from(SHAPES),
    st.floats(-6, 3),
    st.sampled_from(FIRST_KEPT),
    st.sampled_from([torch.float32, f64]),
    st.booleans(),
)
def test_a_first_model_is_returned_unchanged(
    seed: int, shape: tuple[int, int], log_scale: float, setting: tuple[str, dict], dtype: torch.dtype, compat: bool
):
    name, params = setting
    assert get_method(name).keeps_first
    base = {"w": randn(*shape, seed=seed, dtype=dtype), "b": randn(shape[0], seed=seed + 1, dtype=dtype)}
    model = {key: x + (10**log_scale * randn(*x.shape, seed=seed + 2)).to(dtype) for key, x in base.items()}
    if all(torch.equal(model[key], base[key]) for key in base):
        return
    merged = ContinualMerger(base, name, linear=["w"], reference_compat=compat, **params).add(model).merged()
    for key in model:
        rounding = 4 * torch.finfo(dtype).eps * (base[key].abs() + model[key].abs())
        assert merged[key].dtype == dtype and ((merged[key] - model[key]).abs() <= rounding).all()


@pytest.mark.parametrize("name", ["task_arithmetic", "ties", "magmax", "wudi", "iso_c", "tsv_m"])
def test_methods_that_scale_or_cut_do_not_claim_to_keep_a_first_model(name: str):
    tau = randn(4, 4, seed=0)
    assert not get_method(name).keeps_first
    assert not close(merge_task_vectors(name, [tau]), tau)


@pytest.mark.parametrize(("name", "params"), [*FIRST_KEPT[:3], *SCALE])
def test_merging_scales_with_the_task_vectors(name: str, params: dict):
    taus = [randn(5, 4, seed=seed) for seed in range(3)]
    expected = merge_task_vectors(name, taus, **params)
    assert close(merge_task_vectors(name, [1024 * tau for tau in taus], **params), 1024 * expected)
