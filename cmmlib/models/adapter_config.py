"""The configuration of a LoRA adapter as PEFT saves it: what is read, and what is refused by name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import read_config

_INITS = (True, False, None, "gaussian", "eva", "orthogonal")  # those that leave the base's weights alone
_MORE = {
    "use_dora": "DoRA scales whole rows as well",
    "use_qalora": "QA-LoRA pools inputs",
    "lora_bias": "the adapter has biases of its own",
    "layer_replication": "layers are repeated",
    "alora_invocation_tokens": "the adapter acts on some tokens only",
    "arrow_config": "several adapters are routed",
    "trainable_token_indices": "single rows of an embedding were trained (trainable tokens)",
    "target_parameters": "parameters that are no modules were adapted, such as stacked experts",
}


@dataclass(frozen=True)
class AdapterConfig:
    """What decides an adapter's effect.

    Attributes:
        path: the file, for messages.
        alpha, alpha_pattern: the numerator of the scale; for some modules another one.
        ranks: modules with another rank; the matrices themselves say which.
        rslora: whether the scale is α/√r rather than α/r.
        fan_in_fan_out: whether the adapted weights are stored as (in, out), as far as the adapter knows.
        keeps_ties: whether tied weights were trained as one.
    """

    path: Path
    alpha: float
    alpha_pattern: Mapping[str, float]
    ranks: tuple[str, ...]
    rslora: bool
    fan_in_fan_out: bool
    keeps_ties: bool

    def scale(self, module: str, rank: int) -> float:
        """α/r, or α/√r (rsLoRA).

        Args:
            module: its name in training.
            rank: that of the matrices.
        """
        own = next((alpha for name, alpha in self.alpha_pattern.items() if _means(name, module)), self.alpha)
        return own / (math.sqrt(rank) if self.rslora else rank)

    def require_used(self, modules: Iterable[str]) -> None:
        """Raises ValueError if a pattern names none of the adapted modules: then the scale of some would be a guess."""
        modules = list(modules)
        for name in (*self.alpha_pattern, *self.ranks):
            if not any(_means(name, module) for module in modules):
                raise ValueError(
                    f"{self.path}: alpha_pattern or rank_pattern names {name!r}, which is none of the adapted modules "
                    f"({', '.join(modules[:3])}, …); correct the name, or take it out if it means nothing"
                )


def _means(name: str, module: str) -> bool:
    return module == name or module.endswith("." + name)


def read_adapter_config(folder: Path) -> AdapterConfig:
    """The configuration in an adapter's folder.

    Raises:
        ValueError: a kind of adapter that is not plain LoRA, or a value that cannot be.
    """
    path = folder / "adapter_config.json"
    config = read_config(path, "an adapter")
    if config.get("peft_type") != "LORA":
        raise ValueError(
            f"{path}: peft_type is {str(config.get('peft_type'))[:40]!r}, only LORA is read; merge it with PEFT first"
        )
    for flag, why in _MORE.items():
        if config.get(flag):
            raise ValueError(f"{path}: {flag} is set: {why}, which is more than plain LoRA; merge it with PEFT first")
    if config.get("init_lora_weights") not in _INITS:
        raise ValueError(
            f"{path}: init_lora_weights = {str(config['init_lora_weights'])[:40]!r} changes the base's own weights; convert "
            "it to plain LoRA with PEFT first"
        )
    alpha, patterns = config.get("lora_alpha"), config.get("alpha_pattern") or {}
    values = [alpha, *patterns.values()] if isinstance(patterns, dict) else [None]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30 for value in values):
        raise ValueError(f"{path}: lora_alpha or alpha_pattern holds no number; fetch the adapter again")
    ranks = config.get("rank_pattern") or {}
    if not isinstance(ranks, dict):
        raise ValueError(f"{path}: rank_pattern is no mapping; fetch the adapter again")
    for name in (*patterns, *ranks):
        if re.search(r"[\\^$*+?()\[\]{}|]", name):  # PEFT takes them for regular expressions; a stranger's are not run
            raise ValueError(f"{path}: a pattern holds the regular expression {name!r}; merge it with PEFT first")
    return AdapterConfig(
        path,
        float(str(alpha)),
        patterns,
        tuple(ranks),
        _flag(path, config, "use_rslora"),
        _flag(path, config, "fan_in_fan_out"),
        _flag(path, config, "ensure_weight_tying"),
    )


def _flag(path: Path, config: Mapping[str, Any], name: str) -> bool:
    value = config.get(name) or False
    if not isinstance(value, bool):
        raise ValueError(f"{path}: {name} is neither true nor false; fetch the adapter again")
    return value
