"""CLIP: images, a vision tower whose parameters are exchanged, and class embeddings of the frozen text tower."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .batches import Pixels
from .heads import cached_class_embeddings, content_hash
from .image_store import TestImages
from .loading import load_base
from .preprocessing import value_table

if TYPE_CHECKING:
    from transformers import CLIPImageProcessorPil, CLIPModel

    from ..suites.suite import Suite, Task


def load_clip(base: str) -> CLIPModel:
    """Load a whole CLIP model in float32 on the CPU, for inference only.

    Raises:
        ValueError: weights are missing.
    """
    from transformers import CLIPModel

    return load_base(CLIPModel, base)


class ClipEncoder:
    """A CLIP model.  See `cmmlib.evaluation.encoder.Encoder` for the interface.

    Args:
        base: folder or hub id of the whole model, with tokenizer and image processor.
        device: of the vision tower; the text tower stays on the CPU, which makes the heads.
    """

    def __init__(self, base: str, device: torch.device) -> None:
        self._base, self._device, self._clip = base, device, load_clip(base)
        self.module: Any = self._clip.vision_model.to(device)
        self._projection = self._clip.visual_projection.to(device)

    def fresh(self) -> nn.Module:
        """Another copy of the vision tower."""
        return load_clip(self._base).vision_model

    def pooled(self, batch: Tensor) -> Tensor:
        """The vision tower's output for images, float32 (images, 3, height, width)."""
        return self.module(batch).pooler_output

    def projected(self, pooled: Tensor) -> Tensor:
        """Image embeddings, not normalised."""
        return self._projection(pooled)

    def head(self, task: Task) -> Tensor:
        """Class embeddings of the text tower; see `cmmlib.evaluation.heads`."""
        prompts = [task.prompts(label) for label in range(len(task.class_names))]
        tokens = [dict(self._tokenizer(texts, padding=True, return_tensors="pt")) for texts in prompts]
        return cached_class_embeddings(self._embed_texts, self._text, tokens)

    def inputs(self, suite: Suite, task: str) -> Pixels:
        """The images of a test set, kept on disk."""
        return Pixels(TestImages(suite, task, self.processor), self._table)

    @cached_property
    def processor(self) -> CLIPImageProcessorPil:
        """The base's image processor."""
        from transformers import CLIPImageProcessorPil  # the same pixels whether or not torchvision is installed

        return CLIPImageProcessorPil.from_pretrained(self._base)

    @cached_property
    def _table(self) -> Tensor:
        return value_table(self.processor).to(self._device)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self._base)

    @cached_property
    def _text(self) -> str:
        tensors = self._clip.text_model.state_dict() | {"text_projection": self._clip.text_projection.weight}
        return content_hash(self._clip.config.text_config, tensors)

    def _embed_texts(self, prompts: dict[str, Tensor]) -> Tensor:
        return self._clip.text_projection(self._clip.text_model(**prompts).pooler_output)
