"""What stands: replaced as a whole by every model, never changed."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
import torch

from cmmlib import ContinualMerger
from cmmlib.merging.standing import Standing


@pytest.mark.parametrize("name", [field.name for field in fields(Standing)])
def test_nothing_of_it_can_be_assigned(name: str):
    with pytest.raises(FrozenInstanceError):
        setattr(Standing(), name, None)


def test_a_model_leaves_what_stood_before_as_it_was(toy: tuple[Any, ...]):
    base, models = toy
    merger = ContinualMerger(base, "task_arithmetic")
    nothing = merger.standing
    one = merger.add(models[0]).standing
    kept = {key: one.accumulated[key].clone() for key in one.accumulated}
    two = merger.add(models[1]).standing
    assert nothing == Standing() and [len(standing.models) for standing in (nothing, one, two)] == [0, 1, 2]
    assert two.models[:1] == one.models and two.task_vector_norms[:1] == one.task_vector_norms
    assert all(torch.equal(one.accumulated[key], kept[key]) for key in kept)
    assert not any(torch.equal(two.accumulated[key], kept[key]) for key in kept)


def test_its_norms_are_over_all_parameters(toy: tuple[Any, ...]):
    base, models = toy
    standing = ContinualMerger(base, "weight_average").add(models[0]).add(models[1]).standing
    taus = [torch.cat([(model[key] - base[key]).double().flatten() for key in base]) for model in models[:2]]
    assert standing.task_vector_norms == pytest.approx([tau.norm().item() for tau in taus], rel=1e-6)
    assert standing.norm == pytest.approx((sum(taus) / 2).norm().item(), rel=1e-6)
