"""The tokenizer: every word of every prompt is one token."""

from __future__ import annotations

from collections import Counter

import torch

from cmmlib.suites.mini.build.tokenizer import learn_merges
from cmmlib.suites.mini.tasks import TASKS

from .shipped import BACKBONE


def test_tokenizer_knows_every_prompt(suite):
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(suite.base(BACKBONE))
    start, end = len(tokenizer) - 2, len(tokenizer) - 1
    for task in TASKS:
        for label in range(len(task.class_names)):
            for prompt, ids in zip(task.prompts(label), tokenizer(task.prompts(label)).input_ids, strict=True):
                # the unknown token is the end token, so it may occur at the end only
                assert ids[0] == start and ids.index(end) == len(ids) - 1 < 24
                assert tokenizer.decode(ids[1:-1]).replace(" ", "") == prompt.replace(" ", "")
    text = CLIPTextModel.from_pretrained(suite.base(BACKBONE))
    tokens = tokenizer(["a photo of the greek letter alpha.", "a die"], padding=True, return_tensors="pt")
    output = text(**tokens)
    ends = (tokens.input_ids == end).int().argmax(1)
    assert torch.equal(output.pooler_output, output.last_hidden_state[torch.arange(2), ends])


def test_merges_do_not_depend_on_the_order_of_words():
    words = ["number", "letter", "late", "tel", "ber"]
    merges = learn_merges(Counter(words))
    assert merges == learn_merges(Counter(reversed(words)))
    joined = {a + b for a, b in merges}
    assert all(word + "</w>" in joined for word in words), "every word ends as one token"
