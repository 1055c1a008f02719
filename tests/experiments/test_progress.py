"""The grid's progress bar."""

import pytest

from cmmlib.experiments.progress import Progress
from cmmlib.experiments.time_left import SCORING, Pace


def test_what_is_done_is_taken_off_what_is_left_and_teaches_the_pace():
    pace = Pace()
    with Progress("mini", {SCORING: 300, "OPCM": 2}, pace, jobs=2) as progress:
        progress.done(SCORING, 100, 1.0)
        progress.done("OPCM", 1, 4.0)
        assert progress.left == {SCORING: 200, "OPCM": 1} and progress.bar.n == 100
        assert pace.estimate(progress.left, 2) == (3.0, [])
        progress.done(SCORING, 500, 1.0)  # more than was thought: another process may have been scoring too
        assert progress.left[SCORING] == 0 and progress.bar.n == 300


def test_the_bar_is_full_at_the_end_and_not_after_an_error(capsys):
    with Progress("whole", {SCORING: 300}, Pace(), jobs=1) as progress:
        progress.done(SCORING, 100, 1.0)
    assert progress.bar.n == 300
    with pytest.raises(KeyboardInterrupt), Progress("cut", {SCORING: 300}, Pace(), jobs=1) as progress:
        progress.done(SCORING, 100, 1.0)
        raise KeyboardInterrupt
    assert progress.bar.n == 100
    assert "300/300 classified" in capsys.readouterr().err
