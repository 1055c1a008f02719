"""The tasks of the text suite: which corpus, class names and prompts.

The 4-task suite is the first 4, the 7-task suite the first 7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from ..suite import Task
from . import corpora
from .corpora import LANGUAGES, Text

LIBRARIES = {
    "django": "a web framework",
    "networkx": "graphs and networks",
    "nltk": "natural language processing",
    "xarray": "labelled arrays",
    "dask": "parallel computing",
    "bokeh": "interactive plots",
    "twisted": "network protocols and events",
    "geopandas": "geographic data",
}
AREAS = {
    "physics": "physics",
    "polys": "polynomials",
    "matrices": "matrices",
    "combinatorics": "combinatorics",
    "functions": "special functions",
    "ntheory": "number theory",
    "stats": "probability and statistics",
    "solvers": "solving equations",
    "integrals": "integration",
    "printing": "printing of formulas",
}
COUNTRIES = {
    "GB": "the United Kingdom",
    "SI": "Slovenia",
    "IT": "Italy",
    "FR": "France",
    "PH": "the Philippines",
    "EE": "Estonia",
    "CZ": "the Czech Republic",
    "TR": "Turkey",
    "AZ": "Azerbaijan",
    "TH": "Thailand",
}
SURNAMES = {
    "da": "Denmark",
    "de": "Germany",
    "en": "England",
    "es-mx": "Mexico",
    "fi": "Finland",
    "fr": "France",
    "is": "Iceland",
    "it": "Italy",
    "nl": "the Netherlands",
    "pl": "Poland",
    "sv": "Sweden",
}
TOWNS = {
    "cs": "the Czech Republic",
    "da": "Denmark",
    "de": "Germany",
    "en": "the United States",
    "en-gb": "Great Britain",
    "fr": "France",
    "hu": "Hungary",
    "nl": "the Netherlands",
    "pl": "Poland",
    "pt-br": "Brazil",
    "sv": "Sweden",
}
WORDS = {key: name for key, name in LANGUAGES.items() if key != "tr"}  # there are too few Turkish words
TRANSLATED = {key: name for key, name in LANGUAGES.items() if key != "en"}


@dataclass(frozen=True)
class TextTask(Task):
    """A task of the text suite.

    Attributes:
        corpus: gives all its texts.
        words: the least number of words of a text.
    """

    corpus: Callable[[], Iterator[Text]] = field(default=lambda: iter(()), repr=False, hash=False, compare=False)
    words: int = 1


def _task(
    name: str, classes: Iterable[str], templates: tuple[str, ...], corpus: Callable[[], Iterator[Text]], words: int = 1
) -> TextTask:
    return TextTask(name, tuple(classes), templates, corpus, words)


TASKS: tuple[TextTask, ...] = (
    _task("kind-of-name", [*corpora.CLDR.values(), "city"], ("the name of a {}", "a {}"), corpora.named_things),
    _task(
        "library",
        LIBRARIES.values(),
        ("documentation of a library for {}", "{}"),
        partial(corpora.documented, LIBRARIES),
        words=5,
    ),
    _task(
        "surname",
        SURNAMES.values(),
        ("a family name from {}", "a person from {}"),
        partial(corpora.listed, "person", "surnames", SURNAMES),
    ),
    _task(
        "ui-language", TRANSLATED.values(), ("a sentence in {}", "{} text"), partial(corpora.catalogue, TRANSLATED), words=3
    ),
    _task(
        "mathematics",
        AREAS.values(),
        ("documentation of a function for {}", "{}"),
        partial(corpora.areas, "sympy", AREAS),
        words=5,
    ),
    _task("town", TOWNS.values(), ("a town in {}", "{}"), partial(corpora.listed, "address", "city", TOWNS)),
    _task("code", corpora.CODE, ("source code in {}", "a line of {}"), corpora.code, words=3),
    _task("sentiment", ("positive", "negative"), ("a {} word", "a {} feeling"), corpora.sentiment),
    _task("subdivision", COUNTRIES.values(), ("a region of {}", "{}"), partial(corpora.subdivisions, COUNTRIES)),
    _task("word-language", WORDS.values(), ("a word in {}", "{}"), partial(corpora.listed, "text", "words", WORDS)),
)
