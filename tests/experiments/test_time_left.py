"""The estimate of the time that is left."""

from collections import Counter

import pytest

from cmmlib.experiments.time_left import SCORING, Pace, duration


def test_what_is_left_costs_what_it_cost_before():
    pace = Pace()
    pace.learn(SCORING, 1000, 2.0)
    pace.learn(SCORING, 3000, 6.0)
    pace.learn("OPCM", 2, 10.0)
    assert pace.estimate({SCORING: 5000, "OPCM": 4}, workers=2) == (15.0, [])


def test_a_row_that_has_not_been_timed_is_named():
    pace = Pace(Counter({SCORING: 10}), Counter({SCORING: 1.0}))
    seconds, unknown = pace.estimate({SCORING: 20, "DOP": 3, "OPCM": 0}, workers=1)
    assert (seconds, unknown) == (2.0, ["DOP"])
    assert pace.describe({SCORING: 600, "DOP": 3}, 1) == "about 60 s left, and DOP not timed yet"
    assert pace.describe({SCORING: 600, "A": 1, "B": 1, "C": 1}, 1) == "about 60 s left, and 3 rows not timed yet"


@pytest.mark.parametrize(
    "seconds, text",
    [(0.2, "1 s"), (99, "99 s"), (100, "2 min"), (3599, "1 h 0 min"), (12000, "3 h 20 min"), (187200, "2 d 4 h")],
)
def test_durations_read_as_people_say_them(seconds, text):
    assert duration(seconds) == text
