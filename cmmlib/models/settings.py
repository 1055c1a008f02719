"""Two configurations of one architecture, compared where they decide what a model computes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .names import tower_config

_NO_MATTER = re.compile(
    r"_.*|architectures|auto_map|.*dtype.*|.*version.*|.*dropout.*|.*drop_?(path|rate|prob).*|.*layerdrop.*|.*_token_id|"
    r"use_cache|output_.*|return_dict.*|problem_type|num_labels|id2label|label2id|finetuning_task|task_specific_params|"
    r"gradient_checkpointing|initializer_.*|.*init.*|torchscript|tie_.*|.*loss.*|.*aux.*|apply_spec_augment|mask_(time|feature).*|"
    r"name_or_path|quantization_config|.*attn_implementation.*|chunk_size_.*|prefix|max_length|min_length|num_beams.*"
)
"""Settings that do not change what trained weights compute: of training, of generating, of the file."""


def differing_settings(base: Mapping[str, Any] | None, model: Mapping[str, Any] | None) -> list[str]:
    """What a model's configuration sets otherwise than the base's, as ``name 8 (base: 4)``.

    Only what both set is compared, for versions of transformers write more or fewer settings; of a whole CLIP model the
    vision tower's, since a tower may come alone.
    """
    ours, theirs = (dict(_settings(tower_config(config or {}))) for config in (base, model))
    shared = (name for name in ours if name in theirs and ours[name] != theirs[name])
    return [f"{name} {theirs[name]!r} (base: {ours[name]!r})" for name in shared]


def differing_classes(base: Mapping[str, Any] | None, model: Mapping[str, Any] | None) -> str:
    """What is to be said of a model whose classes have other names or another order than the base's; nothing if none."""
    ours, theirs = ((config or {}).get("id2label") for config in (base, model))
    if not isinstance(ours, Mapping) or not isinstance(theirs, Mapping) or len(ours) != len(theirs):
        return ""
    ours, theirs = ({str(key): str(label) for key, label in labels.items()} for labels in (ours, theirs))
    if ours == theirs or all(label.startswith("LABEL_") for label in theirs.values()):
        return ""
    first = next(key for key in theirs if ours.get(key) != theirs[key])
    return (
        f"its class {first} is {theirs[first]!r}, the base's {ours.get(first)!r}: rows of a classifier are merged by their "
        "number, so all models must have the same classes in one order"
    )


def _settings(config: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if _NO_MATTER.fullmatch(str(key)):
            continue
        if isinstance(value, Mapping):
            yield from _settings(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", value
