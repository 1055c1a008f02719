"""Whether a model may be merged at all: found out before anything is changed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..models.checkpoints import ContentHash, Source

IMPLAUSIBLE = 0.5
"""‖τ‖/‖W0‖ above which a model is probably not fine-tuned from the base: fine-tuned CLIP towers are near 0.03, two
models trained apart near 1.4."""


def require_floats(source: Source) -> None:
    """Raises ValueError for integer or otherwise unsupported weights."""
    for key, dtype in source.dtypes.items():
        if dtype not in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
            raise ValueError(
                f"{source.label}: {source.names[key]!r} has integer or unsupported weights ({dtype}); dequantise the "
                "model, or drop the entry if it is a buffer"
            )


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
    stands_for = {}
    for key in base.shapes:
        others = [source.tied.get(key), *(alias for alias, kept in base.tied.items() if kept == key)]
        if key not in source.shapes:
            stands_for[key] = next((other for other in others if other in source.shapes), None)
    extra = [key for key in source.shapes if key not in base.shapes and key not in stands_for.values()]
    copies = [key for key in extra if len(source.shapes[key]) > 1 and _has_twin(key, base, source)]
    if not any(stands_for.values()) and not copies:
        return source
    kept = {key: stands_for.get(key, key) for key in [*source.shapes, *stands_for] if key not in copies}
    kept = {key: own for key, own in kept.items() if own and (key in base.shapes or key in extra)}
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


def require_new(source: Source, found: Examined, models: Iterable[Mapping[str, Any]]) -> None:
    """Raises ValueError for a model whose content is among those merged before."""
    for number, model in enumerate(models, 1):
        if model["hash"] == found.content_hash:
            raise ValueError(
                f"{source.label} has been merged before, as model {number}, {model['name']!r} (the same content); "
                "allow_repeat=True, or --allow-repeat, merges it once more"
            )


def warn_if_implausible(source: Source, base: Source, found: Examined) -> None:
    """Warns of a task vector too large for a fine-tuned model."""
    ratio = found.norm / found.base_norm if found.base_norm else 0.0
    if ratio > IMPLAUSIBLE:
        warnings.warn(
            f"{source.label}: implausibly far from {base.label} for a model fine-tuned from it: ‖τ‖ = {found.norm:.4g}, "
            f"‖W0‖ = {found.base_norm:.4g}, ratio {ratio:.2f} (a few per cent are usual); is it a model of another base?",
            stacklevel=5,
        )


class Examined(NamedTuple):
    """What one pass over a model tells: ‖τ‖ and ‖W0‖ over all parameters, and the content hashes."""

    norm: float
    base_norm: float
    content_hash: str
    base_hash: str | None


def examine(
    base: Source,
    source: Source,
    read: Callable[[str, Source], Tensor],
    compute: Callable[[Tensor], Tensor],
    *,
    keys: Iterable[str],
    hash_base: bool,
) -> Examined:
    """Reads model and base once, tensor by tensor.

    Args:
        read: gives a tensor of a source as it is stored.
        compute: brings it to the device and dtype of the computation.
        keys: the canonical names, sorted.

    Raises:
        ValueError: NaN or infinity, or a model equal to the base.
    """
    squares, base_squares = [], []
    model_hash, base_hash = ContentHash(), ContentHash()
    for key in keys:
        old, new = read(key, base), read(key, source)
        model_hash.update(key, new)
        if hash_base:
            base_hash.update(key, old)
        w0 = compute(old)
        squares.append(torch.linalg.vector_norm(compute(new) - w0, dtype=torch.float64).item() ** 2)
        base_squares.append(torch.linalg.vector_norm(w0, dtype=torch.float64).item() ** 2)
        if not math.isfinite(squares[-1]):
            guilty = source if not torch.isfinite(new).all() else base
            raise ValueError(f"{guilty.label}: {guilty.names[key]!r} holds NaN or infinity; the checkpoint is broken")
    norm = math.sqrt(math.fsum(squares))
    if norm == 0:
        raise ValueError(f"{source.label} equals the base {base.label}: there is nothing to merge")
    found = source.identity or model_hash.hexdigest()
    return Examined(norm, math.sqrt(math.fsum(base_squares)), found, base_hash.hexdigest() if hash_base else None)
