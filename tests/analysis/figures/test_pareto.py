"""The pictures of the Pareto front draw the numbers that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from cmmlib.analysis import figures

FRONT = pd.DataFrame(
    [(layer, alpha, alpha, l0, l1) for layer in "ab" for alpha, l0, l1 in ((0.0, 4, 0), (0.8, 1, 1), (1.0, 0, 2))]
    + [(layer, "mgda", 0.7, 1.5, 0.9) for layer in "ab"],
    columns=["layer", "alpha", "a", "loss_stability", "loss_plasticity"],
)
ALONG = pd.DataFrame({"L0": [8.0, 2.0, 0.0, 3.0], "L1": [0.0, 2.0, 4.0, 1.8]}, index=[0.0, 0.8, 1.0, "mgda"])
ELSEWHERE = pd.DataFrame({"L0": [5.0, 6.0], "L1": [6.0, 7.0]}, index=["OPCM", "DOP"])
EMULATED = pd.DataFrame({"a": [0.7, 0.8], "L0": 1.0, "L1": 1.0}, index=["a", "b"])
ENDS = {
    "Adam": EMULATED.assign(a=[0.72, 0.81], **{"excess (%)": [0.5, 0.1]}),
    "faster": EMULATED.assign(a=[0.71, 0.8], **{"excess (%)": [0.0, 0.0]}),
}
OFF = pd.DataFrame({"a": 0.0, "L0 (%)": [3.0, 1.0, 2.0], "L1 (%)": [-3.0, -1.0, -2.0]}, index=["a", "b", "all"])


def lines(ax):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}


def test_a_layers_front_is_drawn_over_its_largest_losses_and_numbers_alone(ax):
    assert figures.front_shapes(ax, FRONT) is ax
    assert ax.get_title() == "2 layers" and len(ax.lines) == 2
    for line in ax.lines:
        np.testing.assert_allclose(line.get_xydata(), [(1, 0), (0.25, 0.5), (0, 1)])


def test_the_front_is_a_line_with_marks_on_it_and_methods_beside_it(ax):
    assert figures.front_curve(ax, ALONG, ELSEWHERE) is ax
    assert lines(ax) == {
        "exact front": ([8, 2, 0], [0, 2, 4]),
        "a = mgda": ([3], [1.8]),
        "a = 0.8": ([2], [2]),
        "OPCM": ([5], [6]),
        "DOP": ([6], [7]),
    }
    assert {text.get_text(): text.xy for text in ax.texts} == {"a = 0": (8, 0), "a = 1": (0, 4)}
    (opcm,) = (line for line in ax.lines if line.get_label() == "OPCM")
    assert opcm.get_color() == figures.line_style("OPCM")["color"]


def test_the_emulations_weights_stand_against_the_solvers(ax):
    assert figures.emulated_weights(ax, EMULATED, ENDS) is ax
    found = lines(ax)
    assert found["Adam"] == ([0.72, 0.81], [0.7, 0.8]) and found["faster"] == ([0.71, 0.8], [0.7, 0.8])
    (diagonal,) = (xy for label, xy in found.items() if label.startswith("_"))
    assert diagonal[0] == diagonal[1] == list(ax.get_xlim())


def test_differences_are_in_the_order_of_the_excess(ax):
    assert figures.emulation_differences(ax, OFF, ENDS["Adam"]["excess (%)"]) is ax
    drawn = {label: y for label, (_, y) in lines(ax).items()}
    assert drawn["excess of Adam"] == [0.1, 0.5]
    assert drawn["$L_0$: emulation against Adam"] == [1, 3] and drawn["$L_1$: emulation against Adam"] == [-1, -3]


def test_the_front_figure_sets_losses_and_accuracies_side_by_side():
    accuracies = [frame.set_axis(["old tasks", "new task"], axis=1) + 50 for frame in (ALONG, ELSEWHERE)]
    figure = figures.front_figure(FRONT, (ALONG, ELSEWHERE), tuple(accuracies))
    shapes, losses, scores = figure.axes
    assert len(shapes.lines) == 2
    assert lines(losses)["DOP"] == ([6], [7]) and lines(scores)["DOP"] == ([56], [57])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(lines(losses))
    plt.close(figure)


def test_the_emulation_figure_takes_the_excess_of_the_published_setting():
    figure = figures.emulation_figure(EMULATED, ENDS, OFF)
    assert lines(figure.axes[0]).keys() >= {"Adam", "faster"}
    assert lines(figure.axes[1])["excess of Adam"][1] == [0.1, 0.5]
    plt.close(figure)
