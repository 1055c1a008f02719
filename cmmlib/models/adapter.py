"""LoRA adapters as PEFT saves them, read without PEFT: W = W0 + scale · B A, one parameter at a time.

``adapter_config.json`` and ``adapter_model.safetensors`` (or ``.bin``, tensors only).  What is not plain LoRA of matrices is
refused by name.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files import read_config
from .content_hash import content_hash
from .names import PREFIX
from .source import Source, require_floats

_INITS = (True, False, None, "gaussian", "eva", "orthogonal")  # those that leave the base's weights alone
_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])(?:\.default)?\.weight")


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter rather than a model."""
    return (folder / "adapter_config.json").is_file()


def open_adapter(folder: Path, base: Source | None, opened: Callable[[Path], Source]) -> Source:
    """The model that an adapter makes of ``base``; ``opened`` gives the tensors in its weights' file.

    Its tensors are float32, or wider where the base is; whole tensors that the adapter brings along (``modules_to_save``,
    trained biases) take the place of the base's.

    Raises:
        ValueError: a kind of adapter that is not plain LoRA, or one that does not fit the base.
    """
    if base is None:
        raise ValueError(f"{folder} is an adapter, which cannot be a base; give the model that it was trained on")
    config, label = _config(folder), str(folder)
    name = next((n for n in ("adapter_model.safetensors", "adapter_model.bin") if (folder / n).is_file()), None)
    if name is None:
        raise FileNotFoundError(f"{folder} holds an adapter_config.json, but no adapter_model.safetensors")
    adapter = opened(folder / name)
    require_floats(adapter)
    pairs: dict[str, dict[str, str]] = {}
    replaced: dict[str, str] = {}
    for key in adapter.names:
        match = _KEY.fullmatch(key)
        if match is None and "lora_" in key:
            raise ValueError(f"{label}: {key!r} is no LoRA of a matrix, which is all that is read; merge it with PEFT first")
        if match:
            target = _target(match["module"] + ".weight", base, label)
            if target and match["side"] in pairs.get(target, {}):
                raise ValueError(f"{label} holds two lora_{match['side']} for {target!r}; fetch it again")
            if target:
                pairs.setdefault(target, {})[match["side"]] = key
        else:
            plain = (
                key.removeprefix("base_model.model.").replace(".modules_to_save.default.", ".").replace(".base_layer.", ".")
            )
            target = _target(plain, base, label)
            if target:
                replaced[target] = key
    if not pairs and not replaced:
        raise ValueError(f"{label} changes nothing that is merged (of a CLIP model only the vision tower is)")
    scales = {}
    for target, sides in pairs.items():
        shape = _shape(label, target, sides, adapter, config["fan_in_fan_out"])
        if base.shapes[target] != shape:
            raise ValueError(
                f"{label}: its matrices for {target!r} make {shape}, in {base.label} the shape is {base.shapes[target]}; is "
                "it an adapter of this base?"
            )
        scales[target] = _scale(target, adapter.shapes[sides["A"]][0], config)

    def read(key: str) -> Tensor:
        if key in replaced:
            return adapter.read(replaced[key])
        w0 = base.read(key)
        if key not in pairs:
            return w0
        a, b = (adapter.read(pairs[key][side]).to(w0.device) for side in "AB")  # (r, in), (out, r)
        dtype = torch.promote_types(w0.dtype, torch.float32)
        delta = (b.to(dtype) @ a.to(dtype)) * scales[key]
        return w0.to(dtype) + (delta.T if config["fan_in_fan_out"] else delta)

    dtypes = {
        key: torch.promote_types(dtype, torch.float32) if key in pairs else dtype for key, dtype in base.dtypes.items()
    }
    about = json.dumps([content_hash(adapter), sorted(scales.items()), config["fan_in_fan_out"]])
    return replace(
        base,
        label=label,
        shapes=base.shapes | {key: adapter.shapes[own] for key, own in replaced.items()},
        dtypes=dtypes | {key: adapter.dtypes[own] for key, own in replaced.items()},
        read=read,
        rest=None,
        files=(*adapter.files, *base.files),
        folder=folder,
        module=None,
        identity=hashlib.sha256(about.encode()).hexdigest(),
    )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "adapter_config.json"
    config = read_config(path, "an adapter")
    if config.get("peft_type") != "LORA":
        raise ValueError(
            f"{path}: peft_type is {str(config.get('peft_type'))[:40]!r}, only LORA is read; merge it with PEFT first"
        )
    for flag in ("use_dora", "use_qalora", "lora_bias", "layer_replication", "alora_invocation_tokens", "arrow_config"):
        if config.get(flag):
            raise ValueError(f"{path}: {flag} makes this more than plain LoRA; merge it with PEFT first")
    if config.get("init_lora_weights") not in _INITS:
        raise ValueError(
            f"{path}: init_lora_weights = {str(config['init_lora_weights'])[:40]!r} changes the base's own weights; convert "
            "it to plain LoRA with PEFT first"
        )
    alpha, pattern = config.get("lora_alpha"), config.get("alpha_pattern") or {}
    values = [alpha, *pattern.values()] if isinstance(pattern, dict) else [None]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30 for value in values):
        raise ValueError(f"{path}: lora_alpha or alpha_pattern holds no number; fetch the adapter again")
    for name in pattern:
        if re.search(r"[\\^$*+?()\[\]{}|]", name):  # PEFT takes them for regular expressions; a stranger's are not run
            raise ValueError(f"{path}: alpha_pattern holds the regular expression {name!r}; merge it with PEFT first")
    rslora, transposed = config.get("use_rslora") or False, config.get("fan_in_fan_out") or False
    if not isinstance(rslora, bool) or not isinstance(transposed, bool):
        raise ValueError(f"{path}: use_rslora or fan_in_fan_out is neither true nor false; fetch the adapter again")
    return {"alpha": alpha, "alpha_pattern": pattern, "rslora": rslora, "fan_in_fan_out": transposed}


def _target(name: str, base: Source, label: str) -> str | None:
    """The base's parameter of that name; None if it takes no part in the merge."""
    for key in (name, name.removeprefix(PREFIX)):
        if key in base.shapes:
            return key
    if name in base.tied:
        return base.tied[name]
    if (base.rest is not None and name in base.rest.names) or name.startswith(("text_model.", "text_projection.")):
        return None
    raise ValueError(f"{label} adapts {name!r}, which {base.label} has not; is it an adapter of this base?")


def _shape(label: str, target: str, sides: dict[str, str], adapter: Source, transposed: bool) -> tuple[int, ...]:
    if sides.keys() != {"A", "B"}:
        raise ValueError(f"{label} lacks lora_{'B' if 'A' in sides else 'A'} for {target!r}; fetch it again")
    a, b = adapter.shapes[sides["A"]], adapter.shapes[sides["B"]]
    if len(a) != 2 or len(b) != 2 or a[0] != b[1] or a[0] == 0:
        raise ValueError(f"{label}: lora_A {a} and lora_B {b} for {target!r} do not fit together as matrices")
    return (a[1], b[0]) if transposed else (b[0], a[1])


def _scale(target: str, rank: int, config: dict[str, Any]) -> float:
    """alpha / r, or alpha / √r (rsLoRA); the rank is that of the matrices themselves, whatever rank_pattern says."""
    module = target.removesuffix(".weight")
    patterns = config["alpha_pattern"]
    own = next((alpha for name, alpha in patterns.items() if module == name or module.endswith("." + name)), config["alpha"])
    return own / (math.sqrt(rank) if config["rslora"] else rank)
