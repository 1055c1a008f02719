"""`cmmlib.pareto_front`: its losses rise and fall with alpha, and its weights are the method's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cmmlib import ContinualMerger, pareto_front

from ..helpers.layers import LINEAR, small_models


def test_front_falls_and_rises_with_alpha_and_is_not_dominated():
    alphas = [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
    frame = pareto_front(*small_models(), alphas, linear=LINEAR)
    assert list(frame.columns) == ["layer", "alpha", "a", "loss_stability", "loss_plasticity"]
    assert len(frame) == 2 * len(alphas)
    for _, layer in frame.groupby("layer"):
        slack = 1e-12 * layer["loss_stability"].max()
        assert (np.diff(layer["loss_stability"]) <= slack).all() and (np.diff(layer["loss_plasticity"]) >= -slack).all()


def test_front_gives_the_weights_that_the_method_gives():
    base, merged, new = small_models()
    alphas = [0.25, "balanced", "mgda"]
    frame, models = pareto_front(base, merged, new, alphas, weights=True, linear=LINEAR)
    for alpha in alphas:
        merger = ContinualMerger(base, "dop", solver="exact", alpha=alpha, linear=LINEAR).add(merged).add(new)
        expected = merger.merged()
        assert models[alpha].keys() == expected.keys()
        assert all(torch.allclose(models[alpha][key], expected[key], atol=1e-6) for key in expected)
        losses = frame[frame.alpha == alpha]
        assert losses["loss_stability"].mean() == pytest.approx(merger.history["loss_stability_mean"].iloc[-1], rel=1e-6)
    balanced = frame[frame.alpha == "balanced"]
    assert np.allclose(balanced["loss_stability"], balanced["loss_plasticity"], rtol=1e-6)


def test_front_of_an_unchanged_layer_is_a_point():
    base, merged, new = small_models()
    merged["a.weight"] = base["a.weight"]
    frame, models = pareto_front(base, merged, new, [0.2, 0.8], weights=True, linear=LINEAR)
    assert frame[frame.layer == "a.weight"]["a"].isna().all()
    assert torch.allclose(models[0.2]["a.weight"], new["a.weight"])


@pytest.mark.parametrize("alpha", [-0.1, 1.5, "even", None])
def test_an_alpha_that_is_none_is_named(alpha: object):
    with pytest.raises(ValueError, match="alphas: expected numbers in"):
        pareto_front(*small_models(), [alpha], linear=LINEAR)
