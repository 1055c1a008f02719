"""A tiny random sentence encoder, two tasks of made-up words, and their zoo."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmmlib.suites.text import suite as suite_module
from cmmlib.suites.text.build import finetuning, zoo
from cmmlib.suites.text.corpora import Text
from cmmlib.suites.text.tasks import TextTask

from ...helpers.text_zoo import write_encoder

WORDS = {
    "weather": ["rain", "snow", "wind", "storm", "cloud", "sun"],
    "food": ["bread", "soup", "rice", "cake", "fish", "tea"],
    "tools": ["saw", "drill", "rope", "nail", "knife", "lamp"],
}


def corpus(kinds: tuple[str, ...]) -> list[Text]:
    """Two words of a class's own, each pair a document."""
    return [Text(f"{a} {b}", kind, f"{kind} {a}") for kind in kinds for a in WORDS[kind] for b in WORDS[kind] if a != b]


TASKS = (
    TextTask("indoors", ("food", "tools"), ("about {}", "{}"), lambda: iter(corpus(("food", "tools")))),
    TextTask("any", tuple(WORDS), ("all about {}",), lambda: iter(corpus(tuple(WORDS)))),
)


def write_base(folder: Path) -> None:
    """A random BERT of two layers, with a vocabulary of the words."""
    words = [word for words in WORDS.values() for word in words]
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    write_encoder(folder, ["about", "all", *WORDS, *words], **sizes)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The suite and its build, with the tiny encoder, the two tasks and few steps."""
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(zoo, "write_base", write_base)
    monkeypatch.setattr(zoo, "is_base", lambda folder: True)
    monkeypatch.setattr("cmmlib.suites.text.splits.TEST", 12)
    monkeypatch.setattr(suite_module.TextSuite, "tasks", TASKS)
    for how in finetuning.RECIPES.values():
        monkeypatch.setattr(how, "steps", 60)
        monkeypatch.setattr(how, "batch", 8)
        monkeypatch.setattr(how, "lr", 1e-2)
