"""What a scorer needs to know of a kind of base: its inputs, its encoder and its head."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from ..suites.suite import Suite, Task


class Inputs(Protocol):
    """The preprocessed inputs of a test set; a slice of them is a batch on the CPU.

    Attributes:
        labels: int64 (inputs,).
    """

    labels: Tensor

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice) -> Any: ...

    def batches(self, size: int) -> Iterator[Any]:
        """All inputs in batches of at most `size`, on the device that computes."""
        ...


class Encoder(Protocol):
    """A base: an encoder whose parameters are exchanged, between inputs and a head that are not."""

    @property
    def module(self) -> nn.Module:
        """The encoder, on the device; takes one batch."""
        ...

    def fresh(self) -> nn.Module:
        """Another copy of the base's encoder, on the CPU."""
        ...

    def pooled(self, batch: Any) -> Tensor:
        """One vector for each input of a batch, (inputs, width), by the encoder as it is now."""
        ...

    def projected(self, pooled: Tensor) -> Tensor:
        """Embeddings, float32 (inputs, projection), of what `pooled` gives."""
        ...

    def head(self, task: Task) -> Tensor:
        """Class embeddings of the base, float32 (classes, projection), on the CPU, whatever the encoder is now."""
        ...

    def inputs(self, suite: Suite, task: str) -> Inputs:
        """The test set of a task."""
        ...


def encoder_of(base: str, device: torch.device) -> Encoder:
    """The encoder of a base, by what its configuration says it is: CLIP's for images, one with a vocabulary for texts.

    Args:
        base: a folder or hub id.

    Raises:
        ValueError: weights are missing, or it is neither.
    """
    from transformers import AutoConfig

    from .clip_encoder import ClipEncoder
    from .sentence_encoder import SentenceEncoder

    config = AutoConfig.from_pretrained(base)
    if config.model_type == "clip":
        return ClipEncoder(base, device)
    if not hasattr(config, "vocab_size") or hasattr(config, "vision_config"):
        raise ValueError(f"{base}: a {config.model_type} is neither a CLIP model, for images, nor an encoder of texts")
    return SentenceEncoder(base, device)
