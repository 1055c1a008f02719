"""Zero-shot scoring: image embeddings of a vision tower against class embeddings of the frozen text tower."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from .batches import Pixels, batches
from .heads import cached_class_embeddings, text_hash
from .image_store import TestImages
from .memory import memory_to_use
from .precision import no_tf32
from .preprocessing import value_table
from .score import Score
from .towers import Tower, TowerEmbedder, load_clip

if TYPE_CHECKING:
    from transformers import CLIPImageProcessorPil, CLIPModel, PreTrainedTokenizerBase

    from ..suites.suite import Suite, Task

Key = TypeVar("Key", bound=Hashable)


class ZeroShotScorer:
    """Scores vision towers of one backbone on a suite's tasks.

    The text tower, the projections, the tokenizer and the image processor are the base's.  Preprocessed images and heads
    are kept on disk (`cmmlib.evaluation.image_store`, `cmmlib.evaluation.heads`).

    If the suite's precision is ``bfloat16``, the vision tower runs under autocast.  TF32, which convolutions use on a GPU
    by default, is off while scoring.

    Args:
        suite: gives the base and the test sets.
        backbone: one of ``suite.backbones``.
        batch_size: images per forward pass; default: 75 on a CPU, 512 on a GPU (not tuned).
        device: where to compute.

    Attributes:
        head: task name → class embeddings, float32 (classes, projection), on the device.

    Raises:
        ValueError: the device is a GPU and torch finds none.
    """

    def __init__(
        self,
        suite: Suite,
        backbone: str,
        *,
        batch_size: int | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.suite, self.backbone = suite, backbone
        self.device = torch.device(device)
        self.batch_size = batch_size or (75 if self.device.type == "cpu" else 512)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device is {device!r}, but torch finds no CUDA device here")
        self.head = cache(self._head)
        self._test_images = cache(self._open)

    @cached_property
    def _clip(self) -> CLIPModel:
        return load_clip(self.suite.base(self.backbone))

    @cached_property
    def embedder(self) -> TowerEmbedder:
        """The base's vision tower and projection, on the device.  The text tower stays on the CPU, which makes the heads."""
        return TowerEmbedder(self._clip, self.backbone, self.device, self.suite.precision)

    @cached_property
    def _text(self) -> str:
        return text_hash(self._clip)

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.suite.base(self.backbone))

    @cached_property
    def processor(self) -> CLIPImageProcessorPil:
        """The base's image processor."""
        from transformers import CLIPImageProcessorPil  # the same pixels whether or not torchvision is installed

        return CLIPImageProcessorPil.from_pretrained(self.suite.base(self.backbone))

    @cached_property
    def value_table(self) -> Tensor:
        """`cmmlib.evaluation.preprocessing.value_table` of the base's processor, float32 (3, 256), on the device."""
        return value_table(self.processor).to(self.device)

    @property
    def own_tower(self) -> Tower:
        """The base's own tower, on the device."""
        return self.embedder.own

    def prepare(self, tasks: Iterable[str]) -> None:
        """Make the images and heads of tasks on all cores.  Call it once before several processes need them."""
        for task in tasks:
            self._test_images(task)
            self.head(task)

    def size(self, task: str) -> int:
        """The number of images that a task is scored on."""
        return len(self._test_images(task).labels)

    @cached_property
    def together(self) -> int:
        """How many towers to collect and score in one pass: on a GPU as many as memory allows, at most 8; on a CPU one.

        On a CPU a pass for several towers saves no time (``python -m cmmlib.bench.scoring``).
        """
        return 1 if self.device.type == "cpu" else min(8, self._fitting())

    def score(self, tensors: Tower | None, tasks: Iterable[str]) -> dict[str, Score]:
        """Score a vision tower on tasks.

        Args:
            tensors: the tower's parameters, under names with or without ``vision_model.``; None for the base's tower.
            tasks: names of tasks of the suite.

        Raises:
            ValueError: a parameter is missing, unknown or of the wrong shape.
        """
        return self.score_many({None: tensors}, {None: tasks})[None]

    def score_many(
        self,
        models: Mapping[Key, Tower | None],
        wanted: Mapping[Key, Iterable[str]],
        *,
        together: int | None = None,
    ) -> dict[Key, dict[str, Score]]:
        """Score several vision towers, each on its own tasks, in one pass over a task's images.

        The scores equal those of scoring the towers one by one.

        Args:
            models: key → tower, as in `score`.  Each is looked up once, so a mapping may read it from disk then.
            wanted: key → the tasks to score that tower on.
            together: how many towers are on the device at a time; default: as many as fit in half of the GPU's, or a
                quarter of the system's, free memory.

        Raises:
            ValueError: ``wanted`` has a key that ``models`` lacks, or see `score`.
        """
        tasks = {key: list(dict.fromkeys(names)) for key, names in wanted.items()}
        if unknown := [key for key in tasks if key not in models]:
            raise ValueError(f"wanted has keys of models that are not given: {unknown[:3]}")
        keys = [key for key in tasks if tasks[key]]
        found: dict[Key, dict[str, Score]] = {key: {} for key in tasks}
        together = together or self._fitting()
        for group in (keys[i : i + together] for i in range(0, len(keys), together)):
            towers = {key: self.embedder.tower(models[key]) for key in group}
            for task in dict.fromkeys(task for key in group for task in tasks[key]):
                asking = [key for key in group if task in tasks[key]]
                labels = self._test_images(task).labels
                for key, predicted in zip(asking, self._predict([towers[key] for key in asking], task), strict=True):
                    found[key][task] = Score(int((predicted == labels).sum()), len(labels))
        return {key: {task: found[key][task] for task in tasks[key]} for key in tasks}

    def predict(self, tensors: Tower | None, task: str) -> Tensor:
        """The class that a vision tower predicts for each image of a test set, int64 (images,) on the CPU; see `score`."""
        return self._predict([self.embedder.tower(tensors)], task)[0]

    def images(self, task: str) -> tuple[Pixels, Tensor]:
        """A task's preprocessed images, float32 (images, 3, height, width) when sliced, and labels, int64 (images,)."""
        images = self._test_images(task)
        return Pixels(images, self.value_table.cpu()), images.labels

    def _fitting(self) -> int:
        return max(1, memory_to_use(self.device) // sum(tensor.nbytes for tensor in self.own_tower.values()))

    @torch.inference_mode()
    def _predict(self, towers: list[Tower], task: str) -> list[Tensor]:
        """Each tower's predictions, int64 (images,) on the CPU, in one pass."""
        head = self.head(task)
        predicted: list[list[Tensor]] = [[] for _ in towers]
        with no_tf32(self.device):
            for batch in batches(self._test_images(task), self.batch_size, self.value_table):
                for tower, labels in zip(towers, predicted, strict=True):
                    # the embedding's norm and CLIP's temperature do not change which class is nearest
                    labels.append((self.embedder.embed(tower, batch) @ head.T).argmax(1))
        return [torch.cat(labels).cpu() for labels in predicted]

    def _task(self, name: str) -> Task:
        found = next((task for task in self.suite.tasks if task.name == name), None)
        if found is None:
            names = ", ".join(task.name for task in self.suite.tasks)
            raise ValueError(f"suite {self.suite.name!r} has no task {name!r}; it has {names}")
        return found

    def _head(self, task: str) -> Tensor:
        """Class embeddings, float32 (classes, projection); see `cmmlib.evaluation.heads`."""
        spec = self._task(task)
        prompts = [spec.prompts(label) for label in range(len(spec.class_names))]
        tokens = [dict(self._tokenizer(texts, padding=True, return_tensors="pt")) for texts in prompts]
        return cached_class_embeddings(self._clip, self._text, tokens).to(self.device)

    def _open(self, task: str) -> TestImages:
        images = TestImages(self.suite, task, self.processor)
        classes = len(self._task(task).class_names)
        if not 0 <= int(images.labels.min()) <= int(images.labels.max()) < classes:
            raise ValueError(f"the test set of {task} has labels outside 0 … {classes - 1}")
        return images
