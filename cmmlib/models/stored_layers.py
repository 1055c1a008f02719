"""What the tensors of a model are as it stores them; of the parameters in memory `cmmlib.models.architecture` says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from .architecture import Architecture, architecture_of
from .conversion import Conversion, Slot
from .layers import Layer, LayerKind
from .source import Source


def layers_of(base: Source, architecture: Architecture | None, linear: Sequence[str] | None = None) -> dict[str, Layer]:
    """What every parameter of a base is, by canonical name.

    Args:
        architecture: of the base, where it is known.
        linear: patterns like ``"*.proj.weight"``; where given they alone decide what is linear, the architecture only how
            it is stored.

    Raises:
        ValueError: a matrix, or a stack of them, that none of these decides, or a pattern that matches none.
    """
    known = _known(base, architecture) if architecture is not None else {}
    known |= {name: layer for name, layer in statistics_of(base).items() if layer.kind == "statistic"}
    matrices = [name for name, shape in base.shapes.items() if len(shape) in (2, 3)]
    if linear is not None:
        patterns = [linear] if isinstance(linear, str) else list(linear)
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in matrices):
                raise ValueError(f"linear={pattern!r} matches no 2-D or 3-D tensor of {base.label}; it has {matrices[:5]}")
        asked = {name for name in matrices if any(fnmatchcase(name, pattern) for pattern in patterns)}
        return {name: _as_asked(name in asked, known.get(name), shape) for name, shape in base.shapes.items()}
    undecided = [name for name in matrices if name not in known and len(base.shapes[name]) == 2]
    if undecided:
        raise ValueError(
            f"{base.label}: cannot tell whether {undecided[0]!r} is the weight of a linear layer"
            + (f" (nor {len(undecided) - 1} more)" if len(undecided) > 1 else "")
            + ". Give the base as an nn.Module, or as a folder with the config.json of its architecture, or say which are "
            "linear: linear=['*.proj.weight', …], or --linear"
        )
    return {name: known.get(name, Layer()) for name in base.shapes}


def statistics_of(base: Source) -> dict[str, Layer]:
    """The same for methods that treat all parameters alike: nothing but BatchNorm's statistics, told by their names."""
    statistic = ("running_mean", "running_var")
    return {name: Layer("statistic") if name.rpartition(".")[2] in statistic else Layer() for name in base.shapes}


def _as_asked(linear: bool, known: Layer | None, shape: tuple[int, ...]) -> Layer:
    if not linear:
        return known if known is not None and known.kind in ("statistic", "fixed") else Layer()
    return known if known is not None and known.kind == "linear" else Layer("linear", stacked=len(shape) - 2)


def _known(base: Source, architecture: Architecture) -> dict[str, Layer]:
    """What the architecture says of the base's own tensors."""
    layers = architecture.layers
    found = {name: layers[name] for name in base.shapes if name in layers}
    if len(found) == len(base.shapes):
        return found
    conversion = Conversion(architecture)
    for name, slot in conversion.slots(base.shapes).items():
        if slot.pattern is None and slot.target in layers:
            found[name] = layers[slot.target]
        elif slot.pattern is not None:
            found[name] = _before_conversion(conversion, slot, layers, base.shapes[name])
    return found


def _before_conversion(conversion: Conversion, slot: Slot, layers: Mapping[str, Layer], shape: tuple[int, ...]) -> Layer:
    """What a tensor is that becomes a part of parameters in memory, or several of them."""
    members = conversion.members(slot)
    layer = next((layers[name] for name in members if name in layers), Layer())
    if layer.kind != "linear" or len(shape) < 2:
        return Layer() if layer.kind == "linear" else layer
    operations = {type(op).__name__: op for op in conversion.converter(str(slot.pattern)).operations}
    transposed = layer.transposed != ("Transpose" in operations and not operations["Transpose"].check_dims)
    layer = replace(layer, transposed=transposed, stacked=len(shape) - 2)
    if len(members) > 1:  # fused on disk
        sizes = [conversion.shape(name)[-1 if layers[name].transposed else -2] for name in members]
        whole = sum(sizes) == shape[-1 if transposed else -2]
        return replace(layer, rows=tuple(sizes) if whole else ())
    # fused in memory of several on disk, or of tensors that are fused on disk already
    return replace(layer, rows=() if {"Concatenate", "Interleave"} & set(operations) else layer.rows)


def layer_kinds(model: Source, linear: Sequence[str] | None = None) -> dict[str, LayerKind]:
    """The kind of every parameter of a model, by canonical name; see `layers_of` for ``linear`` and errors."""
    return {name: layer.kind for name, layer in layers_of(model, architecture_of(model), linear).items()}
