"""The change of a layer's output, and whether two columns rank alike."""

import pandas as pd
import pytest
import torch

from cmmlib.analysis import correlations_within
from cmmlib.analysis.output_change import output_change

from ..helpers.layers import randn


def test_the_change_is_that_of_a_linear_layers_output_per_image():
    layer, inputs = torch.nn.Linear(5, 4, bias=False).double(), randn(6, 3, 5, seed=0)
    change = randn(4, 5, seed=1)
    with torch.no_grad():
        before = layer(inputs)
        layer.weight += change
        expected = (layer(inputs) - before).square().sum() / 6
    assert output_change([inputs], change) == pytest.approx(expected.item())
    # over tasks the mean counts each once, however many images it has
    assert output_change([inputs, 0 * inputs[:2]], change) == pytest.approx(expected.item() / 2)


def test_groups_that_rank_alike_may_not_do_so_together():
    points = pd.DataFrame(
        [("one", 1, 10), ("one", 2, 20), ("one", 3, 900), ("two", 11, 1), ("two", 12, 2), ("two", 13, 3)],
        columns=["layer", "loss", "change"],
    )
    within, across = correlations_within(points, "loss", "change", within="layer")
    assert within == pytest.approx(1) and across < 0


def test_a_loss_that_ranks_the_wrong_way_round_gives_minus_one():
    points = pd.DataFrame({"layer": "one", "loss": [1, 2, 3], "change": [3.0, 2.0, -7.0]})
    assert correlations_within(points, "loss", "change", within="layer") == pytest.approx((-1, -1))
