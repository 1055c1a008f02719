"""Whether a model's parameters are the base's."""

from __future__ import annotations

from collections.abc import Callable

from ..models.architecture import Architecture
from ..models.conforming import conforming
from ..models.source import Source, require_floats


def matched(base: Source, source: Source, architecture: Callable[[], Architecture | None] = lambda: None) -> Source:
    """``source`` with just the parameters of ``base``, under its names and in its layout.

    Args:
        architecture: of the base, where it is known; called only if names differ in more than a prefix.

    Raises:
        ValueError: missing, extra or misshapen tensors, integer weights, or weights trained apart that the base ties.
    """
    require_floats(source)
    if peft := next((source.names[name] for name in source.shapes if ".lora_A." in name or ".base_layer." in name), None):
        raise ValueError(
            f"{source.label} holds {peft!r}: it is a model with PEFT's adapters in it. Give what its merge_and_unload() "
            "returns, or the adapter's folder"
        )
    source = conforming(base, source, architecture)
    missing = [name for name in base.shapes if name not in source.shapes]
    extra = [source.names[name] for name in source.shapes if name not in base.shapes]
    for names, fault in ((missing, "lacks"), (extra, "has, and the base has not,")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ValueError(
                f"{source.label} {fault} {names[0]!r}{more}; is it fine-tuned from {base.label}, and a whole model "
                "(no adapter, no extra head)?"
            )
    for name, shape in base.shapes.items():
        if source.shapes[name] != shape:
            raise ValueError(
                f"{source.label}: {source.names[name]!r} has shape {source.shapes[name]}, in {base.label} it is {shape}; "
                "these are not models of one architecture"
            )
    return source
