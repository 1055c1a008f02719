"""The types of tensors under their names in safetensors and in torch; weights come in four of them."""

import torch

FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""safetensors' code → torch's dtype, for what can be merged."""

OTHERS = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "U16": torch.uint16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "I64": torch.int64,
    "U64": torch.uint64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "C64": torch.complex64,
}
"""The same for what is not merged."""

DTYPES = FLOATS | OTHERS
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
