"""The zoo's storage of fine-tuned towers: eight-bit task vectors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...models.names import PREFIX


def quantise(delta: np.ndarray) -> dict[str, np.ndarray]:
    """Round one tensor of a task vector to eight bits with one scale per row; 1-D tensors stay float32.

    Returns:
        {"": float32 values} for a 1-D tensor, else {"": int8 values, ".scale": float32 [rows]}.
    """
    if delta.ndim < 2:
        return {"": delta.astype(np.float32)}
    rows = delta.reshape(len(delta), -1)
    scale = (np.abs(rows).max(axis=1) / 127).astype(np.float32)
    steps = np.round(rows / np.where(scale > 0, scale, 1)[:, None])
    return {"": steps.astype(np.int8).reshape(delta.shape), ".scale": scale}


def vision_tensors(model: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of a whole CLIP model's vision tower, with the prefix in their names."""
    return {name: value for name, value in model.items() if name.startswith(PREFIX)}


def pack(base: Mapping[str, np.ndarray], tower: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The stored form of a tower: its quantised difference from the base, tensor by tensor."""
    return {name + key: value for name in base for key, value in quantise(tower[name] - base[name]).items()}


def unpack(base: Mapping[str, np.ndarray], packed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tower that `pack` stored, float32.  Elementwise products and sums give the same bits on every machine."""
    tower = {}
    for name, value in base.items():
        delta = packed[name].astype(np.float32)
        if name + ".scale" in packed:
            delta *= packed[name + ".scale"].reshape(-1, *[1] * (delta.ndim - 1))
        tower[name] = value + delta
    return tower
