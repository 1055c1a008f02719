"""Sentence embeddings: the mean of an encoder's last hidden states over a text's tokens, as all-MiniLM-L6-v2 is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOKENS = 32
"""The largest number of tokens of a text, the first and the last mark included."""


def tokenised(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> dict[str, Tensor]:
    """What an encoder takes for some texts, each int64 (texts, tokens), padded to the longest and cut at `TOKENS`."""
    return dict(tokenizer(list(texts), padding=True, truncation=True, max_length=TOKENS, return_tensors="pt"))


def mean_pooled(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean over the tokens that are no padding, (texts, width).

    Args:
        hidden: (texts, tokens, width).
        mask: (texts, tokens), 0 where there is padding.
    """
    weights = mask[..., None].to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


def embed(encoder: Any, tokens: Mapping[str, Tensor]) -> Tensor:
    """Sentence embeddings, (texts, width), not normalised.

    Args:
        encoder: a module of transformers whose output has ``last_hidden_state``.
    """
    return mean_pooled(encoder(**tokens).last_hidden_state, tokens["attention_mask"])


def class_embedding(encoder: Any, prompts: Mapping[str, Tensor]) -> Tensor:
    """The mean of a class's normalised prompt embeddings, (width,), as CLIP does it (arXiv 2103.00020, sec. 3.1.4)."""
    with torch.inference_mode():
        return normalize(normalize(embed(encoder, prompts), dim=1).mean(0), dim=0).clone()
