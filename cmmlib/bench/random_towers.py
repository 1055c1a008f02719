"""Random vision towers with the shapes of CLIP's, and task vectors like those of fine-tuning."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import NamedTuple

import torch
from torch import Tensor

Model = dict[str, Tensor]
Pair = tuple[Tensor, Tensor]
"""The merged task vector so far and the next task vector of one weight."""

BACKBONES = {"ViT-B/32": (768, 12, 32), "ViT-B/16": (768, 12, 16), "ViT-L/14": (1024, 24, 14)}  # width, depth, patch
LINEAR = ["*_proj.weight", "*.fc?.weight"]


class Towers(NamedTuple):
    """A pretrained model and two that stand for models fine-tuned from it."""

    base: Model
    first: Model
    second: Model

    def task_vectors(self) -> tuple[Model, Model]:
        """The task vectors of the first and the second model."""
        return self._difference(self.first), self._difference(self.second)

    def pairs(self) -> list[Pair]:
        """The pairs of task vectors of the linear weights, in the order of the model."""
        merged, tau = self.task_vectors()
        return [(merged[name], tau[name]) for name in self.base if is_linear(name)]

    def corners(self) -> Towers:
        """The same models cut to the first eight rows, and of matrices the first eight columns, of every parameter."""
        return Towers(*({k: t[:8, :8] if t.ndim == 2 else t[:8] for k, t in model.items()} for model in self))

    def _difference(self, model: Model) -> Model:
        return {name: model[name] - tensor for name, tensor in self.base.items()}


def is_linear(name: str) -> bool:
    """Whether a parameter is the weight of a linear layer."""
    return any(fnmatchcase(name, pattern) for pattern in LINEAR)


def shapes(backbone: str, layers: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the parameters of a vision tower of ``layers`` transformer layers."""
    width, _, patch = BACKBONES[backbone]
    positions = (224 // patch) ** 2 + 1
    result: dict[str, tuple[int, ...]] = {
        "embeddings.class_embedding": (width,),
        "embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "embeddings.position_embedding.weight": (positions, width),
    }
    for i in range(layers):
        linear = {f"self_attn.{k}_proj": (width, width) for k in ("q", "k", "v", "out")}
        linear |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
        for name, shape in linear.items():
            result |= {f"encoder.layers.{i}.{name}.weight": shape, f"encoder.layers.{i}.{name}.bias": shape[:1]}
        for norm in ("layer_norm1", "layer_norm2"):
            result |= {f"encoder.layers.{i}.{norm}.{part}": (width,) for part in ("weight", "bias")}
    for norm in ("pre_layrnorm", "post_layernorm"):
        result |= {f"{norm}.{part}": (width,) for part in ("weight", "bias")}
    return result


def task_vector(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """A random task vector.  For a matrix, a sum of min(m, n)/8 rank-one terms, the i-th of length about 1/i, and noise.

    The largest singular value of the white noise is a tenth of the first term's.  Entries have the size of those of
    fine-tuning, about 1e-4.  Parameters of other dimensions are white noise only.
    """
    noise = torch.randn(shape, generator=generator)
    if len(shape) != 2:
        return 1e-4 * noise
    m, n = shape
    rank = min(m, n) // 8
    left, right = torch.randn(m, rank, generator=generator), torch.randn(rank, n, generator=generator)
    decaying = (left / torch.arange(1, rank + 1)) @ right / math.sqrt(m * n)  # first singular value about 1
    return 0.05 * (decaying + 0.1 * noise / (math.sqrt(m) + math.sqrt(n)))


def random_base(backbone: str, layers: int, embeddings: bool = True) -> Model:
    """A pretrained model: white noise, the same every time; without the embeddings if they are not asked for."""
    generator = torch.Generator().manual_seed(0)
    wanted = {name: shape for name, shape in shapes(backbone, layers).items() if embeddings or "embedding" not in name}
    return {name: 0.02 * torch.randn(shape, generator=generator) for name, shape in wanted.items()}


def random_model(base: Model, seed: int) -> Model:
    """A model fine-tuned from ``base``: a random task vector for every parameter."""
    generator = torch.Generator().manual_seed(seed)
    return {name: tensor + task_vector(tuple(tensor.shape), generator) for name, tensor in base.items()}


def random_towers(backbone: str, layers: int, embeddings: bool = True) -> Towers:
    """A pretrained model and the first two fine-tuned from it; see `random_base`."""
    base = random_base(backbone, layers, embeddings)
    return Towers(base, random_model(base, 1), random_model(base, 2))
