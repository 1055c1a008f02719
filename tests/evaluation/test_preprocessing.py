"""Bytes and a table give the processor's own floats, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from cmmlib.evaluation.preprocessing import normalised, shaped, value_table

from .noise import processor


def odd_images() -> dict[str, Image.Image]:
    rng = np.random.default_rng(0)
    rgb = {name: rng.integers(0, 256, shape, dtype=np.uint8) for name, shape in SHAPES.items()}
    found = {name: Image.fromarray(pixels) for name, pixels in rgb.items()}
    square = found["square"]
    return found | {
        "gray": square.convert("L"),
        "1 bit": square.convert("1"),
        "palette": square.convert("P"),
        "cmyk": square.convert("CMYK"),
        "rgba": Image.fromarray(rng.integers(0, 256, (30, 40, 4), dtype=np.uint8)),
    }


SHAPES = {
    "square": (50, 50, 3),
    "tall": (200, 5, 3),
    "wide": (3, 90, 3),
    "three": (3, 3, 3),
    "tiny": (2, 1, 3),
    "1x1": (1, 1, 3),
    "224": (224, 224, 3),
}


@pytest.mark.parametrize("config", [{}, {"do_resize": False}, {"image_std": [0.5, 0.1, 0.3]}, {"do_normalize": False}])
@pytest.mark.parametrize("name", [*SHAPES, "gray", "1 bit", "palette", "cmyk", "rgba"])
def test_pixels_are_the_processors_to_the_bit(name, config):
    image, clip = odd_images()[name], processor(224, **config)
    expected = clip(image.convert("RGB"), return_tensors="pt")["pixel_values"]
    stored = shaped(image, clip)
    assert stored.dtype == np.uint8
    assert torch.equal(normalised(torch.tensor(stored)[None], value_table(clip)), expected)


def test_all_values_of_all_channels_are_the_processors():
    values = np.stack([np.roll(np.arange(256, dtype=np.uint8), 85 * i) for i in range(3)], axis=-1).reshape(16, 16, 3)
    clip = processor(16)
    expected = clip(Image.fromarray(values), return_tensors="pt")["pixel_values"]
    assert torch.equal(normalised(torch.tensor(shaped(Image.fromarray(values), clip))[None], value_table(clip)), expected)
