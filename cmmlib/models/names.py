"""Parameter names: one spelling inside, the hub's spelling on disk.

transformers 5 names the parameters of a CLIP vision tower without the prefix ``vision_model.``, transformers 4 and the
files on the hub with it, and a whole CLIP model holds a text tower besides.  Inside cmmlib a name has no prefix; what is
written to disk has it, because that loads in both.
"""

from __future__ import annotations

from collections.abc import Iterable

PREFIX = "vision_model."
_MARK = "pre_layrnorm.weight"  # sic; no other architecture spells it so


def canonical_names(names: Iterable[str]) -> dict[str, str]:
    """Maps the canonical name of every parameter that takes part to its name in ``names``.

    Takes the vision tower out of a whole CLIP model.  Index buffers (``position_ids``) are no parameters and are left out.
    """
    names = [name for name in names if not name.endswith("position_ids")]
    if PREFIX + _MARK in names:
        return {name.removeprefix(PREFIX): name for name in names if name.startswith(PREFIX)}
    return {name: name for name in names}


def stored_name(name: str, canonical: Iterable[str]) -> str:
    """The name that ``name`` has on disk, in a model whose canonical names are ``canonical``."""
    return PREFIX + name if _MARK in canonical else name
