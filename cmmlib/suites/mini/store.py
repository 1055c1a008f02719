"""How the zoo is stored: eight-bit task vectors, checksums, and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np

PREFIX = "vision_model."


def folder_of(zoo: Path, backbone: str) -> Path:
    """Where a zoo keeps what belongs to one backbone: base, deltas, accuracies and checksums of towers."""
    return zoo / backbone.replace("/", "-")


def tensors_hash(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and values, whatever the order or the file they came in."""
    digest = sha256()
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {value.dtype.str} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def pixels_hash(images: Iterable[np.ndarray], labels: Iterable[int]) -> str:
    """SHA-256 over the pixels (uint8 [h, w, 3] each) and labels of a data set."""
    digest = sha256()
    for image, label in zip(images, labels, strict=True):
        digest.update(np.ascontiguousarray(image, dtype=np.uint8).tobytes() + bytes([label]))
    return digest.hexdigest()


def quantise(delta: np.ndarray) -> dict[str, np.ndarray]:
    """A float32 task vector's tensor in eight bits with one scale per row; 1-D tensors stay float32.

    Returns {"": values} or {"": int8 values, ".scale": float32 [rows]}.
    """
    if delta.ndim < 2:
        return {"": delta.astype(np.float32)}
    rows = delta.reshape(len(delta), -1)
    scale = (np.abs(rows).max(axis=1) / 127).astype(np.float32)
    steps = np.round(rows / np.where(scale > 0, scale, 1)[:, None])
    return {"": steps.astype(np.int8).reshape(delta.shape), ".scale": scale}


def vision_tensors(model: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The vision tower's tensors of a whole CLIP model, names with their prefix."""
    return {name: value for name, value in model.items() if name.startswith(PREFIX)}


def pack(base: Mapping[str, np.ndarray], tower: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is stored of a tower: its quantised difference from the base, tensor by tensor."""
    return {name + key: value for name in base for key, value in quantise(tower[name] - base[name]).items()}


def unpack(base: Mapping[str, np.ndarray], packed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tower that a pack stands for, float32. Plain elementwise products and sums: the same everywhere."""
    tower = {}
    for name, value in base.items():
        delta = packed[name].astype(np.float32)
        if name + ".scale" in packed:
            delta *= packed[name + ".scale"].reshape(-1, *[1] * (delta.ndim - 1))
        tower[name] = value + delta
    return tower


def ensure_folder(target: Path, write: Callable[[Path], None], intact: Callable[[Path], bool]) -> None:
    """Write the folder `target` unless it is intact. Safe against kills and against several processes.

    write(folder): fills an empty folder.  intact(folder): whether the content is right; may raise on damage.
    """
    if _holds(intact, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        new, old = partial / "new", partial / "old"
        new.mkdir()
        write(new)
        if target.exists() and not _holds(intact, target):
            os.replace(target, old)
        try:
            os.replace(new, target)
        except OSError:  # another process was first
            if not target.exists():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _holds(intact: Callable[[Path], bool], folder: Path) -> bool:
    try:
        return folder.exists() and intact(folder)
    except Exception:  # a damaged file can fail in any reader, in any way
        return False
