"""What tells one model from another, whatever file format, sharding or spelling of names it comes in."""

from __future__ import annotations

import hashlib
import json

from torch import Tensor

from .dtypes import dtype_name
from .source import Source
from .tensor_bytes import tensor_bytes


class ContentHash:
    """SHA-256 over (canonical name, dtype, shape, bytes) of every tensor, which must come sorted by name."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, name: str, tensor: Tensor) -> None:
        """Take the next tensor."""
        about = [name, dtype_name(tensor.dtype), list(tensor.shape)]
        self._digest.update(json.dumps(about).encode() + b"\n")
        self._digest.update(tensor_bytes(tensor))

    def hexdigest(self) -> str:
        """The hash of all tensors so far."""
        return self._digest.hexdigest()


def content_hash(source: Source) -> str:
    """The `ContentHash` of a model; of one that is computed (an adapter) the hash of what it is computed from."""
    if source.identity:
        return source.identity
    digest = ContentHash()
    for name in sorted(source.names):
        digest.update(name, source.read(name))
    return digest.hexdigest()
