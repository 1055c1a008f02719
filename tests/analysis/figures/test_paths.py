"""Merging in the plane."""

from cmmlib.analysis import figures


def test_the_path_begins_at_the_origin_and_every_task_vector_has_its_number(ax):
    assert figures.merge_path(ax, [(1.0, 0.5), (0.0, 1.0)], [(1.0, 0.5), (0.5, 0.75)], color="k") is ax
    (line,) = ax.lines
    assert line.get_xydata().tolist() == [[0, 0], [1, 0.5], [0.5, 0.75]] and line.get_color() == "k"
    assert [text.get_text() for text in ax.texts if text.get_text()] == [r"$\tau_1$", r"$\tau_2$"]
