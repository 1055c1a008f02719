"""A zoo of the text suite's tasks whose encoder is tiny and random, for what runs in processes of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, BertTokenizerFast

from cmmlib.suites.text.splits import Examples, examples_hash
from cmmlib.suites.text.tasks import TASKS

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_encoder(folder: Path, words: Iterable[str], **sizes: int) -> BertModel:
    """A random BERT of these sizes with its tokenizer, whose vocabulary is the marks and some words."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    BertWordPieceTokenizer(str(folder / "vocab.txt")).save(str(folder / "tokenizer.json"))
    BertTokenizerFast(tokenizer_file=str(folder / "tokenizer.json")).save_pretrained(folder)
    torch.manual_seed(0)
    encoder = BertModel(BertConfig(vocab_size=len(vocabulary), **sizes))
    encoder.save_pretrained(folder)
    return encoder


def write_text_zoo(folder: Path, backbone: str = "MiniLM-L6") -> None:
    """Base, texts, and for every task the base with a change of each matrix.  A class has two texts, its name among them."""
    base = folder / "base"
    base.mkdir(parents=True)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    encoder = write_encoder(base, [*LETTERS, *(f"##{letter}" for letter in LETTERS)], **sizes)
    own = {name: parameter.detach().clone() for name, parameter in encoder.named_parameters()}
    test_sets = {}
    for task in TASKS:
        names = [(name, label) for label, name in enumerate(task.class_names)]
        test = Examples(
            [text for name, _ in names for text in (name, f"of {name}")], [label for _, label in names for _ in "ab"]
        )
        (folder / "texts").mkdir(exist_ok=True)
        (folder / "texts" / f"{task.name}.json").write_text(json.dumps({"test": test._asdict()}), "utf-8")
        test_sets[task.name] = examples_hash(test)
        with torch.no_grad():
            for name, parameter in encoder.named_parameters():
                parameter.copy_(own[name] + (0.05 * torch.randn_like(own[name]) if own[name].ndim == 2 else 0))
        encoder.save_pretrained(folder / backbone / task.name)
    (folder / "test_sets.json").write_text(json.dumps(test_sets))
    (folder / backbone / "checksums.json").write_text(json.dumps(dict.fromkeys(test_sets, "random")))
