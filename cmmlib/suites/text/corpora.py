"""The corpora: of each task all texts that there are, with their class and the document that they come from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from .packages import Package
from .reading import docstrings, locale_data, one_line, summary, translations

package = cache(Package)


class Text(NamedTuple):
    """A text, its class, and what it comes from; texts of one document never fall on both sides of a split."""

    text: str
    kind: str
    document: str


LANGUAGES = {
    "cs": "Czech",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "hu": "Hungarian",
    "it": "Italian",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "sv": "Swedish",
    "tr": "Turkish",
}


def documented(names: dict[str, str], pattern: str = "{}/.*[.]py") -> Iterator[Text]:
    """Summaries of docstrings, by package."""
    for name, kind in names.items():
        for member, text in docstrings(package(name), pattern.format(name)):
            yield Text(_without(summary(text), name), kind, member)


def areas(name: str, folders: dict[str, str]) -> Iterator[Text]:
    """Summaries of docstrings, by folder of a package."""
    for folder, kind in folders.items():
        for member, text in docstrings(package(name), f"{name}/{folder}/.*[.]py"):
            yield Text(summary(text), kind, member)


CODE = {
    "Python": ("django", "django/(?!conf).*[.]py"),
    "JavaScript": ("django", ".*[.]js"),
    "CSS": ("django", ".*[.]css"),
    "HTML": ("django", ".*[.]html"),
    "TypeScript": ("bokeh", ".*[.]ts"),
    "C++": ("pybind11", ".*[.]h"),
    "gettext catalogue": ("django", "django/contrib/.*/(?:de|fr|es|pl)/.*[.]po"),
    "doctest": ("nltk", ".*[.]doctest"),
}


def code() -> Iterator[Text]:
    """Three successive lines of source code each, by language."""
    for language, (name, pattern) in CODE.items():
        for member, source in package(name).files(pattern):
            if re.search(r"[.]min[.]|/vendor/", member):
                continue
            lines = [line for line in map(str.strip, source.splitlines()) if len(line) > 3 and not line.startswith("#")]
            for i in range(0, len(lines) - 2, 3):
                yield Text(one_line(" ".join(lines[i : i + 3])), language, member)


def catalogue(languages: dict[str, str]) -> Iterator[Text]:
    """Translations of a web framework's messages, by language; the translations of one message are one document."""
    for member in package("django").members(rf"django/.*/locale/({'|'.join(languages)})/LC_MESSAGES/django[.]mo"):
        for message, translation in translations(package("django"), member):
            yield Text(one_line(translation), languages[member.split("/")[-3]], message)


CLDR = {"territories": "territory", "languages": "language", "currency_names": "currency", "scripts": "script"}


def cldr() -> Iterator[tuple[str, str, str, str]]:
    """CLDR's names: language, kind of thing, code and name."""
    for language in LANGUAGES:
        data = locale_data(package("babel"), language)
        for key, kind in CLDR.items():
            for code_, name in data[key].items():
                if isinstance(name, str):
                    yield language, kind, code_, name
        for code_, zone in data["time_zones"].items():
            if isinstance(zone.get("city"), str):
                yield language, "city", code_, zone["city"]


def named_things() -> Iterator[Text]:
    """CLDR's names in many languages, by kind of thing; the names of one thing are one document."""
    for _, kind, code_, name in cldr():
        yield Text(name, kind, kind + code_)


def subdivisions(countries: dict[str, str]) -> Iterator[Text]:
    """Names of subdivisions, by country."""
    for row in json.loads(package("pycountry").read("pycountry/databases/iso3166-2.json"))["3166-2"]:
        if kind := countries.get(row["code"][:2]):
            yield Text(row["name"], kind, row["name"])


def listed(file: str, key: str, locales: dict[str, str]) -> Iterator[Text]:
    """Words or names in lists, by locale."""
    for locale, kind in locales.items():
        found = json.loads(package("mimesis").read(f"mimesis/datasets/{locale}/{file}.json"))[key]
        lists = found.values() if isinstance(found, dict) else [found]
        for word in (word for words in lists for word in words):
            yield Text(word.strip(), kind, word)


def sentiment() -> Iterator[Text]:
    """Words and their mean valence in a lexicon, by sign; words with the same first five letters are one document."""
    for line in package("vaderSentiment").read("vaderSentiment/vader_lexicon.txt").decode("utf-8").splitlines():
        word, valence = line.split("\t")[:2]
        if re.fullmatch(r"[a-z]{3,}", word) and abs(float(valence)) >= 1:
            yield Text(word, "positive" if float(valence) > 0 else "negative", word[:5])


def _without(text: str, name: str) -> str:
    """A text in which a package is not named, which would give its class away."""
    return re.sub(rf"(?i)\b{name}\w*", "it", text)
