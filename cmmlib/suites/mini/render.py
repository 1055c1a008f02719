"""Drawing the images of the mini suite in seeded integer arithmetic, so that pixels are the same on every machine.

A mask (coverage by the object, 0..255) blends a foreground colour with a patterned background, and noise is added.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np

from .backgrounds import background_pattern
from .generic_looks import generic_domain
from .masks import assets, object_mask, scan_mask
from .tasks import BY_NAME, RGB, MiniTask

TEST_SIZE = 150  # test images per task
COLOURS: tuple[RGB, ...] = (  # of the task "colours", in label order
    (214, 30, 36), (244, 136, 26), (240, 220, 40), (44, 160, 52), (50, 206, 196), (40, 70, 214),
    (128, 44, 168), (250, 130, 190), (122, 74, 36), (128, 128, 128), (248, 248, 248), (12, 12, 12),
)  # fmt: skip


def generator(task: str, split: str, index: int) -> np.random.Generator:
    """The random generator of one image: PCG64, seeded only by task, split and index."""
    return np.random.Generator(np.random.PCG64([crc32(f"{task}/{split}".encode()), index]))


def label_of(task: MiniTask, index: int) -> int:
    """The label of an image: labels cycle, which balances every stretch of a split."""
    return index % len(task.class_names)


def draw(task: MiniTask, split: str, index: int, scan: np.ndarray | None = None) -> np.ndarray:
    """Image number `index` of a split as uint8 [36, 36, 3].

    The backbone is pretrained on the split "generic": clean renderings in random colours.  Other splits are drawn in the
    task's domain, where tasks of kind "scan" show the given `scan` (uint8 [h, w]).
    """
    rng = generator(task.name, split, index)
    domain = generic_domain(rng) if split == "generic" else task.domain
    label = label_of(task, index)
    mask = scan_mask(scan, domain) if scan is not None else object_mask(task, label, domain, rng)
    jitter = rng.integers(-domain.jitter, domain.jitter + 1, size=(3, 3))
    foreground, light = np.array(domain.foreground), None
    if task.kind == "colour":
        foreground, light = np.array(COLOURS[label]), foreground
    colours = np.clip(np.stack([foreground, np.array(domain.background), np.array(domain.second)]) + jitter, 0, 255)
    pattern = background_pattern(domain, rng)[:, :, None]
    image = (colours[1] * (255 - pattern) + colours[2] * pattern) // 255
    image = (image * (255 - mask[:, :, None]) + colours[0] * mask[:, :, None]) // 255
    if light is not None and split != "generic":
        image = image * light // 255
    image = image + rng.integers(-domain.noise, domain.noise + 1, size=image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def draw_test(task_name: str) -> tuple[np.ndarray, np.ndarray]:
    """The test set of a task: images uint8 [150, 36, 36, 3] and labels int64 [150]."""
    task = BY_NAME[task_name]
    scans = assets()[task_name] if task.kind == "scan" else [None] * TEST_SIZE
    images = np.stack([draw(task, "test", i, scans[i]) for i in range(TEST_SIZE)])
    return images, np.array([label_of(task, i) for i in range(TEST_SIZE)])
