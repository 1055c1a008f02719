"""Which of several choices matter: departures from the leads, what they gain, and what is said of it."""

import pandas as pd
import pytest

from cmmlib.analysis import departures, lead_gains, verdict

CHOICES = {"side": ["u", "v"], "ridge": [1e-3, 0.0, 1e-2], "others": ["sqrt", "mean"]}


def test_variants_depart_from_the_leads_in_one_choice_at_most():
    found = departures(CHOICES)
    assert found[0] == {"side": "u", "ridge": 1e-3, "others": "sqrt"}
    assert len(found) == 1 + 1 + 2 + 1
    assert {"side": "v", "ridge": 0.0, "others": "sqrt"} not in found


def test_choices_of_a_group_are_combined():
    found = departures(CHOICES, cross=[["side", "ridge"]])
    assert len(found) == 2 * 3 + 1
    assert {"side": "v", "ridge": 0.0, "others": "sqrt"} in found
    assert {"side": "v", "ridge": 1e-3, "others": "mean"} not in found
    assert len(departures(CHOICES, cross=[list(CHOICES)])) == 2 * 3 * 2


def test_gains_compare_runs_that_differ_in_one_choice_alone():
    choices = {"side": ["u", "v"], "others": ["sqrt", "mean"]}
    acc = {("u", "sqrt"): 80.0, ("v", "sqrt"): 78.0, ("u", "mean"): 79.0}
    rows = [(side, others, 8, 40, value) for (side, others), value in acc.items()]
    measured = pd.DataFrame(rows, columns=["side", "others", "num_tasks", "seed", "acc"])
    measured.loc[len(measured)] = [None, None, 8, 40, 10.0]  # a row without choices
    measured.loc[len(measured)] = ["v", "sqrt", 8, 41, 0.0]  # an order that the lead does not have
    found = lead_gains(measured, choices)
    assert found.values.tolist() == [["side", "u", "v", 8, 2.0], ["others", "sqrt", "mean", 8, 1.0]]


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ([0.6, 3.0], "holds"),
        ([-0.6, -3.0], "is refuted"),
        ([0.5, -0.5], "makes no difference"),
        ([0.6, 0.2], "depends on the number of tasks"),
        ([1.0, -1.0], "depends on the number of tasks"),
    ],
)
def test_the_verdict_needs_the_same_sign_beyond_the_margin_for_every_number_of_tasks(gains, said):
    assert verdict(pd.Series(gains), 0.5) == said
