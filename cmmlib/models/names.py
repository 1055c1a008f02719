"""Parameter names: one spelling inside, the hub's spelling on disk.

transformers 5 names the parameters of a CLIP vision tower without the prefix ``vision_model.``, transformers 4 and the
files on the hub with it, and a whole CLIP model holds a text tower besides.  Inside cmmlib the name of a tower's parameter
has no prefix; what is written to disk has it, because that loads in both.  All other models keep their names; where two
of one architecture differ in them, `cmmlib.models.conforming` asks transformers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

PREFIX = "vision_model."
_MARK = "pre_layrnorm.weight"  # sic; no other architecture spells it so
_CLIP = {"vision_model", "text_model", "visual_projection", "text_projection", "logit_scale"}
_KINDS = (None, "clip", "clip_vision_model")


def canonical_names(names: Iterable[str], config: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Maps the canonical name of every parameter that takes part to its name in ``names``.

    Takes the vision tower out of what is known to be a plain CLIP model; every other model, whatever its towers are
    called, takes part whole.

    Args:
        config: the model's configuration, where there is one.
    """
    names = list(names)
    if (config or {}).get("model_type") in _KINDS and PREFIX + _MARK in names and _is_clip(names):
        return {name.removeprefix(PREFIX): name for name in names if name.startswith(PREFIX)}
    return {name: name for name in names}


def _is_clip(names: Iterable[str]) -> bool:
    """Whether these are the names of a CLIP model's vision tower, alone or beside CLIP's own text tower."""
    parts = {name.split(".", 1)[0] for name in names}
    if parts == {"vision_model"}:
        return True
    own_text = any(name.startswith("text_model.encoder.layers.") for name in names)  # other text towers: layer, roberta
    return parts <= _CLIP and own_text


def tower_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the vision tower of a whole CLIP model; any other as it is."""
    if config.get("model_type") != "clip" or not isinstance(config.get("vision_config"), Mapping):
        return dict(config)
    return {**config["vision_config"], "model_type": "clip_vision_model", "architectures": ["CLIPVisionModel"]}


def is_tower(canonical: Iterable[str]) -> bool:
    """Whether these are the canonical names of a CLIP model's vision tower."""
    return _MARK in canonical


def stored_name(name: str, canonical: Iterable[str]) -> str:
    """The name that ``name`` has on disk, in a model whose canonical names are ``canonical``."""
    return PREFIX + name if is_tower(canonical) else name
