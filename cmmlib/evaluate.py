"""Zero-shot scoring: a vision tower's image embeddings against class embeddings of the frozen text tower."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .names import canonical_names

if TYPE_CHECKING:
    from transformers import CLIPModel

    from .suites import Suite


class Score(NamedTuple):
    """How many of a test set's images were classified right."""

    correct: int
    images: int

    @property
    def accuracy(self) -> float:
        """Per cent."""
        return 100 * self.correct / self.images


class ZeroShotScorer:
    """Scores vision towers of one backbone on a suite's tasks.

    Text tower, projections and tokenizer are the base's; heads and preprocessed images are kept in memory.

    Args:
        suite: where base and test sets come from.
        backbone: one of ``suite.backbones``.
        batch_size: images per forward pass.
        device: where to compute.
    """

    def __init__(self, suite: Suite, backbone: str, *, batch_size: int = 75, device: str | torch.device = "cpu"):
        self.suite, self.backbone = suite, backbone
        self.batch_size, self.device = batch_size, torch.device(device)
        self.head = cache(self._head)
        self.images = cache(self._images)

    @cached_property
    def _clip(self) -> CLIPModel:
        from transformers import CLIPModel
        from transformers.utils import logging

        bar = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()  # a bar of milliseconds would land in every notebook's output
        try:
            model, info = CLIPModel.from_pretrained(self.suite.base(self.backbone), output_loading_info=True)
        finally:
            if bar:
                logging.enable_progress_bar()
        if info["missing_keys"]:  # transformers would initialise them at random and only warn
            raise ValueError(
                f"{self.suite.base(self.backbone)} lacks weights of a CLIPModel: {sorted(info['missing_keys'])[:3]}"
            )
        return model.eval().requires_grad_(False).to(self.device)

    @cached_property
    def _pretrained(self) -> dict[str, Tensor]:
        return {key: tensor.clone() for key, tensor in self._clip.vision_model.state_dict().items()}

    @torch.inference_mode()
    def score(self, tensors: Mapping[str, Tensor] | None, tasks: Iterable[str]) -> dict[str, Score]:
        """Score a vision tower on tasks.

        Args:
            tensors: the tower's parameters, under names with or without ``vision_model.``; None for the base's own.
            tasks: names of tasks of the suite.
        """
        pretrained = self._pretrained  # kept before the first tower is loaded over it
        tensors = pretrained if tensors is None else tensors
        self._clip.vision_model.load_state_dict({name: tensors[key] for name, key in canonical_names(tensors).items()})
        return {task: self._score_task(task) for task in tasks}

    def _score_task(self, task: str) -> Score:
        pixels, labels = self.images(task)
        head = self.head(task)
        correct = 0
        for start in range(0, len(labels), self.batch_size):
            batch = pixels[start : start + self.batch_size].to(self.device)
            embedding = self._clip.visual_projection(self._clip.vision_model(batch).pooler_output)
            # neither the embedding's length nor CLIP's temperature changes which class is nearest
            predicted = (embedding @ head.T).argmax(1).cpu()
            correct += int((predicted == labels[start : start + self.batch_size]).sum())
        return Score(correct, len(labels))

    @torch.inference_mode()
    def _head(self, task: str) -> Tensor:
        """Class embeddings (classes, projection): every template embedded, normalised, averaged, normalised again."""
        from transformers import AutoTokenizer

        spec = next(spec for spec in self.suite.tasks if spec.name == task)
        tokenizer = AutoTokenizer.from_pretrained(self.suite.base(self.backbone))
        rows = []
        for class_name in spec.class_names:
            prompts = [template.format(class_name) for template in spec.templates]
            tokens = tokenizer(prompts, padding=True, return_tensors="pt").to(self.device)
            embedding = self._clip.text_projection(self._clip.text_model(**tokens).pooler_output)
            rows.append(torch.nn.functional.normalize(embedding, dim=1).mean(0))
        return torch.nn.functional.normalize(torch.stack(rows), dim=1)

    def _images(self, task: str) -> tuple[Tensor, Tensor]:
        """Preprocessed images (images, 3, height, width) and their labels (images,)."""
        from transformers import CLIPImageProcessorPil  # the same pixels whether or not torchvision is installed

        processor = CLIPImageProcessorPil.from_pretrained(self.suite.base(self.backbone))
        data = self.suite.test_set(task)
        images = [image.convert("RGB") for image in data["image"]]
        return processor(images, return_tensors="pt")["pixel_values"], torch.tensor(data["label"])
