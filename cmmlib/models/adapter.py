"""LoRA adapters as PEFT saves them, read without PEFT: W = W0 + scale · B A, one parameter at a time.

``adapter_config.json`` and ``adapter_model.safetensors`` (or ``.bin``, tensors only).  What is not plain LoRA of matrices
and embeddings is refused by name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from .adapter_config import AdapterConfig, read_adapter_config
from .architecture import Architecture
from .conforming import translated
from .content_hash import content_hash
from .conversion import Conversion
from .names import PREFIX
from .source import Source, require_floats
from .ties import vocabulary_sizes

_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])(?:\.default)?(?:\.weight)?")
_WRAPPED = re.compile(r"\.base_layer\.|\.modules_to_save\.(?:default\.)?|\.original_module\.")


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter rather than a model."""
    return (folder / "adapter_config.json").is_file()


@dataclass
class _Change:
    """What an adapter does to one parameter: a tensor that takes its place, and two matrices whose product is added.

    ``whole`` and ``sides`` hold names in the adapter; ``module`` is the adapted module's name in training.
    """

    module: str = ""
    whole: str | None = None
    sides: dict[str, str] = field(default_factory=dict)
    scale: float = 0.0
    turned: bool = False  # the product is added transposed


def open_adapter(
    folder: Path,
    base: Source | None,
    opened: Callable[[Path], Source],
    architecture: Callable[[], Architecture | None] = lambda: None,
) -> Source:
    """The model that an adapter makes of ``base``, under the names that the adapter was trained with.

    Its tensors are float32, or wider where the base is; whole tensors that the adapter brings along (``modules_to_save``,
    saved base layers, trained biases) take the place of the base's.

    Args:
        opened: gives the tensors in the file of the adapter's weights.
        architecture: gives that of the base, where it is known; called only where names and shapes do not do.

    Raises:
        ValueError: a kind of adapter that is not plain LoRA, or one that does not fit the base.
    """
    if base is None:
        raise ValueError(f"{folder} is an adapter, which cannot be a base; give the model that it was trained on")
    config = read_adapter_config(folder)
    name = next((n for n in ("adapter_model.safetensors", "adapter_model.bin") if (folder / n).is_file()), None)
    if name is None:
        raise FileNotFoundError(f"{folder} holds an adapter_config.json, but no adapter_model.safetensors")
    adapter = opened(folder / name)
    require_floats(adapter)
    form, changes = _changes(str(folder), adapter, base, architecture)
    if not changes:
        raise ValueError(f"{folder} changes nothing that is merged (of a CLIP model only the vision tower is)")
    config.require_used(change.module for change in changes.values() if change.sides)
    _require_ties(str(folder), changes, form, adapter, config, architecture)
    for target, change in changes.items():
        _fit(str(folder), target, change, form, adapter, config, architecture)

    def read(key: str) -> Tensor:
        change = changes.get(key)
        if change is None:
            return form.read(key)
        w0 = adapter.read(change.whole) if change.whole is not None else form.read(key)
        if not change.sides:
            return w0
        dtype = torch.promote_types(form.dtypes[key], torch.float32)
        a, b = (adapter.read(change.sides[side]).to(w0.device, dtype) for side in "AB")  # (r, in), (out, r)
        delta = (b @ a) * change.scale
        return w0.to(dtype) + (delta.T if change.turned else delta)

    def identity(scheme: str) -> str:
        scales = sorted((key, change.scale, change.turned) for key, change in changes.items() if change.sides)
        return hashlib.sha256(json.dumps([content_hash(adapter, scheme), scales]).encode()).hexdigest()

    wholes = {key: change.whole for key, change in changes.items() if change.whole is not None and not change.sides}
    pairs = {key for key, change in changes.items() if change.sides}
    dtypes = {
        key: torch.promote_types(dtype, torch.float32) if key in pairs else dtype for key, dtype in form.dtypes.items()
    }
    return replace(
        form,
        label=str(folder),
        dtypes=dtypes | {key: adapter.dtypes[own] for key, own in wholes.items()},
        read=read,
        rest=None,
        carried=None,
        files=(*adapter.files, *base.files),
        folder=folder,
        module=None,
        revision=None,
        identity=identity,
    )


def _changes(
    label: str, adapter: Source, base: Source, architecture: Callable[[], Architecture | None]
) -> tuple[Source, dict[str, _Change]]:
    """What the adapter does to which parameter, and the base in the form that has parameters of these names."""
    found: dict[str, _Change] = {}  # by the parameter's name in training
    for key in adapter.names:
        name = key.removeprefix("base_model.model.")
        match = _LORA.fullmatch(name)
        if (match is None and "lora_" in name) or "trainable_tokens" in name:
            raise ValueError(f"{label}: {key!r} is no LoRA of a matrix, which is all that is read; merge it with PEFT first")
        plain = f"{match['module']}.weight" if match else _WRAPPED.sub(".", name)
        change = found.setdefault(plain, _Change(plain.removesuffix(".weight")))
        if match is None:
            if change.whole is not None:
                raise ValueError(f"{label} holds {plain!r} twice ({change.whole!r} and {key!r}); fetch it again")
            change.whole = key
        elif match["side"] in change.sides:
            raise ValueError(f"{label} holds two lora_{match['side']} for {plain!r}; fetch it again")
        else:
            change.sides[match["side"]] = key
            change.turned = match["embedding"] is not None  # (rows of the embedding are inputs)
    form = base
    if any(_target(name, base) is None for name in found) and (known := architecture()) is not None:
        form = translated(base, known.layers, Conversion(known))
        form = replace(form, tied={**form.tied, **known.ties})
    changes: dict[str, _Change] = {}
    for name, change in found.items():
        target = _target(name, form)
        if target is None:
            raise ValueError(f"{label} adapts {name!r}, which {base.label} has not; is it an adapter of this base?")
        if target:
            changes[target] = change
    return form, changes


