"""Fine-tuning the encoder on the texts of a task, whole or as a LoRA adapter, with the base's frozen head."""

from __future__ import annotations

import copy
import importlib.util
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from zlib import crc32

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from ...zoos.optimisation import batch_of, one_cycle, update
from ..embedding import class_embedding, embed, tokenised
from ..splits import Examples
from ..tasks import TextTask

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SEED = 0
FULL = SimpleNamespace(steps=120, batch=32, lr=2e-4, scale=20.0, weight_decay=0.0, rank=None)
LORA = SimpleNamespace(**(vars(FULL) | {"lr": 2e-3, "rank": 8, "alpha": 16}))
ADAPTED = r"encoder\.layer\..*\.(query|key|value|dense)"
RECIPES = {"MiniLM-L6": FULL, "MiniLM-L6-LoRA": LORA}
"""Backbone → how its models are fine-tuned: batches, peak learning rate, factor of the cosines in the softmax."""


def seed_of(task: TextTask, how: SimpleNamespace) -> int:
    """The seed of a task's fine-tuning; for adapters one of its own.

    By one seed for all, all adapters start from the same random factor, which training hardly turns: their task vectors
    would share their rows.
    """
    return crc32(task.name.encode()) if how.rank else SEED


def head_of(encoder: Any, tokenizer: PreTrainedTokenizerBase, task: TextTask) -> Tensor:
    """The class embeddings of a task, float32 (classes, width)."""
    prompts = (task.prompts(label) for label in range(len(task.class_names)))
    return torch.stack([class_embedding(encoder, tokenised(tokenizer, texts)) for texts in prompts])


def require_peft() -> None:
    """Raises ModuleNotFoundError, with what to install, if PEFT is missing."""
    if importlib.util.find_spec("peft") is None:
        raise ModuleNotFoundError("adapters are trained with PEFT: pip install 'cmmlib[text]'")


def finetune(
    base: Any, tokenizer: PreTrainedTokenizerBase, head: Tensor, examples: Examples, how: SimpleNamespace, seed: int
) -> Any:
    """A copy of an encoder, trained on a task without dropout; everything in it is trained, or adapters of its layers.

    Args:
        head: class embeddings from `head_of`; frozen.
        how: a value of `RECIPES`.
        seed: of the batches, and of an adapter's first factors.

    Raises:
        ModuleNotFoundError: an adapter is asked for and PEFT is not installed.
    """
    model = copy.deepcopy(base).requires_grad_(True)
    if how.rank:
        require_peft()
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(seed)  # the adapters' first factors are random
        model = get_peft_model(model, LoraConfig(r=how.rank, lora_alpha=how.alpha, target_modules=ADAPTED))
    model.eval()
    labels = torch.tensor(examples.labels)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=how.lr, weight_decay=how.weight_decay)
    for step in range(how.steps):
        rows = batch_of(examples.texts, step, how.batch, seed=seed, purpose=4)
        tokens = tokenised(tokenizer, [examples.texts[row] for row in rows])
        logits = how.scale * normalize(embed(model, tokens), dim=1) @ head.T
        update(optimizer, cross_entropy(logits, labels[rows]), one_cycle(step, how.steps, how.lr))
    return model.merge_and_unload() if how.rank else model


def accuracy(encoder: Any, tokenizer: PreTrainedTokenizerBase, head: Tensor, examples: Examples, batch: int = 50) -> float:
    """The share of texts whose class is the nearest, in per cent."""
    correct = 0
    with torch.inference_mode():
        for start in range(0, len(examples.texts), batch):
            tokens = tokenised(tokenizer, examples.texts[start : start + batch])
            predicted = (embed(encoder, tokens) @ head.T).argmax(1)
            correct += int((predicted == torch.tensor(examples.labels[start : start + batch])).sum())
    return 100 * correct / len(examples.texts)
