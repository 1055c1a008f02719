"""Zero-shot scoring: a vision tower's image embeddings against class embeddings of the frozen text tower."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch
from torch import Tensor

from ..models.names import canonical_names
from ..threads import in_order
from .heads import cached_class_embeddings, text_hash
from .images import TestImages, normalised, value_table

if TYPE_CHECKING:
    from transformers import CLIPImageProcessorPil, CLIPModel, PreTrainedTokenizerBase

    from ..suites.suite import Suite

Key = TypeVar("Key", bound=Hashable)
Item, Result = TypeVar("Item"), TypeVar("Result")
Tower = Mapping[str, Tensor]


class Score(NamedTuple):
    """How many of a test set's images were classified right."""

    correct: int
    images: int

    @property
    def accuracy(self) -> float:
        """Per cent."""
        return 100 * self.correct / self.images


class Pixels:
    """Preprocessed images of a test set, read as they are asked for: ``pixels[a:b]`` is float32 (b − a, 3, h, w)."""

    def __init__(self, images: TestImages, table: Tensor) -> None:
        self._images, self._table, self.shape = images, table, images.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Tensor:
        start, stop, step = rows.indices(len(self))
        return normalised(torch.tensor(self._images.read(start, max(start, stop))), self._table)[::step]


class ZeroShotScorer:
    """Scores vision towers of one backbone on a suite's tasks.

    Text tower, projections, tokenizer and image processor are the base's.  Preprocessed images and heads are kept on
    disk (`cmmlib.evaluation.images`, `cmmlib.evaluation.heads`).

    Args:
        suite: where base and test sets come from.
        backbone: one of ``suite.backbones``.
        batch_size: images per forward pass; default: 75 on a CPU, 512 on a GPU (not tuned).
        device: where to compute.

    A suite's precision ``bfloat16`` runs the vision tower under autocast.  ``float32`` is float32 on a GPU too: TF32, which
    convolutions use there by default, is off while scoring.
    """

    def __init__(
        self,
        suite: Suite,
        backbone: str,
        *,
        batch_size: int | None = None,
        device: str | torch.device = "cpu",
    ):
        self.suite, self.backbone = suite, backbone
        self.device = torch.device(device)
        self.batch_size = batch_size or (75 if self.device.type == "cpu" else 512)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device is {device!r}, but torch finds no CUDA device here")
        self.head = cache(self._head)
        self._test_images = cache(self._open)

    @cached_property
    def _clip(self) -> CLIPModel:
        from transformers import CLIPModel
        from transformers.utils import logging

        base = self.suite.base(self.backbone)
        bar = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()  # a bar of milliseconds would land in every notebook's output
        try:
            model, info = CLIPModel.from_pretrained(base, dtype=torch.float32, output_loading_info=True)
        finally:
            if bar:
                logging.enable_progress_bar()
        if info["missing_keys"]:  # transformers would initialise them at random and only warn
            raise ValueError(f"{base} lacks weights of a CLIPModel: {sorted(info['missing_keys'])[:3]}")
        model.eval().requires_grad_(False)
        model.vision_model.to(self.device)  # the text tower stays: heads are made on the CPU
        model.visual_projection.to(self.device)
        return model

    @cached_property
    def _parameters(self) -> dict[str, torch.nn.Parameter]:
        return dict(self._clip.vision_model.named_parameters())

    @cached_property
    def _own(self) -> Tower:
        """The base's own tower; the module itself wears whichever is being scored."""
        return {name: parameter.data for name, parameter in self._parameters.items()}

    @cached_property
    def _text(self) -> str:
        return text_hash(self._clip)

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.suite.base(self.backbone))

    @cached_property
    def _processor(self) -> CLIPImageProcessorPil:
        from transformers import CLIPImageProcessorPil  # the same pixels whether or not torchvision is installed

        return CLIPImageProcessorPil.from_pretrained(self.suite.base(self.backbone))

    @cached_property
    def _table(self) -> Tensor:
        return value_table(self._processor).to(self.device)

    def prepare(self, tasks: Iterable[str]) -> None:
        """Have images and heads of tasks on disk, with all cores: once, before several processes ask for them."""
        for task in tasks:
            self._test_images(task)
            self.head(task)

    def size(self, task: str) -> int:
        """How many images a task is scored on."""
        return len(self._test_images(task).labels)

    @cached_property
    def together(self) -> int:
        """How many towers to keep until they are scored in one pass: on a GPU as memory allows, 8 at most.

        On a CPU one pass for several gains nothing (``python -m cmmlib.bench.scoring``), so there each is scored alone.
        """
        return 1 if self.device.type == "cpu" else min(8, self._fitting())

    def score(self, tensors: Tower | None, tasks: Iterable[str]) -> dict[str, Score]:
        """Score a vision tower on tasks.

        Args:
            tensors: the tower's parameters, under names with or without ``vision_model.``; None for the base's own.
            tasks: names of tasks of the suite.

        Raises:
            ValueError: a parameter is missing, unknown or of another shape.
        """
        return self.score_many({None: tensors}, {None: tasks})[None]

    def score_many(
        self,
        models: Mapping[Key, Tower | None],
        wanted: Mapping[Key, Iterable[str]],
        *,
        together: int | None = None,
    ) -> dict[Key, dict[str, Score]]:
        """Score several vision towers, each on tasks of its own, in one pass over a task's images.

        The counts are those of scoring them one by one: same batches, same sums.

        Args:
            models: as in `score`; each is asked for once, so a mapping may read them from disk then.
            wanted: per key of ``models`` the tasks to score.
            together: how many towers are on the device at a time; default: as many as half of the GPU's, or a quarter
                of the system's, free memory holds.

        Raises:
            ValueError: see `score`; keys of ``wanted`` that ``models`` has not.
        """
        tasks = {key: list(dict.fromkeys(names)) for key, names in wanted.items()}
        if unknown := [key for key in tasks if key not in models]:
            raise ValueError(f"scores are wanted of models that are not given: {unknown[:3]}")
        keys = [key for key in tasks if tasks[key]]
        found: dict[Key, dict[str, Score]] = {key: {} for key in tasks}
        together = together or self._fitting()
        for group in (keys[i : i + together] for i in range(0, len(keys), together)):
            towers = {key: self._tower(models[key]) for key in group}
            for task in dict.fromkeys(task for key in group for task in tasks[key]):
                asking = [key for key in group if task in tasks[key]]
                labels = self._test_images(task).labels
                for key, predicted in zip(asking, self._predict([towers[key] for key in asking], task), strict=True):
                    found[key][task] = Score(int((predicted == labels).sum()), len(labels))
        return {key: {task: found[key][task] for task in tasks[key]} for key in tasks}

    def predict(self, tensors: Tower | None, task: str) -> Tensor:
        """The label that a vision tower gives each image of a test set, int64 (images,); see `score`."""
        return self._predict([self._tower(tensors)], task)[0]

    def images(self, task: str) -> tuple[Pixels, Tensor]:
        """Preprocessed images (images, 3, height, width), to be sliced, and their labels (images,)."""
        images = self._test_images(task)
        return Pixels(images, self._table.cpu()), images.labels

    def _fitting(self) -> int:
        if self.device.type == "cuda":
            reserved = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
            free = (torch.cuda.mem_get_info(self.device)[0] + reserved) // 2
        else:
            free = available_memory() // 4
        size = sum(tensor.nbytes for tensor in self._own.values())
        return max(1, free // size)

    def _tower(self, tensors: Tower | None) -> Tower:
        """A tower's parameters as the module takes them; tensors that are so already are not copied."""
        own = self._own
        if tensors is None:
            return own
        names = canonical_names(tensors)
        if names.keys() != own.keys():
            missing, unexpected = sorted(own.keys() - names.keys()), sorted(names.keys() - own.keys())
            raise ValueError(
                f"these are not the parameters of a vision tower of {self.backbone}: {len(missing)} missing "
                f"{missing[:3]}, {len(unexpected)} unexpected {unexpected[:3]}"
            )
        for name, key in names.items():
            if tensors[key].shape != own[name].shape:
                raise ValueError(
                    f"{key} has shape {tuple(tensors[key].shape)}, in {self.backbone} it is {tuple(own[name].shape)}"
                )
        return {name: self._placed(tensors[names[name]]) for name in own}

    def _placed(self, tensor: Tensor) -> Tensor:
        tensor = tensor.detach().to(self.device, torch.float32).contiguous()
        # sums may depend on where in memory their terms lie, and a mapped file's tensors lie anywhere
        return tensor if tensor.data_ptr() % 64 == 0 else tensor.clone()

    @torch.inference_mode()
    def _predict(self, towers: list[Tower], task: str) -> list[Tensor]:
        """The labels that each tower gives each image, int64 (images,) on the CPU, in one pass."""
        head = self.head(task)
        predicted: list[list[Tensor]] = [[] for _ in towers]
        with no_tf32(self.device):
            for batch in self._batches(self._test_images(task)):
                for tower, labels in zip(towers, predicted, strict=True):
                    # neither the embedding's length nor CLIP's temperature changes which class is nearest
                    labels.append((self._embed(tower, batch) @ head.T).argmax(1))
        return [torch.cat(labels).cpu() for labels in predicted]

    def _embed(self, tower: Tower, batch: Tensor) -> Tensor:
        """Image embeddings (images, projection), not normalised."""
        for name, parameter in self._parameters.items():
            parameter.data = tower[name]  # `torch.func.functional_call` takes longer than a small layer does
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.suite.precision == "bfloat16"):
            pooled = self._clip.vision_model(batch).pooler_output
        return self._clip.visual_projection(pooled.float())

    def _batches(self, images: TestImages) -> Iterator[Tensor]:
        """Normalised batches on the device; while a GPU computes, the next one is read."""
        gpu = self.device.type == "cuda"

        def read(start: int) -> Tensor:
            view = images.read(start, start + self.batch_size)
            batch = torch.empty(view.shape, dtype=torch.uint8, pin_memory=gpu)
            batch.numpy()[:] = view
            return batch

        starts = range(0, len(images.labels), self.batch_size)
        for batch in ahead(read, starts) if gpu else map(read, starts):  # on a CPU the thread costs more than it gains
            yield normalised(batch.to(self.device, non_blocking=gpu), self._table)

    def _head(self, task: str) -> Tensor:
        """Class embeddings (classes, projection), see `cmmlib.evaluation.heads`."""
        spec = next(spec for spec in self.suite.tasks if spec.name == task)
        prompts = [spec.prompts(label) for label in range(len(spec.class_names))]
        tokens = [dict(self._tokenizer(texts, padding=True, return_tensors="pt")) for texts in prompts]
        return cached_class_embeddings(self._clip, self._text, tokens).to(self.device)

    def _open(self, task: str) -> TestImages:
        images = TestImages(self.suite, task, self._processor)
        classes = len(next(spec for spec in self.suite.tasks if spec.name == task).class_names)
        if not 0 <= int(images.labels.min()) <= int(images.labels.max()) < classes:
            raise ValueError(f"the test set of {task} has labels outside 0 … {classes - 1}")
        return images


def ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``map(function, items)`` in a thread that is always one item ahead of who takes the results."""
    with ThreadPoolExecutor(1) as pool:
        yield from in_order(pool, function, items, 2)


@contextlib.contextmanager
def no_tf32(device: torch.device) -> Iterator[None]:
    """float32 products and convolutions in float32 on a GPU, and the user's setting afterwards."""
    if device.type != "cuda":
        yield
        return
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    try:
        places = [(convolutions, "allow_tf32", False), (products, "allow_tf32", False)]
        before = [getattr(place, name) for place, name, _ in places]
    except RuntimeError:  # who has used the newer switches (torch 2.9) must not touch the older ones
        places = [(place, "fp32_precision", "ieee") for place in (convolutions.conv, convolutions.rnn, products)]
        before = [getattr(place, name) for place, name, _ in places]
    try:
        for place, name, value in places:
            setattr(place, name, value)
        yield
    finally:
        for (place, name, _), value in zip(places, before, strict=True):
            setattr(place, name, value)


def available_memory() -> int:
    """Bytes of memory that can be had without swapping, as the system says; 0 where it does not say."""
    with contextlib.suppress(OSError, StopIteration), open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0
