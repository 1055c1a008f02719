"""Full float32 precision on a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def no_tf32(device: torch.device) -> Iterator[None]:
    """Turn TF32 off for products and convolutions inside the block; the user's setting returns afterwards."""
    if device.type != "cuda":
        yield
        return
    convolutions: Any = torch.backends.cudnn
    products: Any = torch.backends.cuda.matmul
    places: list[tuple[Any, str, Any]]
    try:
        places = [(convolutions, "allow_tf32", False), (products, "allow_tf32", False)]
        before = [getattr(place, name) for place, name, _ in places]
    except RuntimeError:  # torch 2.9 refuses the older switches once the newer ones have been used
        places = [(place, "fp32_precision", "ieee") for place in (convolutions.conv, convolutions.rnn, products)]
        before = [getattr(place, name) for place, name, _ in places]
    try:
        for place, name, value in places:
            setattr(place, name, value)
        yield
    finally:
        for (place, name, _), value in zip(places, before, strict=True):
            setattr(place, name, value)
