"""Images as the scorer and its user get them, and reading one batch ahead."""

from __future__ import annotations

import threading

import torch

from cmmlib.evaluation.batches import ahead


def test_images_are_floats_as_the_processor_makes_them(suite, scorer, base):
    from transformers import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil.from_pretrained(base)
    images = [image.convert("RGB") for image in suite.test_set("signs")["image"]]
    expected = processor(images, return_tensors="pt")["pixel_values"]
    pixels = scorer.inputs("signs")
    assert pixels.shape == (10, 3, 36, 36) and len(pixels) == len(pixels.labels) == 10
    for rows in (slice(None), slice(2, 5), slice(-3, None), slice(0, 9, 2)):
        assert torch.equal(pixels[rows], expected[rows])


def test_the_next_item_is_worked_on_before_it_is_asked_for():
    begun = [threading.Event() for _ in range(4)]
    results = ahead(lambda i: begun[i].set() or 10 * i, range(4))
    assert next(results) == 0
    assert begun[1].wait(10) and not begun[2].wait(0.05)
    assert list(results) == [10, 20, 30]
