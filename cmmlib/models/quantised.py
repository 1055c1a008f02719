"""Quantised checkpoints are refused by name: their numbers are not weights that can be added."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_LOADED = "load it with transformers' from_pretrained(…{}){} and save it with save_pretrained"
_WAYS = {
    "bitsandbytes": _LOADED.format("", ", call its dequantize()"),
    "higgs": _LOADED.format("", ", call its dequantize()"),
    "fp8": _LOADED.format(", quantization_config=FineGrainedFP8Config(dequantize=True)", ""),
    "mxfp4": _LOADED.format(", quantization_config=Mxfp4Config(dequantize=True)", ""),
    "compressed-tensors": _LOADED.format(", quantization_config=CompressedTensorsConfig(dequantize=True)", ""),
}
_NAMES = {
    r"\.(qweight|qzeros)": "gptq or awq",
    r"\.g_idx": "gptq",
    r"\.(absmax|quant_map|SCB|quant_state\.bitsandbytes__\w+)": "bitsandbytes",
    r"\.weight_packed": "compressed-tensors",
    r"\.weight_scale_inv": "fp8",
    r"_proj_blocks": "mxfp4",
    r"\.W_q": "hqq",
}
"""How a tensor's name ends that only a quantised checkpoint has → the method."""

_DTYPES = {
    "float8": "fp8",
    "F8_E8M0": "fp8",
    "F6_": "a 6-bit float format",
    "F4": "a 4-bit float format",
    "q": "torch's qint",
}
"""How a dtype's name begins → the method."""

_PLAIN = {"float64", "float32", "float16", "bfloat16", "int64", "bool"}


def require_unquantised(label: str, dtypes: Mapping[str, str], config: Mapping[str, Any] | None) -> None:
    """Refuse quantised weights.

    Args:
        label: what the message calls the model.
        dtypes: tensor → its dtype, as torch names it, or safetensors where torch has none.
        config: the model's ``config.json``, if there is one; its ``quantization_config`` is believed first.

    Raises:
        ValueError: the weights are quantised; says how, by what that is seen, and what to do.
    """
    sign = _sign(dtypes)
    if declared := _declared(config):
        if sign is None and _PLAIN.issuperset(dtypes.values()):
            raise ValueError(
                f"{label}: its config.json declares it quantised ({declared}), but its tensors are plain; if they have been "
                "dequantised, remove quantization_config from config.json"
            )
        method, seen = declared, "quantization_config in its config.json"
    elif sign:
        method, seen = sign
    else:
        return
    way = _WAYS.get(method.removeprefix("fbgemm_"), "with the library that quantised it")
    raise ValueError(
        f"{label} is quantised ({method}, see {seen}), and is not read; use the model that it was made from, or dequantise "
        f"it first: {way}"
    )


def _declared(config: Mapping[str, Any] | None) -> str | None:
    """The method that a configuration declares, that of a composite model's text part included."""
    text = (config or {}).get("text_config")
    for part in (config or {}, text if isinstance(text, Mapping) else {}):
        for key in ("quantization_config", "compression_config"):
            if settings := part.get(key):
                method = settings.get("quant_method") if isinstance(settings, Mapping) else None
                bnb = isinstance(settings, Mapping) and (settings.get("load_in_8bit") or settings.get("load_in_4bit"))
                return str(method or ("bitsandbytes" if bnb else "by an unnamed method"))[:40]
    return None


def _sign(dtypes: Mapping[str, str]) -> tuple[str, str] | None:
    """The method that the tensors betray, and by what."""
    for name, dtype in dtypes.items():
        for ending, method in _NAMES.items():
            if re.search(ending + r"\Z", name):
                return method, f"the tensor {name!r}"
        for beginning, method in _DTYPES.items():
            if dtype.startswith(beginning):
                return method, f"the dtype {dtype} of {name!r}"
    return None
