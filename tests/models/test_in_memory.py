"""Modules and mappings that are no models."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cmmlib import ContinualMerger


def test_a_mapping_of_something_else_is_refused(toy: tuple):
    with pytest.raises(TypeError, match=r"model 1 .*'state_dict' is a dict"):
        ContinualMerger(toy[0], "magmax").add({"state_dict": toy[1][0]})
    with pytest.raises(TypeError, match="model 1"):
        ContinualMerger(toy[0], "magmax").add({0: torch.zeros(2)})


def test_a_module_without_weights_is_refused():
    with torch.device("meta"):
        hollow = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"base \(Linear\): 'weight' is on the meta device"):
        ContinualMerger(hollow, "opcm")
