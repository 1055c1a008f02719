"""Tied weights: one parameter that a model uses, and files store, under several names.

A file may hold such a parameter once, under either name, or twice.  It is found by the configuration, which says how long
the vocabulary is and whether weights are tied at all, and by the values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from .source import Source, renamed


def with_ties(base: Source) -> Source:
    """The base with tied weights that are stored twice as one parameter.

    The tensors in question have a row for every word and are equal in every bit; where the configuration says that
    nothing is tied, or says nothing at all, they stay apart.
    """
    sizes = vocabulary_sizes(base.config)
    alike: dict[tuple[Any, ...], list[str]] = {}
    for name, shape in base.shapes.items():
        if shape and shape[0] in sizes:
            alike.setdefault((shape, base.dtypes[name]), []).append(name)
    copies: dict[str, str] = {}
    for names in alike.values():
        while len(names) > 1:
            kept, *others = sorted(names, key=_preference)
            tensor = base.read(kept)
            equal = [name for name in others if torch.equal(base.read(name), tensor)]
            copies |= dict.fromkeys(equal, kept)
            names = [name for name in others if name not in equal]
    if not copies:
        return base
    tied = {base.names[copy]: kept for copy, kept in copies.items()}
    return renamed(base, {name: name for name in base.shapes if name not in copies}, tied=dict(base.tied) | tied)


def vocabulary_sizes(config: Mapping[str, Any] | None) -> set[int]:
    """How many words a model knows, for each of its vocabularies; none where its weights are not tied."""
    found = dict(_settings(config or {}))
    sizes = {size for key, size in found.items() if str(key[-1]).endswith("vocab_size") and isinstance(size, int)}
    return sizes if found.get(("tie_word_embeddings",)) is not False else set()


def _settings(config: Mapping[str, Any], at: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for key, value in config.items():
        yield (*at, key), value
        if isinstance(value, Mapping) and len(at) < 3:
            yield from _settings(value, (*at, key))


def _preference(name: str) -> tuple[bool, int, str]:
    """Embeddings first, then what has the shortest name: `shared.weight`, not `encoder.embed_tokens.weight`."""
    embeds = any(word in name for word in ("embed", "wte", "shared"))
    return not embeds, len(name), name
