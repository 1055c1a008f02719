"""Checksums of the content of models and test sets, which do not depend on their files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

import numpy as np


def tensors_hash(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and values, in the order of the names."""
    digest = sha256()
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {value.dtype.str} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def pixels_hash(images: Iterable[np.ndarray], labels: Iterable[int]) -> str:
    """SHA-256 over the pixels (uint8 [h, w, 3] each) and labels (0..255) of a data set."""
    digest = sha256()
    for image, label in zip(images, labels, strict=True):
        digest.update(np.ascontiguousarray(image, dtype=np.uint8).tobytes() + bytes([label]))
    return digest.hexdigest()
