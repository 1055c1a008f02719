"""A sentence encoder: texts, an encoder whose parameters are exchanged, and class embeddings of the base."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..suites.text.embedding import embed, mean_pooled, tokenised
from .heads import cached_class_embeddings, content_hash
from .loading import load_base

if TYPE_CHECKING:
    from ..suites.suite import Suite, Task

Tokens = dict[str, Tensor]


class Texts:
    """The texts of a test set; a slice is what the encoder takes, each int64 (texts, tokens), padded to the longest.

    Attributes:
        labels: int64 (texts,).
    """

    def __init__(self, texts: Sequence[str], labels: Tensor, tokenizer: Any, device: torch.device) -> None:
        self._texts, self.labels, self._tokenizer, self._device = list(texts), labels, tokenizer, device

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, rows: slice) -> Tokens:
        return tokenised(self._tokenizer, self._texts[rows])

    def batches(self, size: int) -> Iterator[Tokens]:
        """All texts in batches, on the device."""
        for start in range(0, len(self), size):
            yield {name: tensor.to(self._device) for name, tensor in self[start : start + size].items()}


class SentenceEncoder:
    """A sentence encoder with mean pooling.  See `cmmlib.evaluation.encoder.Encoder` for the interface.

    Args:
        base: folder or hub id of the encoder, with its tokenizer.
        device: of the encoder.
    """

    def __init__(self, base: str, device: torch.device) -> None:
        self._base, self._device = base, device
        self._frozen = self.fresh()
        self.module: Any = copy.deepcopy(self._frozen).to(device)

    def fresh(self) -> Any:
        """Another copy of the encoder, which takes a batch as one argument."""
        from transformers import AutoModel

        module = load_base(AutoModel, self._base)
        module.register_forward_pre_hook(_unpack, with_kwargs=True)
        return module

    def pooled(self, batch: Tokens) -> Tensor:
        """The mean of the last hidden states."""
        return mean_pooled(self.module(batch).last_hidden_state, batch["attention_mask"])

    def projected(self, pooled: Tensor) -> Tensor:
        """Sentence embeddings, not normalised."""
        return pooled

    def head(self, task: Task) -> Tensor:
        """Class embeddings of the base; see `cmmlib.evaluation.heads`."""
        tokens = [tokenised(self._tokenizer, task.prompts(label)) for label in range(len(task.class_names))]
        return cached_class_embeddings(partial(embed, self._frozen), self._content, tokens)

    def inputs(self, suite: Suite, task: str) -> Texts:
        """The texts of a test set.

        Raises:
            ValueError: there are none.
        """
        data = suite.test_set(task)
        if not len(data):
            raise ValueError(f"the test set of {task} is empty")
        return Texts(data["text"], torch.tensor(data["label"]), self._tokenizer, self._device)

    @cached_property
    def _content(self) -> str:
        return content_hash(self._frozen.config, self._frozen.state_dict())

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self._base)


def _unpack(module: nn.Module, args: tuple[Tokens, ...], named: Tokens) -> tuple[tuple[()], Tokens]:
    """Lets a batch, one mapping, stand for the encoder's named arguments."""
    return (), {**named, **(args[0] if args else {})}
