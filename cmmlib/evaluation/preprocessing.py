"""What a CLIP image processor does, cut in two: resizing and cropping, which give bytes, and a table of what these become.

The bytes are a quarter of the floats' size, and looking them up gives the processor's own numbers to the bit.
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
    """The part of a processor's configuration that its resizing and cropping depend on.

    Raises:
        ValueError: it pads.
    """
    config = processor.to_dict()
    if config.get("do_pad"):
        raise ValueError("an image processor that pads is not supported")
    return {name: config.get(name) for name in SHAPING}


def shaped(image: Image, processor: CLIPImageProcessorPil) -> np.ndarray:
    """An image of any mode, resized and cropped: uint8 [3, h, w]."""
    output = processor(image.convert("RGB"), do_rescale=False, do_normalize=False, return_tensors="np")
    return output["pixel_values"][0]


def value_table(processor: CLIPImageProcessorPil) -> Tensor:
    """What the processor's rescaling and normalisation make of the 256 values of each channel: float32 [3, 256]."""
    from PIL import Image

    ramp = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3))
    output = processor(ramp, do_resize=False, do_center_crop=False, return_tensors="pt")
    return output["pixel_values"][0, :, 0].float().contiguous()


def normalised(pixels: Tensor, table: Tensor) -> Tensor:
    """uint8 [n, 3, h, w] → float32, on their device: the processor's own numbers, to the bit, as they are looked up."""
    rows = torch.arange(3, dtype=torch.int32, device=pixels.device).view(3, 1, 1) * 256
    return table.flatten().index_select(0, (pixels + rows).flatten()).view(pixels.shape)
