"""Zero-shot heads: class embeddings of the base, kept on disk.

They are computed on the CPU in float32, each class by a single thread.  So they are the same whether a grid's worker, a
notebook with all threads or a run on a GPU computed them first.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..paths import cache_dir
from ..threads import side_by_side

FORMAT = 1
NO_CONTENT = ("transformers_version", "dtype", "torch_dtype", "_name_or_path", "architectures")


Tokens = Mapping[str, Tensor]
Embed = Callable[[Any], Tensor]
"""Tokenised prompts to their embeddings, float32 (prompts, projection), not normalised."""


def content_hash(config: Any, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of what embeds prompts: weights and configuration, not where they were read from."""
    content = {key: value for key, value in config.to_dict().items() if key not in NO_CONTENT}
    digest = sha256(json.dumps(content, sort_keys=True, default=str).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def class_embeddings(embed: Embed, tokens: Sequence[Tokens]) -> Tensor:
    """Class embeddings, float32 (classes, projection).

    The embeddings of a class's prompts are normalised, averaged and normalised again (CLIP, arXiv 2103.00020, sec. 3.1.4).
    Each class is a batch of its own, since the sums of a longer or larger batch differ in their last bits.

    Args:
        tokens: one entry per class, its tokenised prompts, padded to the longest of them.
    """

    def of_class(prompts: Tokens) -> Tensor:
        with torch.inference_mode():  # inside, because the mode is set per thread
            return normalize(embed(prompts), dim=1).mean(0)

    return normalize(torch.stack(list(side_by_side(of_class, tokens))), dim=1)


def cached_class_embeddings(embed: Embed, content: str, tokens: Sequence[Tokens]) -> Tensor:
    """`class_embeddings`, kept in ``cache_dir() / "heads"``; a damaged file is replaced.

    Args:
        content: `content_hash` of what embeds.
    """
    from transformers import __version__

    ids = [prompts["input_ids"].tolist() for prompts in tokens]
    made_from = json.dumps([FORMAT, content, torch.__version__, __version__, ids])
    path = cache_dir() / "heads" / f"{sha256(made_from.encode()).hexdigest()[:24]}.safetensors"
    head = _read(path)
    if head is None:
        head = class_embeddings(embed, tokens)
        _write(path, head)
    return head


def _read(path: Path) -> Tensor | None:
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            head, checksum = file.get_tensor("head").clone(), file.metadata()["crc32"]
    except Exception:  # a damaged file can fail in any reader, in any way
        return None
    return head if checksum == str(_checksum(head)) else None


def _checksum(head: Tensor) -> int:
    return zlib.crc32(head.numpy().data)


def _write(path: Path, head: Tensor) -> None:
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    content = save({"head": head}, metadata={"crc32": str(_checksum(head))})
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.stem}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
