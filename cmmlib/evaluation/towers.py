"""Running any parameters of a backbone's encoder in one module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..models.names import canonical_names
from .encoder import Encoder

Tower = Mapping[str, Tensor]
"""The parameters of an encoder, such as a vision tower, by name."""


class TowerEmbedder:
    """Embeds inputs with any parameters of a backbone's encoder, by putting them into the base's module.

    Args:
        encoder: the base.
        backbone: its name, for messages.
        device: where to compute.
        precision: ``bfloat16`` runs the encoder under autocast.

    Attributes:
        own: the base's own parameters.
    """

    def __init__(self, encoder: Encoder, backbone: str, device: torch.device, precision: str) -> None:
        self.encoder, self.backbone, self.device, self.precision = encoder, backbone, device, precision
        self._parameters: dict[str, torch.nn.Parameter] = dict(encoder.module.named_parameters())
        self.own: Tower = {name: parameter.data for name, parameter in self._parameters.items()}

    def tower(self, tensors: Tower | None) -> Tower:
        """Parameters as `embed` takes them: float32, on the device.  Tensors that are so already are not copied.

        Args:
            tensors: under names with or without ``vision_model.``; None for the base's own.

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
                f"these are not the parameters of the encoder of {self.backbone}: {len(missing)} missing "
                f"{missing[:3]}, {len(unexpected)} unexpected {unexpected[:3]}"
            )
        for name, key in names.items():
            if tensors[key].shape != own[name].shape:
                raise ValueError(
                    f"{key} has shape {tuple(tensors[key].shape)}, in {self.backbone} it is {tuple(own[name].shape)}"
                )
        return {name: placed(tensors[names[name]], self.device) for name in own}

    def embed(self, tower: Tower, batch: Any) -> Tensor:
        """Embeddings, float32 (inputs, projection), not normalised.

        Args:
            tower: from `tower`.
            batch: what the encoder takes, on the device.
        """
        for name, parameter in self._parameters.items():
            parameter.data = tower[name]  # `torch.func.functional_call` takes longer than a small layer
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            pooled = self.encoder.pooled(batch)
        return self.encoder.projected(pooled.float())


def placed(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor in float32 on a device, at an address that is a multiple of 64 bytes."""
    tensor = tensor.detach().to(device, torch.float32).contiguous()
    # sums may depend on the alignment of their terms, and the tensors of a mapped file have any
    return tensor if tensor.data_ptr() % 64 == 0 else tensor.clone()
