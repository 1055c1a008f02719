"""One colour per method, whoever draws it."""

import matplotlib as mpl

from cmmlib.analysis import figures
from cmmlib.analysis.figures.style import STYLES


def test_no_two_methods_look_alike():
    looks = {(style["color"], style["linestyle"]) for style in map(figures.line_style, STYLES)}
    assert len(looks) == len(STYLES)


def test_a_label_of_the_users_own_always_looks_the_same_and_like_none_of_ours():
    style = figures.line_style("Mine")
    assert style == figures.line_style("Mine")
    assert style["linestyle"] not in {dashes for _, dashes in STYLES.values()}


def test_kinds_of_mlp_weights_are_dashed_and_unknown_kinds_have_a_colour():
    assert {kind: figures.kind_style(kind)["linestyle"] for kind in ("q", "out", "fc1", "fc2")} == {
        "q": "-",
        "out": "-",
        "fc1": "--",
        "fc2": "--",
    }
    assert figures.kind_style("new")["color"].startswith("C")


def test_the_style_of_a_paper_ends_with_its_block():
    before = mpl.rcParams["font.size"]
    with figures.paper_style():
        assert mpl.rcParams["font.size"] == 7
    assert mpl.rcParams["font.size"] == before
