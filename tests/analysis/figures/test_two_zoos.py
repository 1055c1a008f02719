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
