"""Zero-shot scoring: embeddings of inputs by an encoder, such as a vision tower, against class embeddings of the base."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from .encoder import Encoder, Inputs, encoder_of
from .memory import memory_to_use
from .precision import no_tf32
from .score import Score
from .towers import Tower, TowerEmbedder

if TYPE_CHECKING:
    from ..suites.suite import Suite, Task

Key = TypeVar("Key", bound=Hashable)


class ZeroShotScorer:
    """Scores encoders of one backbone on a suite's tasks: vision towers of a CLIP, or sentence encoders.

    All but the encoder is the base's: of a CLIP the text tower, the projections, the tokenizer and the image processor.
    Heads and preprocessed images are kept on disk (`cmmlib.evaluation.heads`, `cmmlib.evaluation.image_store`).

    If the suite's precision is ``bfloat16``, the encoder runs under autocast.  TF32, which convolutions use on a GPU
    by default, is off while scoring.

    Args:
        suite: gives the base and the test sets.
        backbone: one of ``suite.backbones``.
        batch_size: inputs per forward pass; default: 75 on a CPU, 512 on a GPU (not tuned).
        device: where to compute.

    Attributes:
        head: task name → class embeddings, float32 (classes, projection), on the device.
        inputs: task name → its preprocessed test set, see `cmmlib.evaluation.encoder.Inputs`.

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
        self.inputs = cache(self._inputs)

    @cached_property
    def encoder(self) -> Encoder:
        """The base, on the device."""
        return encoder_of(self.suite.base(self.backbone), self.device)

    @cached_property
    def embedder(self) -> TowerEmbedder:
        """Runs any parameters in the base."""
        return TowerEmbedder(self.encoder, self.backbone, self.device, self.suite.precision)

    @property
    def own_tower(self) -> Tower:
        """The base's own parameters, on the device."""
        return self.embedder.own

    def prepare(self, tasks: Iterable[str]) -> None:
        """Make the inputs and heads of tasks on all cores.  Call it once before several processes need them."""
        for task in tasks:
            self.inputs(task)
            self.head(task)

    def size(self, task: str) -> int:
        """The number of inputs that a task is scored on."""
        return len(self.inputs(task))

    @cached_property
    def together(self) -> int:
        """How many towers to collect and score in one pass: on a GPU as many as memory allows, at most 8; on a CPU one.

        On a CPU a pass for several towers saves no time (``python -m cmmlib.bench.scoring``).
        """
        return 1 if self.device.type == "cpu" else min(8, self._fitting())

    def score(self, tensors: Tower | None, tasks: Iterable[str]) -> dict[str, Score]:
        """Score an encoder on tasks.

        Args:
            tensors: its parameters, a vision tower's under names with or without ``vision_model.``; None for the base's.
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
        """Score several encoders, each on its own tasks, in one pass over a task's inputs.

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
                labels = self.inputs(task).labels
                for key, predicted in zip(asking, self._predict([towers[key] for key in asking], task), strict=True):
                    found[key][task] = Score(int((predicted == labels).sum()), len(labels))
        return {key: {task: found[key][task] for task in tasks[key]} for key in tasks}

    def predict(self, tensors: Tower | None, task: str) -> Tensor:
        """The class that an encoder predicts for each input of a test set, int64 (inputs,) on the CPU; see `score`."""
        return self._predict([self.embedder.tower(tensors)], task)[0]

    def _fitting(self) -> int:
        return max(1, memory_to_use(self.device) // sum(tensor.nbytes for tensor in self.own_tower.values()))

    @torch.inference_mode()
    def _predict(self, towers: list[Tower], task: str) -> list[Tensor]:
        """Each tower's predictions, int64 (inputs,) on the CPU, in one pass."""
        head = self.head(task)
        predicted: list[list[Tensor]] = [[] for _ in towers]
        with no_tf32(self.device):
            for batch in self.inputs(task).batches(self.batch_size):
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
        return self.encoder.head(self._task(task)).to(self.device)

    def _inputs(self, task: str) -> Inputs:
        inputs = self.encoder.inputs(self.suite, task)
        classes = len(self._task(task).class_names)
        if not 0 <= int(inputs.labels.min()) <= int(inputs.labels.max()) < classes:
            raise ValueError(f"the test set of {task} has labels outside 0 … {classes - 1}")
        return inputs
