"""What tells one model from another, whatever file format, sharding or spelling of names it comes in."""

from __future__ import annotations

import hashlib
import json

from torch import Tensor

from .dtypes import dtype_name
from .source import Source
from .tensor_bytes import tensor_bytes

DIGESTS, STREAM = "digests", "stream"
"""How a content is hashed: as the SHA-256 of all tensors' own SHA-256, or, in states that cmmlib 0.1 began, as that of all
tensors one after the other."""


class ContentHash:
    """The hash of (canonical name, dtype, shape, bytes) of every tensor, which must come sorted by name.

    Args:
        scheme: `DIGESTS` or `STREAM`.
    """

    def __init__(self, scheme: str = DIGESTS) -> None:
        self._scheme, self._digest = scheme, hashlib.sha256()

    def update(self, name: str, tensor: Tensor) -> None:
        """Take the next tensor."""
        if self._scheme == DIGESTS:
            return self.take(entry_of(name, tensor))
        about = [name, dtype_name(tensor.dtype), list(tensor.shape)]
        self.take(json.dumps(about).encode() + b"\n" + tensor_bytes(tensor))

    def take(self, entry: bytes) -> None:
        """Take the next tensor's `entry_of`, where the scheme is `DIGESTS`."""
        self._digest.update(entry)

    def hexdigest(self) -> str:
        """The hash of all tensors so far."""
        return self._digest.hexdigest()


def entry_of(name: str, tensor: Tensor) -> bytes:
    """What a tensor adds to a hash by `DIGESTS`; may be computed in any order, on any thread."""
    digest = hashlib.sha256(tensor_bytes(tensor)).hexdigest()
    return json.dumps([name, dtype_name(tensor.dtype), list(tensor.shape), digest]).encode() + b"\n"


def content_hash(source: Source, scheme: str = DIGESTS) -> str:
    """The `ContentHash` of a model; of one that is computed (an adapter) the hash of what it is computed from."""
    if source.identity:
        return source.identity(scheme)
    digest = ContentHash(scheme)
    for name in sorted(source.names):
        digest.update(name, source.read(name))
    return digest.hexdigest()
