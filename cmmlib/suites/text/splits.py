"""The split of a corpus by document into texts to train on and texts to test on, without duplicates."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from .corpora import Text
from .tasks import TextTask

TEST = 300
"""Texts of a test set, the same number of every class or one more."""

OF_ONE = 5
"""Texts of a test set that come from one document, at most."""

TEST_SETS = Path(__file__).parent / "test_sets.json"
"""Checksums of the test sets, see `examples_hash`."""

TRAIN = 400
"""Texts of a class that a model is fine-tuned on, at most."""


class Examples(NamedTuple):
    """Texts and their labels."""

    texts: list[str]
    labels: list[int]


def split(task: TextTask) -> dict[str, Examples]:
    """The examples to ``train`` and to ``test`` on.

    Texts that occur with several classes are left out, and of equal ones, case aside, all but one.  Documents are drawn for
    the test set by the hash of their names, class by class, until it has its texts, at most `OF_ONE` of a document; what
    else is in them is not used.  No document of the test set is trained on, whatever the class.

    Raises:
        ValueError: a class has too few texts.
    """
    kinds: dict[str, set[str]] = defaultdict(set)
    rows = [row for row in task.corpus() if len(row.text.split()) >= task.words and len(row.text) > 1]
    for row in rows:
        kinds[row.text.casefold()].add(row.kind)
    once = {row.text.casefold(): row for row in sorted(rows, reverse=True) if len(kinds[row.text.casefold()]) == 1}
    by_class = [sorted((row for row in once.values() if row.kind == kind), key=_drawn) for kind in task.class_names]
    counts = [TEST // len(by_class) + (label < TEST % len(by_class)) for label in range(len(by_class))]
    tested = [list(islice(_few(rows), count)) for rows, count in zip(by_class, counts, strict=True)]
    documents = {row.document for rows in tested for row in rows}
    trained = [[row for row in rows if row.document not in documents][:TRAIN] for rows in by_class]
    for kind, count, test, train in zip(task.class_names, counts, tested, trained, strict=True):
        if len(test) < count or len(train) < count // 2:
            raise ValueError(f"task {task.name}: class {kind} has {len(train)} texts to train and {len(test)} to test on")
    return {"train": _examples(trained), "test": _examples(tested)}


def _few(rows: Iterable[Text]) -> Iterator[Text]:
    """The first `OF_ONE` rows of every document."""
    taken: Counter[str] = Counter()
    for row in rows:
        taken[row.document] += 1
        if taken[row.document] <= OF_ONE:
            yield row


def _drawn(row: Text) -> tuple[str, str]:
    return sha256(row.document.encode()).hexdigest(), sha256(row.text.encode()).hexdigest()


def _examples(by_class: Sequence[Iterable[Text]]) -> Examples:
    """All texts, the short ones first, so that a batch needs little padding."""
    pairs = sorted(((row.text, label) for label, rows in enumerate(by_class) for row in rows), key=lambda p: (len(p[0]), p))
    return Examples([text for text, _ in pairs], [label for _, label in pairs])


def examples_hash(examples: Examples) -> str:
    """SHA-256 of texts and labels in their order."""
    return sha256(json.dumps(examples, ensure_ascii=False).encode()).hexdigest()


def made_from(task: TextTask) -> str:
    """A hash of what the examples of a task are made from: the definitions, this code and the pinned packages."""
    folder = Path(__file__).parent
    names = ("tasks.py", "corpora.py", "reading.py", "splits.py", "packages.txt")
    code = "".join((folder / name).read_text("utf-8") for name in names)
    return sha256(repr((task, code)).encode()).hexdigest()
