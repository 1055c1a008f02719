"""A CLIP image processor in two parts: resizing and cropping, which give bytes, and a table from bytes to floats.

Bytes take a quarter of the space of floats, and the table gives the processor's own numbers to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import CLIPImageProcessorPil

SHAPING = ("do_resize", "size", "resample", "do_center_crop", "crop_size")  # all that acts before rescaling


def shaping(processor: CLIPImageProcessorPil) -> dict[str, Any]:
    """The part of a processor's configuration that decides its resizing and cropping.

    Raises:
        ValueError: the processor pads.
    """
    config = processor.to_dict()
    if config.get("do_pad"):
        raise ValueError("an image processor that pads is not supported")
    return {name: config.get(name) for name in SHAPING}


def shaped(image: Image, processor: CLIPImageProcessorPil) -> np.ndarray:
    """Resize and crop an image of any mode: uint8 [3, h, w]."""
    output = processor(image.convert("RGB"), do_rescale=False, do_normalize=False, return_tensors="np")
    return output["pixel_values"][0]


def value_table(processor: CLIPImageProcessorPil) -> Tensor:
    """The rescaled and normalised value of every byte in each channel: float32 [3, 256]."""
    from PIL import Image

    ramp = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3))
    output = processor(ramp, do_resize=False, do_center_crop=False, return_tensors="pt")
    return output["pixel_values"][0, :, 0].float().contiguous()


def normalised(pixels: Tensor, table: Tensor) -> Tensor:
    """Rescale and normalise images by looking up their bytes, to the bit as the processor does.

    Args:
        pixels: uint8 [n, 3, h, w].
        table: `value_table`, on the same device.

    Returns:
        float32 [n, 3, h, w], on that device.
    """
    rows = torch.arange(3, dtype=torch.int32, device=pixels.device).view(3, 1, 1) * 256
    return table.flatten().index_select(0, (pixels + rows).flatten()).view(pixels.shape)
