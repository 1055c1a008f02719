"""Texts out of wheels, and their splits; the wheels are made here."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections import Counter
from hashlib import sha256

import pytest

from cmmlib.suites.text import base, packages, splits
from cmmlib.suites.text.corpora import Text
from cmmlib.suites.text.packages import Package
from cmmlib.suites.text.reading import docstrings, locale_data, one_line, summary
from cmmlib.suites.text.splits import split
from cmmlib.suites.text.tasks import TASKS, TextTask

SOURCE = '''"""Of :class:`~graph.Graph` and
``x``.

More."""
raise SystemExit("a package is never run")
def f():
    "Of f."
def g(): ...
'''


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A pinned package, in the cache already."""
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path))
    path = tmp_path / "packages" / "demo_er-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("demo/a.py", SOURCE)
        archive.writestr("demo/tests/test_a.py", SOURCE)
        archive.writestr("babel/locale-data/xx.dat", pickle.dumps({"territories": {"XX": "Ix"}, "rule": SystemExit("run")}))
    pins = tmp_path / "packages.txt"
    pins.write_text(f"demo-er==1.0 --hash=sha256:{sha256(path.read_bytes()).hexdigest()}\n")
    monkeypatch.setattr(packages, "PINS", pins)
    return path


def test_docstrings_are_read_without_running_the_package(wheel):
    found = list(docstrings(Package("demo-er"), "demo/.*[.]py"))
    assert [(member, summary(text)) for member, text in found] == [
        ("demo/a.py", "Of graph.Graph and x."),
        ("demo/a.py", "Of f."),
    ]


def test_pickled_names_come_without_their_classes(wheel):
    data = locale_data(Package("demo-er"), "xx")
    assert data["territories"] == {"XX": "Ix"} and not isinstance(data["rule"], BaseException)


def test_a_wheel_of_another_content_is_not_used(wheel, monkeypatch):
    asked = []
    answer = type("Done", (), {"stderr": "ERROR: no route\n"})
    monkeypatch.setattr(packages.subprocess, "run", lambda command, **_: asked.append(command) or answer)
    wheel.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(FileNotFoundError, match=r"could not download demo-er==1.0 to .* \(ERROR: no route\); put its wheel"):
        Package("demo-er")
    (command,) = asked
    assert {"--no-deps", "--require-hashes"} <= set(command)


def test_every_package_is_pinned():
    pins = packages.pins()
    lines = packages.PINS.read_text().splitlines()
    assert len(pins) == len(lines) and packages.MODEL in pins


def test_markup_goes_and_words_stay():
    assert one_line("See :func:`f <pkg.f>`,\n  ``x`` and L{Deferred}.") == "See f, x and Deferred."


ROWS = [Text(f"{kind} {i}", kind, f"{kind[0]}{i // 4}") for kind in ("alpha", "beta") for i in range(40)]


def test_no_document_is_on_both_sides_and_no_text_twice(monkeypatch):
    monkeypatch.setattr(splits, "TEST", 10)
    rows = [*ROWS, Text("ALPHA 0", "alpha", "elsewhere"), Text("both", "alpha", "a0"), Text("both", "beta", "b9")]
    monkeypatch.setattr(splits, "OF_ONE", 3)
    parts = split(TextTask("t", ("alpha", "beta"), ("{}",), lambda: iter(rows)))
    document = {row.text: row.document for row in rows}
    tested = Counter(document[text] for text in parts["test"].texts)
    assert max(tested.values()) == 3
    sides = [{document[text] for text in part.texts} for part in (parts["train"], parts["test"])]
    assert not sides[0] & sides[1]
    assert sorted(parts["test"].labels) == [0] * 5 + [1] * 5
    texts = [text.casefold() for part in parts.values() for text in part.texts]
    assert len(texts) == len(set(texts)) and "both" not in texts
    assert [len(text) for text in parts["test"].texts] == sorted(len(text) for text in parts["test"].texts)


def test_a_split_depends_on_no_order_and_too_few_texts_are_an_error(monkeypatch):
    monkeypatch.setattr(splits, "TEST", 10)
    task = TextTask("t", ("alpha", "beta"), ("{}",), lambda: iter(ROWS))
    assert split(task) == split(TextTask("t", ("alpha", "beta"), ("{}",), lambda: iter(ROWS[::-1])))
    with pytest.raises(ValueError, match="task t: class beta has 0 texts to train and 0 to test on"):
        split(TextTask("t", ("alpha", "beta"), ("{}",), lambda: iter(ROWS[:40])))


def test_the_committed_checksums_are_of_the_suites_tasks():
    assert list(json.loads(splits.TEST_SETS.read_text())) == [task.name for task in TASKS]
    assert len({task.name for task in TASKS}) == len(TASKS) >= 10


def test_a_base_of_other_content_is_refused(tmp_path, monkeypatch):
    hub = tmp_path / "hub"
    hub.mkdir()
    for name in base.HASHES:
        (hub / name).write_text("something else")
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(base, "fetch", lambda repo: hub)
    with pytest.raises(ValueError, match=r"all-MiniLM-L6-v2: model.safetensors, config.json, tokenizer.json differ"):
        base.write_base(tmp_path / "out")
