"""The bytes of tensors, without a copy where there is no need for one, and casts that lose no value."""

from __future__ import annotations

import torch
from torch import Tensor

from .dtypes import dtype_name


def bytes_in_place(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, not copied: what is written there changes the tensor."""
    if tensor.numel() == 0:
        return memoryview(b"")
    return tensor.detach().reshape(-1).view(torch.uint8).numpy().data


def tensor_bytes(tensor: Tensor) -> memoryview:
    """The bytes of any tensor in row-major order."""
    return bytes_in_place(tensor.detach().cpu().contiguous())


def cast(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor in a float type that can hold its values.

    Raises:
        ValueError: infinity or NaN, as a cast to a narrower type leaves.
    """
    result = tensor.to(dtype)
    # the extremes tell as much as isfinite().all(), in a tenth of its time
    if result.numel() and not all(extreme.isfinite() for extreme in result.aminmax()):
        raise ValueError(
            f"{name!r} holds infinity or NaN as {dtype_name(dtype)}, whose largest value is {torch.finfo(dtype).max:.6g}; "
            "nothing was written. Choose a wider dtype: bfloat16, say, or float32"
        )
    return result
