"""A model in the form of its base: the same names and the same layout of tensors, whatever its own are.

First what can be told from the names alone (wrappers and prefixes, tied weights); transformers is asked only where that is
not enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from .architecture import Architecture
from .conversion import Conversion, Regrouped, Slot
from .source import Source, renamed
from .ties import vocabulary_sizes

_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Names that DistributedDataParallel, torch.compile, FSDP and activation checkpointing put between modules."""


def conforming(base: Source, source: Source, architecture: Callable[[], Architecture | None]) -> Source:
    """``source`` under the base's names and in its layout, as far as that can be told; the rest keeps its own names.

    Args:
        architecture: gives that of the base, where it is known; called only if the names alone do not do.

    Raises:
        ValueError: weights that the base ties were trained apart.
    """
    if source.shapes.keys() == base.shapes.keys():
        return source
    source = _without_copies(base, _without_prefix(base, source), {})
    if source.shapes.keys() == base.shapes.keys():
        return source
    known = architecture()
    if known is None:
        return source
    source = translated(source, base.shapes, Conversion(known))
    return _without_copies(base, source, known.ties)


def _without_prefix(base: Source, source: Source) -> Source:
    """Without what wraps the model as a whole, or with what wraps the base, if all of the base's names are then there."""
    plain = {_unwrapped(name): name for name in source.shapes}
    for names in (dict(zip(source.shapes, source.shapes, strict=True)), plain):
        if len(names) < len(source.shapes):  # two names became one
            continue
        prefix = _prefix(base.shapes, names)
        if prefix is not None:
            carried = source.carried
            if carried is not None:
                carried = renamed(carried, {_shifted(_unwrapped(name), prefix): name for name in carried.shapes})
            return renamed(source, {_shifted(name, prefix): own for name, own in names.items()}, carried=carried)
    return source


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


Prefix = tuple[str, str]
"""What to take from the front of a name, and what to put there instead."""


def _shifted(name: str, prefix: Prefix) -> str:
    taken, put = prefix
    return put + name[len(taken) :] if name.startswith(taken) else name


def _prefix(wanted: Iterable[str], given: Iterable[str]) -> Prefix | None:
    """What to change at the front of the given names so that all wanted ones are among them."""
    wanted, given = set(wanted), set(given)
    longest = max(wanted, key=len)
    candidates: list[Prefix] = [("", "")]
    candidates += [(name.removesuffix(longest), "") for name in given if name.endswith("." + longest)]
    candidates += [("", longest.removesuffix(name)) for name in given if longest.endswith("." + name)]
    for prefix in candidates:
        if wanted <= {_shifted(name, prefix) for name in given}:
            return prefix
    return None


def _without_copies(base: Source, source: Source, ties: Mapping[str, str]) -> Source:
    """Where tied weights were saved once, twice or under the other name, the one name that the base has.

    Args:
        ties: second name → first, as the architecture has it.
    """
    missing = [name for name in base.shapes if name not in source.shapes]
    extra = [name for name in source.shapes if name not in base.shapes]
    aliases = {**ties, **{alias: kept for alias, kept in base.tied.items()}}
    stands_for: dict[str, str] = {}
    for name in missing:
        others = [source.tied.get(name), aliases.get(name), *(a for a, kept in aliases.items() if kept == name)]
        other = next((other for other in others if other in source.shapes), None)
        if other is None and source.shapes and _is_pair(base, name, source, missing, extra):
            other = extra[0]
        if other is not None:
            stands_for[name] = other
    copies = []
    for name in extra:
        kept = aliases.get(name, source.tied.get(name))
        if name in stands_for.values():
            continue
        if kept in base.shapes and kept in source.shapes:
            _require_equal(base, source, name, str(kept))
            copies.append(name)
        elif len(source.shapes[name]) > 1 and _has_twin(name, base, source):
            copies.append(name)
    if not stands_for and not copies:
        return source
    gone = {*copies, *(name for name in stands_for.values() if name not in base.shapes)}
    return renamed(source, {name: name for name in source.shapes if name not in gone} | stands_for)


def _is_pair(base: Source, name: str, source: Source, missing: list[str], extra: list[str]) -> bool:
    """Whether the one parameter that is missing has a row per word, and so has the one that is there instead."""
    if len(missing) != 1 or len(extra) != 1 or base.shapes[name] != source.shapes[extra[0]]:
        return False
    return any(rows in vocabulary_sizes(base.config) for rows in base.shapes[name][:1])  # a scalar has no rows


def _require_equal(base: Source, source: Source, alias: str, kept: str) -> None:
    if source.shapes[alias] == source.shapes[kept] and torch.equal(source.read(alias), source.read(kept)):
        return
    raise ValueError(
        f"{source.label}: {source.names[alias]!r} and {source.names[kept]!r} differ, and {base.label} ties them: they are "
        "one parameter there. Merge models that tie them too, or start from a base that stores both, with "
        "tie_word_embeddings false in its config.json"
    )


def _has_twin(key: str, base: Source, source: Source) -> bool:
    """Whether another of the model's matrices, one that the base has, is the same in every bit."""
    shape, dtype = source.shapes[key], source.dtypes[key]
    twins = [k for k in source.shapes if k in base.shapes and (source.shapes[k], source.dtypes[k]) == (shape, dtype)]
    tensor = source.read(key)
    return bool(tensor.any()) and any(torch.equal(tensor, source.read(twin)) for twin in twins)


def translated(source: Source, names: Iterable[str], conversion: Conversion) -> Source:
    """``source`` with tensors for all ``names`` for which it has what they are made of.

    What it has besides stays, under its own names.
    """
    given = conversion.slots(source.shapes)
    stored = {slot: name for name, slot in given.items()}
    regrouped = Regrouped(conversion, stored, source.read)
    direct: dict[str, str] = {}
    converted: dict[str, Slot] = {}
    used: set[str] = set()
    for name, slot in conversion.slots(names).items():
        if slot in stored:
            direct[name] = stored[slot]
            used.add(stored[slot])
        elif parts := regrouped.sources(slot):
            converted[name] = slot
            used.update(parts)
    direct |= {name: name for name in source.shapes if name not in used and name not in converted and name not in direct}

    def empty(name: str) -> Tensor:
        return torch.empty(source.shapes[name], dtype=source.dtypes[name], device="meta")

    outline = Regrouped(conversion, stored, empty)
    made = {name: outline(slot) for name, slot in converted.items()}
    first = {name: regrouped.sources(slot)[0] for name, slot in converted.items()}
    return replace(
        source,
        names={name: source.names[own] for name, own in (direct | first).items()},
        shapes={name: source.shapes[own] for name, own in direct.items()}
        | {name: tuple(tensor.shape) for name, tensor in made.items()},
        dtypes={name: source.dtypes[own] for name, own in direct.items()}
        | {name: tensor.dtype for name, tensor in made.items()},
        read=lambda name: regrouped(converted[name]) if name in converted else source.read(direct[name]),
    )
