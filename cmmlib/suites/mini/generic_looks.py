"""The look of pretraining images: random clean colours instead of a task's own domain."""

from __future__ import annotations

import numpy as np

from .backgrounds import PATTERNS
from .tasks import Domain

GENERIC_CONTRAST = 24  # largest difference of the two background colours in pretraining, 0..255
GENERIC_NOISE = 12


def generic_domain(rng: np.random.Generator) -> Domain:
    """A random clean look: two colours that differ clearly in brightness, and little noise."""
    while True:
        foreground, background = rng.integers(0, 256, size=(2, 3))
        if abs(int((foreground - background) @ [3, 6, 1])) >= 800:  # 80 of 255 in luma
            break
    second = np.clip(background + rng.integers(-GENERIC_CONTRAST, GENERIC_CONTRAST + 1, size=3), 0, 255)
    return Domain(
        foreground=tuple(foreground.tolist()),
        background=tuple(background.tolist()),
        second=tuple(second.tolist()),
        pattern=PATTERNS[rng.integers(len(PATTERNS))],
        period=int(rng.integers(2, 8)),
        noise=int(rng.integers(GENERIC_NOISE + 1)),
        jitter=0,
        size=(20, 34),
    )
