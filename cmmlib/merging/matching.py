"""Whether a model's parameters are the base's."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..models.source import Source, require_floats


def matched(base: Source, source: Source) -> Source:
    """``source`` with just the parameters of ``base``: tied copies are found under either name.

    Raises:
        ValueError: missing, extra or misshapen tensors, integer weights.
    """
    source = _without_copies(base, source)
    missing = [key for key in base.shapes if key not in source.shapes]
    extra = [source.names[key] for key in source.shapes if key not in base.shapes]
    for names, fault in ((missing, "lacks"), (extra, "has, and the base has not,")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ValueError(
                f"{source.label} {fault} {names[0]!r}{more}; is it fine-tuned from {base.label}, and a whole model "
                "(no adapter, no extra head)?"
            )
    for key, shape in base.shapes.items():
        if source.shapes[key] != shape:
            raise ValueError(
                f"{source.label}: {source.names[key]!r} has shape {source.shapes[key]}, in {base.label} it is {shape}; "
                "these are not models of one architecture"
            )
    require_floats(source)
    return source


def _without_copies(base: Source, source: Source) -> Source:
    """Where tied tensors were saved once, twice or under the other name, the one name that the base has."""
    stands_for: dict[str, str | None] = {}
    for key in base.shapes:
        others = [source.tied.get(key), *(alias for alias, kept in base.tied.items() if kept == key)]
        if key not in source.shapes:
            stands_for[key] = next((other for other in others if other in source.shapes), None)
    extra = [key for key in source.shapes if key not in base.shapes and key not in stands_for.values()]
    copies = [key for key in extra if len(source.shapes[key]) > 1 and _has_twin(key, base, source)]
    if not any(stands_for.values()) and not copies:
        return source
    found = {key: stands_for.get(key, key) for key in [*source.shapes, *stands_for] if key not in copies}
    kept = {key: own for key, own in found.items() if own and (key in base.shapes or key in extra)}
    return replace(
        source,
        names={key: source.names[own] for key, own in kept.items()},
        shapes={key: source.shapes[own] for key, own in kept.items()},
        dtypes={key: source.dtypes[own] for key, own in kept.items()},
        read=lambda key: source.read(kept[key]),
    )


def _has_twin(key: str, base: Source, source: Source) -> bool:
    """Whether another of the model's matrices, one that the base has, is the same in every bit."""
    shape, dtype = source.shapes[key], source.dtypes[key]
    if not dtype.is_floating_point:
        return False
    twins = [k for k in source.shapes if k in base.shapes and (source.shapes[k], source.dtypes[k]) == (shape, dtype)]
    tensor = source.read(key)
    return bool(tensor.any()) and any(torch.equal(tensor, source.read(twin)) for twin in twins)