def _target(name: str, base: Source) -> str | None:
    """The parameter of that name; empty if it takes no part in the merge, None if there is none."""
    for key in (name, name.removeprefix(PREFIX)):
        if key in base.shapes or key in base.tied:
            return key
    others = (base.rest.names if base.rest is not None else {}, base.carried.names if base.carried is not None else {})
    aside = any(name in part for part in others) or name.startswith(("text_model.", "text_projection."))
    return "" if aside else None


def _require_ties(
    label: str,
    changes: dict[str, _Change],
    form: Source,
    adapter: Source,
    config: AdapterConfig,
    architecture: Callable[[], Architecture | None],
) -> None:
    """Have tied weights changed as one, or not at all.

    PEFT changes the one that is named, so that the model is no longer tied; the base has one parameter for both.
    """
    words = vocabulary_sizes(form.config)
    touched = [key for key in changes if key in form.tied or (form.shapes[key][:1] and form.shapes[key][0] in words)]
    if not touched:
        return
    known = architecture()
    ties = dict(form.tied) | (known.ties if known is not None else {})
    ties = {alias: kept for alias, kept in ties.items() if alias not in form.shapes}
    for kept in {ties.get(key, key) for key in touched}:
        names = [name for name in (kept, *(a for a, other in ties.items() if other == kept)) if name in changes]
        if len(ties) == 0 or kept not in ties.values():
            continue
        wholes = [adapter.read(whole) for name in names if (whole := changes[name].whole) is not None]
        alike = len(wholes) > 1 and not any(changes[name].sides for name in names)
        if config.keeps_ties or (alike and all(torch.equal(wholes[0], other) for other in wholes[1:])):
            change = changes[names[0]]
            for name in names:
                del changes[name]
            changes[kept] = change
            continue
        raise ValueError(
            f"{label} trains {names[0]!r} apart from what {form.label} ties it to (tie_word_embeddings): the two are one "
            "parameter there. Merge the adapter with PEFT (merge_and_unload), and start from a base that stores both, with "
            "tie_word_embeddings false in its config.json"
        )


def _fit(
    label: str,
    target: str,
    change: _Change,
    form: Source,
    adapter: Source,
    config: AdapterConfig,
    architecture: Callable[[], Architecture | None],
) -> None:
    """Check one parameter's change against the base's shape; find its scale, and how it is turned."""
    shape = form.shapes[target]
    if change.whole is not None and adapter.shapes[change.whole] != shape:
        raise ValueError(_misfit(label, change.whole, adapter.shapes[change.whole], form, target))
    if not change.sides:
        return
    if change.sides.keys() != {"A", "B"}:
        raise ValueError(f"{label} lacks lora_{'B' if 'A' in change.sides else 'A'} for {target!r}; fetch it again")
    a, b = adapter.shapes[change.sides["A"]], adapter.shapes[change.sides["B"]]
    for side, own in zip("AB", (a, b), strict=True):
        if 0 in own:
            raise ValueError(_misfit(label, change.sides[side], own, form, target))
    if len(a) != 2 or len(b) != 2 or a[0] != b[1]:
        raise ValueError(f"{label}: lora_A {a} and lora_B {b} for {target!r} do not fit together as matrices")
    change.scale = config.scale(change.module, a[0])
    made: tuple[int, ...] = (b[0], a[1])
    if change.turned:
        made = made[::-1]
    elif made == shape[::-1]:
        # which layers are stored as (in, out) is the base's affair: the adapter's flag is that of the layer wrapped last
        square = made == shape
        change.turned = not square or _is_transposed(target, form, config, architecture)
        made = shape
    if made != shape:
        raise ValueError(
            f"{label}: its matrices for {target!r} make {made}, in {form.label} the shape is {shape}; is it an adapter of "
            "this base?"
        )


def _is_transposed(
    target: str, form: Source, config: AdapterConfig, architecture: Callable[[], Architecture | None]
) -> bool:
    known = architecture()
    layer = known.layers.get(target) if known is not None else None
    return layer.transposed if layer is not None else config.fan_in_fan_out


def _misfit(label: str, key: str, shape: tuple[int, ...], form: Source, target: str) -> str:
    """What is wrong with a tensor of the adapter that does not have the shape of the base's."""
    wanted = form.shapes[target]
    if 0 in shape:
        return (
            f"{label}: {key!r} is empty {shape}, as DeepSpeed ZeRO-3 leaves it where the shards were not gathered before "
            "saving; save the adapter again (stage3_gather_16bit_weights_on_model_save), or consolidate the checkpoint"
        )
    if len(shape) == 2 and shape[1:] == wanted[1:]:
        return (
            f"{label}: {key!r} has {shape[0]} rows, {target!r} of {form.label} has {wanted[0]}: was the vocabulary resized "
            "in training? Then resize the base in the same way (resize_token_embeddings), save it, and give that as the base"
        )
    return f"{label}: {key!r} has shape {shape}, in {form.label} it is {wanted}; is it an adapter of this base?"
