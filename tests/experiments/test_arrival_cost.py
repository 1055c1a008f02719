"""What one more model costs: bytes counted, every arrival measured."""

import pytest
import torch

from cmmlib import ContinualMerger
from cmmlib.experiments import arrival_costs
from cmmlib.experiments.arrival_cost import AT_ONCE, kept_bytes


@pytest.fixture
def models():
    """A base and three models of one linear layer with a bias, 18 numbers in float32."""
    torch.manual_seed(0)
    return [torch.nn.Sequential(torch.nn.Linear(5, 3)) for _ in range(4)]


def test_every_arrival_is_timed_and_only_merging_anew_keeps_more_and_more(models):
    base, *arriving = models
    methods = {"OPCM": ("opcm", {}), "all tasks": ("dop_all", {})}
    costs = arrival_costs(base, arriving, methods, anew="dop_all")
    assert list(costs.columns) == ["method", "models", "seconds", "kept"]
    assert list(costs["method"].unique()) == ["OPCM", "all tasks", AT_ONCE]
    assert (costs["seconds"] > 0).all()
    kept = {label: list(part["kept"]) for label, part in costs.groupby("method")}
    assert kept == {"OPCM": [1, 1, 1], "all tasks": [1 + 25 / 18] * 3, AT_ONCE: [1, 2, 3]}  # Q has 5 × 5 numbers


def test_a_merger_without_models_keeps_nothing(models):
    assert kept_bytes(ContinualMerger(models[0], "opcm")) == 0
