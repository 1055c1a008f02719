"""Running any vision tower of a backbone in one CLIP model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..models.names import canonical_names

if TYPE_CHECKING:
    from transformers import CLIPModel

Tower = Mapping[str, Tensor]
"""The parameters of a vision tower, by name."""


def load_clip(base: str) -> CLIPModel:
    """Load a whole CLIP model in float32 on the CPU, for inference only.

    Raises:
        ValueError: weights are missing.
    """
    from transformers import CLIPModel
    from transformers.utils import logging

    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # notebooks would keep the output of a few milliseconds
    try:
        loaded: Any = CLIPModel.from_pretrained(base, dtype=torch.float32, output_loading_info=True)
    finally:
        if bar:
            logging.enable_progress_bar()
    model, info = loaded
    if info["missing_keys"]:  # transformers would initialise them at random and only warn
        raise ValueError(f"{base} lacks weights of a CLIPModel: {sorted(info['missing_keys'])[:3]}")
    return model.eval().requires_grad_(False)


class TowerEmbedder:
    """Embeds images with any tower of a backbone, by putting its parameters into the base's vision module.

    Args:
        clip: the base; its vision tower and visual projection are moved to the device, its text tower is not.
        backbone: its name, for messages.
        device: where to compute.
        precision: ``bfloat16`` runs the tower under autocast.

    Attributes:
        own: the base's own tower.
    """

    def __init__(self, clip: CLIPModel, backbone: str, device: torch.device, precision: str) -> None:
        self.backbone, self.device, self.precision = backbone, device, precision
        self._vision: Any = clip.vision_model.to(device)
        self._projection = clip.visual_projection.to(device)
        self._parameters: dict[str, torch.nn.Parameter] = dict(self._vision.named_parameters())
        self.own: Tower = {name: parameter.data for name, parameter in self._parameters.items()}

    def tower(self, tensors: Tower | None) -> Tower:
        """A tower's parameters as `embed` takes them: float32, on the device.  Tensors that are so already are not copied.

        Args:
            tensors: under names with or without ``vision_model.``; None for the base's tower.

        Raises:
            ValueError: a parameter is missing, unknown or of the wrong shape.
        """
        own = self.own
        if tensors is None:
            return own
        # indices, which a merged model carries along, are no parameters
        names = {name: key for name, key in canonical_names(tensors).items() if tensors[key].is_floating_point()}
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
        return {name: placed(tensors[names[name]], self.device) for name in own}

    def embed(self, tower: Tower, batch: Tensor) -> Tensor:
        """Image embeddings, float32 (images, projection), not normalised.

        Args:
            tower: from `tower`.
            batch: float32 (images, 3, height, width), on the device.
        """
        for name, parameter in self._parameters.items():
            parameter.data = tower[name]  # `torch.func.functional_call` takes longer than a small layer
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            pooled = self._vision(batch).pooler_output
        return self._projection(pooled.float())


def placed(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor in float32 on a device, at an address that is a multiple of 64 bytes."""
    tensor = tensor.detach().to(device, torch.float32).contiguous()
    # sums may depend on the alignment of their terms, and the tensors of a mapped file have any
    return tensor if tensor.data_ptr() % 64 == 0 else tensor.clone()
