"""The bytes of tensors, without a copy where there is no need for one."""

from __future__ import annotations

import torch
from torch import Tensor


def bytes_in_place(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, not copied: what is written there changes the tensor."""
    if tensor.numel() == 0:
        return memoryview(b"")
    return tensor.detach().reshape(-1).view(torch.uint8).numpy().data


def tensor_bytes(tensor: Tensor) -> memoryview:
    """The bytes of any tensor in row-major order."""
    return bytes_in_place(tensor.detach().cpu().contiguous())
