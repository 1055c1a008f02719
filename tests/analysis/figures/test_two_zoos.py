"""One zoo against another: a marker per method."""

import pandas as pd

from cmmlib.analysis import figures


def test_a_marker_per_label_and_variants_hollow(ax):
    rows = [("OPCM", 70.0, 1.0, 72.0, 2.0), ("OPCM (first version)", 60.0, 1.0, 61.0, 1.0)]
    table = pd.DataFrame(rows, columns=["label", "acc", "std", "acc_second", "std_second"])
    assert figures.zoo_scatter(ax, table) is ax
    drawn = {bar.get_label(): bar.lines[0] for bar in ax.containers}
    assert {label: (line.get_xdata()[0], line.get_ydata()[0]) for label, line in drawn.items()} == {
        "OPCM": (70, 72),
        "OPCM (first version)": (60, 61),
    }
    assert [line.get_markerfacecolor() for line in drawn.values()] == ["#E69F00", "w"]
    assert ax.get_xlim() == ax.get_ylim() == (57, 75)
    diagonal = ax.lines[0]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [57, 75]


def test_a_cell_per_pair_in_the_colour_of_its_verdict(ax):
    rows = [("OPCM", "TIES", 3.14, "holds"), ("OPCM", "MagMax", -2.0, "reverses"), ("TIES", "MagMax", 0.2, "open")]
    pairs = pd.DataFrame(rows, columns=["better", "worse", "difference_second", "verdict"])
    assert figures.verdict_matrix(ax, pairs, ["OPCM", "TIES", "MagMax"]) is ax
    assert {text.get_text(): text.get_position() for text in ax.texts} == {"+3.1": (1, 0), "-2.0": (2, 0), "+0.2": (2, 1)}
    assert len({cell.get_facecolor() for cell in ax.patches}) == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "holds: 1",
        "undecided: 0",
        "reverses: 1",
        "open: 1",
    ]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["OPCM", "TIES", "MagMax"]
