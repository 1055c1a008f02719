"""The tokenizer and the image processor that all backbones share."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from ..tasks import SIDE, TASKS
from .architecture import CONTEXT


def learn_merges(words: Counter[str]) -> list[tuple[str, str]]:
    """Byte-pair merges until every word is one token; ties are broken by name, so that a rebuild gives the same."""
    pieces = {word: [*word[:-1], word[-1] + "</w>"] for word in words}
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in pieces.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for parts in pieces.values():
            for k in range(len(parts) - 2, -1, -1):
                if tuple(parts[k : k + 2]) == best:
                    parts[k : k + 2] = ["".join(best)]


def make_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer whose byte-pair encoding is learned on the suite's own prompts."""
    cut = CLIPTokenizer().backend_tokenizer.pre_tokenizer.pre_tokenize_str
    prompts = [prompt for task in TASKS for k in range(len(task.class_names)) for prompt in task.prompts(k)]
    merges = learn_merges(Counter(word for prompt in prompts for word, _ in cut(prompt)))
    # as in CLIP: every byte, every byte at the end of a word, merges, and the two special tokens last
    alphabet = sorted(ByteLevel.alphabet())
    tokens = [*alphabet, *(byte + "</w>" for byte in alphabet), *(a + b for a, b in merges)]
    words = dict.fromkeys([*tokens, "<|startoftext|>", "<|endoftext|>"])  # two merges can give one word
    vocabulary: Any = {word: i for i, word in enumerate(words)}
    pairs: Any = merges
    return CLIPTokenizer(vocabulary, pairs, model_max_length=CONTEXT)


def save_preprocessing(folder: Path, tokenizer: CLIPTokenizer) -> None:
    """Write the tokenizer and the image processor that all backbones share."""
    tokenizer.save_pretrained(folder)
    vocabulary = tokenizer.backend_tokenizer.model
    vocabulary.save(str(folder))  # vocab.json and merges.txt, for readers other than transformers 5
    side = SIDE
    CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side}).save_pretrained(folder)
