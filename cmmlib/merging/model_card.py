"""The model card of an export: what it was merged from, and how."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..methods.finding import short_name
from ..models.checkpoint import WHOLE
from ..models.content_hash import DIGESTS, STREAM
from .recipe import Recipe
from .standing import Standing
from .state_json import composed
from .state_record import to_record

NOT_TAKEN = "not taken"

_HASHED = {DIGESTS: "SHA-256 of the bytes", STREAM: "bytes"}


def model_card(recipe: Recipe, standing: Standing, *, whole: bool = False) -> str:
    """README.md of an exported model: lineage in Markdown, licence fields left for the user.

    Names come from file names and strangers, so they are quoted for YAML and escaped for Markdown.

    Args:
        recipe: as `cmmlib.merging.state_record.dated` gives it, with versions, and with hashes if they are wanted.
        whole: whether it is a complete CLIP model.
    """
    facts = to_record(recipe, standing)
    method = short_name(facts["method"])
    base = facts["base"]
    revision = f", revision {base['revision']}" if base["revision"] else ""
    given = shown(base["source"], base["revision"]) or recipe.base.label
    parameters = ", ".join(f"{key} = {json.dumps(value)}" for key, value in facts["parameters"].items()) or "none"
    rows = "\n".join(_row(number, model) for number, model in enumerate(standing.models, 1))
    what = "A complete CLIP model: the merged vision tower with the base's other parts." if whole else "A merged model."
    lost = sum(model.get("left_out", 0) for model in standing.models)
    return f"""---
# The licence is yours to state: it depends on those of the base and of every model below.
license:
license_name:
license_link:
base_model: {json.dumps(given if base["revision"] else "", ensure_ascii=False)}
tags:
- merge
- cmmlib
---

# Merged with {method}

{what} Made by cmmlib {_cell(facts["cmmlib"])}, computed in {facts["compute_dtype"]} with torch {facts["torch"]}.

* Method: `{method}` ({recipe.method.paper or "no paper named"}), parameters: {_cell(parameters)}
* Base: {_cell(given)}{revision}, content hash `{base["hash"] or NOT_TAKEN}`
* Reference compatibility: {"on" if facts["reference_compat"] else "off"}
* Merged: {composed(facts["composition"])}{f"; {lost} tensors of the models left out" if lost else ""}

## Models, in the order in which they were merged

| | name | source | revision | content hash | norm of the task vector | merged at |
|---|---|---|---|---|---|---|
{rows}

A content hash is the SHA-256 over (name, dtype, shape, {_HASHED[facts["hash_scheme"]]}) of all tensors, sorted by name.

## Licence

To be filled in by whoever publishes this model.
"""


def _row(number: int, model: Mapping[str, Any]) -> str:
    source = shown(model["source"], model["revision"]) or "in memory"
    content = model["hash"] or NOT_TAKEN
    return (
        f"| {number} | {_cell(model['name'])} | {_cell(source)} | {model['revision'] or ''} | `{content}` "
        f"| {model['history']['task_vector_norm']:.6g} | {model['time']} |"
    )


def shown(source: str | None, revision: str | None) -> str | None:
    """A model's origin for others to read: its hub id, or its folder's or file's name without where the user keeps it."""
    if source is None or (revision and not os.path.isabs(source)):
        return source
    path = Path(source)
    return path.parent.name if path.name in WHOLE else path.name


def _cell(text: str) -> str:
    """Text that stays inside a table cell and is no markup."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#&$~" else c for c in plain)
