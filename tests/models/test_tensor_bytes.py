"""Casts that lose no value."""

from __future__ import annotations

import pytest
import torch

from cmmlib.models.tensor_bytes import cast


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 9e4, -7e4])
def test_a_value_that_the_type_cannot_hold_is_an_error(value: float):
    with pytest.raises(ValueError, match=r"'half' holds infinity or NaN as float16, whose largest value is 65504"):
        cast("half", torch.tensor([1.0, value]), torch.float16)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_other_value_is_cast(dtype: torch.dtype):
    tensor = torch.tensor([1.0, -6e4, 0.0])
    assert torch.equal(cast("w", tensor, dtype), tensor.to(dtype))
