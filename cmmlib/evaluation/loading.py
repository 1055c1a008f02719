"""Loading a base for inference."""

from __future__ import annotations

from typing import Any

import torch


def load_base(kind: Any, base: str) -> Any:
    """Load a model in float32 on the CPU, for inference only, without a progress bar.

    Args:
        kind: a class of transformers with ``from_pretrained``.
        base: folder or hub id.

    Raises:
        ValueError: weights are missing.
    """
    from transformers.utils import logging

    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # notebooks would keep the output of a few milliseconds
    try:
        model, info = kind.from_pretrained(base, dtype=torch.float32, output_loading_info=True)
    finally:
        if bar:
            logging.enable_progress_bar()
    if info["missing_keys"]:  # transformers would initialise them at random and only warn
        raise ValueError(f"{base} lacks weights of a {type(model).__name__}: {sorted(info['missing_keys'])[:3]}")
    return model.eval().requires_grad_(False)
