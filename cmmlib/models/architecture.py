"""Which parameters are linear: decided by the architecture, never by guessing from shapes."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from ..methods import Kind
from .names import canonical_names
from .source import Source


def layer_kinds(base: Source, linear: Sequence[str] | None = None) -> tuple[dict[str, Kind], frozenset[str]]:
    """The kind of every parameter, and the linear ones that are stored transposed (transformers' ``Conv1D``).

    Args:
        base: decided by its module, else by the architecture that its ``config.json`` names (built on the meta device by
            transformers, without weights and without code from the model's repository).
        linear: patterns like ``"*.proj.weight"``; where given they alone decide.

    Raises:
        ValueError: a 2-D tensor that none of these decides, or a pattern that matches no 2-D tensor.
    """
    matrices = [name for name, shape in base.shapes.items() if len(shape) == 2]
    if linear is not None:
        patterns = [linear] if isinstance(linear, str) else list(linear)
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in matrices):
                raise ValueError(f"linear={pattern!r} matches no 2-D tensor of {base.label}; it has {matrices[:5]}")
        return {
            name: "linear" if name in matrices and any(fnmatchcase(name, p) for p in patterns) else "other"
            for name in base.shapes
        }, frozenset()
    module = base.module
    if module is None and base.config is not None:
        module = _on_meta_device(base.config, base)
    kinds, transposed = _kinds_of(module) if module is not None else ({}, frozenset())
    undecided = [name for name in matrices if name not in kinds]
    if undecided:
        raise ValueError(
            f"{base.label}: cannot tell whether {undecided[0]!r} is the weight of a linear layer"
            + (f" (nor {len(undecided) - 1} more)" if len(undecided) > 1 else "")
            + ". Give the base as an nn.Module, or as a folder with the config.json of its architecture, or say which are "
            "linear: linear=['*.proj.weight', …]"
        )
    return {name: kinds.get(name, "other") for name in base.shapes}, transposed & set(base.shapes)


def _kinds_of(module: nn.Module) -> tuple[dict[str, Kind], frozenset[str]]:
    kinds: dict[str, Kind] = {}
    transposed = set()
    for path, child in module.named_modules(remove_duplicate=False):
        has_children = next(child.children(), None) is not None
        for key, _ in child.named_buffers(recurse=False):
            kinds[f"{path}.{key}" if path else key] = "other"
        for key, _ in child.named_parameters(recurse=False):
            name = f"{path}.{key}" if path else key
            conv1d = type(child).__name__ == "Conv1D"
            if key == "weight" and (isinstance(child, nn.Linear) or conv1d):
                kinds[name] = "linear"
                if conv1d:
                    transposed.add(name)
            else:
                kinds[name] = "free" if has_children else "other"
    names = {key: name for name, key in canonical_names(kinds).items()}
    return (
        {names[key]: kind for key, kind in kinds.items() if key in names},
        frozenset(names[key] for key in transposed if key in names),
    )


def _on_meta_device(config: dict[str, Any], base: Source) -> nn.Module | None:
    import transformers

    kind = config.get("model_type")
    try:
        if kind == "clip":
            config = {**config["vision_config"], "model_type": "clip_vision_model"}
            kind = "clip_vision_model"
        cls: type[Any] | None = transformers.CLIPVisionModel if kind == "clip_vision_model" else None
        parsed = transformers.AutoConfig.for_model(**config)
        for architecture in config.get("architectures") or []:
            named = getattr(transformers, str(architecture), None)
            if cls is None and isinstance(named, type) and issubclass(named, nn.Module):
                cls = named
        with torch.device("meta"):
            return cls(parsed) if cls is not None else transformers.AutoModel.from_config(parsed)
    except Exception as error:  # whatever a stranger's config makes transformers raise
        raise ValueError(
            f"{base.folder}/config.json does not describe a model that transformers {transformers.__version__} can build "
            f"({type(error).__name__}: {error}); say which parameters are linear: linear=['*.proj.weight', …]"
        ) from None
