"""What the modules of an architecture say of its parameters: which are layers, which are tied, which are no parameters.

Decided by the classes of modules, never by guessing from shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .layers import Layer
from .names import canonical_names, tower_config
from .source import Source, config_of

_OTHER = Layer()


class Architecture:
    """The modules of a model, whose weights are not asked for.

    Args:
        module: the model, or one like it on the meta device.
    """

    def __init__(self, module: nn.Module):
        self.module = module

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """What every parameter and buffer is, by its canonical name in the module; tied ones are what their first is."""
        layers: dict[str, Layer] = {}
        for path, child in self.module.named_modules(remove_duplicate=False):
            at = f"{path}." if path else ""
            layers |= {at + key: _of_buffer(child, key) for key, _ in child.named_buffers(recurse=False)}
            layers |= {at + key: _of_parameter(child, key, value) for key, value in child.named_parameters(recurse=False)}
        layers |= {alias: layers[kept] for alias, kept in self.ties.items() if alias in layers and kept in layers}
        config = config_of(self.module, None)
        return {name: layers[key] for name, key in canonical_names(layers, config).items()}

    @cached_property
    def ties(self) -> dict[str, str]:
        """Second name of a tied parameter → its first, by the module's own names, as transformers ties them."""
        tied = getattr(self.module, "all_tied_weights_keys", None)
        return dict(tied) if isinstance(tied, Mapping) else {}


def architecture_of(model: Source) -> Architecture | None:
    """The architecture of a model: its module, or what its configuration names; None where there is neither.

    Raises:
        ValueError: transformers cannot build what the configuration names.
    """
    if model.module is not None:
        return Architecture(model.module)
    config = model.config
    return _of_config(config, model.folder) if config is not None else None


def _of_config(config: Mapping[str, Any], folder: Path | None) -> Architecture:
    """The architecture that a ``config.json`` names, built on the meta device by transformers.

    Without weights, and without code from the model's repository.

    Args:
        config: the parsed file; of a whole CLIP model, the vision tower is built.
        folder: where it lies, for messages.

    Raises:
        ValueError: transformers cannot build it.
    """
    import transformers

    config, kind = dict(config), config.get("model_type")
    if not isinstance(kind, str) or (kind != "clip_vision_model" and kind not in transformers.CONFIG_MAPPING):
        unknown = f"a model_type that transformers {transformers.__version__} does not know, {str(kind)[:40]!r}"
        raise ValueError(
            f"{folder}/config.json does not describe a model that can be built: it has {unknown if kind else 'no type'}"
            " (model_type); say which parameters are linear: linear=['*.proj.weight', …], or --linear"
        )
    try:
        named = [getattr(transformers, str(name), None) for name in config.get("architectures") or []]
        cls: Any = next((found for found in named if isinstance(found, type) and issubclass(found, nn.Module)), None)
        if kind == "clip" and cls in (None, transformers.CLIPModel):
            config, cls = tower_config(config), transformers.CLIPVisionModel
        elif kind == "clip_vision_model" and cls is None:
            cls = transformers.CLIPVisionModel
        parsed = transformers.AutoConfig.for_model(**config)
        with torch.device("meta"):
            return Architecture(cls(parsed) if cls is not None else transformers.AutoModel.from_config(parsed))
    except Exception as error:  # whatever a stranger's config makes transformers raise
        raise ValueError(
            f"{folder}/config.json does not describe a model that transformers {transformers.__version__} can build "
            f"({type(error).__name__}: {error}); say which parameters are linear: linear=['*.proj.weight', …], or --linear"
        ) from None


def _of_buffer(module: nn.Module, key: str) -> Layer:
    statistic = isinstance(module, nn.modules.batchnorm._NormBase) and key.startswith("running_")
    return Layer("statistic") if statistic else _OTHER


def _of_parameter(module: nn.Module, key: str, value: torch.Tensor) -> Layer:
    """What a module's own parameter is, by the module's class."""
    name = type(module).__name__
    if isinstance(module, nn.Linear) and key == "weight":
        return Layer("linear")
    if isinstance(module, nn.modules.conv._ConvNd) and key == "weight":
        return Layer("convolution")
    if name == "Conv1D" and key == "weight":
        return Layer("linear", transposed=True)
    if isinstance(module, nn.MultiheadAttention) and key.endswith("proj_weight"):
        return Layer("linear", rows=(module.embed_dim,) * 3 if key == "in_proj_weight" else ())
    if isinstance(module, nn.RNNBase) and key.startswith("weight_"):
        gates = value.shape[0] // module.hidden_size if not key.startswith("weight_hr") else 1
        return Layer("linear", rows=(module.hidden_size,) * gates if gates > 1 else ())
    if _counts_experts(module) and value.dim() == 3:
        return _of_experts(module, key, value)
    if "Router" in name and key == "weight" and value.dim() == 2:
        return Layer("linear")
    return Layer("free") if next(module.children(), None) is not None else _OTHER


def _counts_experts(module: nn.Module) -> bool:
    # transformers' modules of stacked experts say how they store them; older ones are told by the name of their class
    return hasattr(module, "is_transposed") or type(module).__name__.endswith("Experts")


def _of_experts(module: nn.Module, key: str, value: torch.Tensor) -> Layer:
    """One linear layer per expert, or two where gate and up projection lie one below the other."""
    transposed = bool(getattr(module, "is_transposed", False))
    outputs = value.shape[-1] if transposed else value.shape[-2]
    both = key.startswith("gate_up") and getattr(module, "is_concatenated", True) and outputs % 2 == 0
    return Layer("linear", transposed, stacked=1, rows=(outputs // 2,) * 2 if both else ())
