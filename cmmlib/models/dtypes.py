"""The four float types that weights come in, under their names in safetensors and in torch."""

import torch

FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""safetensors' code → torch's dtype."""

CODES = {dtype: code for code, dtype in FLOATS.items()}


def dtype_name(dtype: torch.dtype) -> str:
    """torch.float32 → ``"float32"``."""
    return str(dtype).removeprefix("torch.")


def dtype_named(name: str) -> torch.dtype:
    """``"float32"`` → torch.float32, for the four float types.

    Raises:
        ValueError: another name.
    """
    known = {dtype_name(dtype): dtype for dtype in CODES}
    if name not in known:
        raise ValueError(f"unknown dtype {name!r}; known: {', '.join(known)}")
    return known[name]
