"""Suites by name, and the options that each takes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cmmlib.suites import load_suite


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: load_suite("mini", data_dir="x"), "suite mini does not take data_dir; it takes limit, precision, folder$"),
        (
            lambda: load_suite("clip", device=1),
            "suite clip does not take device; it takes limit, precision, models_dir",
        ),
        (lambda: load_suite("clip", accept_labels=["mnst"]), "unknown task 'mnst' in suite clip; choices: sun397"),
        (lambda: load_suite("clip").base("ViT-B/8"), "unknown backbone 'ViT-B/8' in suite clip; choices: ViT-B/32"),
        (lambda: load_suite("clip").checkpoint("ViT-B/32", "x"), "unknown task 'x'"),
        (lambda: load_suite("clip").test_set("x"), "unknown task 'x'"),
        (lambda: load_suite("clip").task_names(21), "n is 21; give 1 to 20 tasks"),
        (lambda: load_suite("mini", limit=0), "limit is 0: give a number of images per test set"),
        (lambda: load_suite("mini", limit=True), "limit is True"),
    ],
)
def test_bad_options_are_named(make: Callable, message: str):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_unknown_suite_is_an_error_with_the_choices():
    with pytest.raises(ValueError, match="known suites: mini"):
        load_suite("maxi")
