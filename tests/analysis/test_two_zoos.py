"""Means, ranks and verdicts of two zoos."""

import pandas as pd
import pytest

from cmmlib.analysis.two_zoos import (
    geometry_of,
    means_on_both,
    rank_correlations,
    renumbered,
    side_by_side,
    verdict_counts,
)


def runs(**accuracies):
    rows = [(label, number, seed, acc) for label, by in accuracies.items() for number, accs in by.items()
            for seed, acc in enumerate(accs, 40)]  # fmt: skip
    return pd.DataFrame(rows, columns=["label", "num_tasks", "seed", "acc"])


FIRST = runs(OPCM={8: (70, 72), 20: (60, 62)}, TIES={8: (60, 60), 20: (50, 50)}, DOP={8: (80, 82)})
SECOND = runs(OPCM={8: (71, 75), 20: (45, 45)}, TIES={8: (62, 62), 20: (50, 50)}, DOP={8: (90, 90)})


def test_the_table_has_both_means_and_the_change():
    table = means_on_both(FIRST, SECOND).set_index(["label", "num_tasks"])
    assert table.loc[("OPCM", 8), ["acc", "orders", "acc_second", "change"]].tolist() == [71, 2, 73, 2]
    assert table.loc[("OPCM", 8), ["std", "std_second"]].tolist() == [round(2**0.5, 6), round(8**0.5, 6)]
    assert table.loc[("OPCM", 20), "change"] == -16


def test_methods_that_rank_alike_correlate_wholly_and_two_that_swap_not():
    assert rank_correlations(means_on_both(FIRST, SECOND)).round(9).to_dict() == {8: 1, 20: -1}


def test_side_by_side_has_a_row_per_method_in_the_order_of_the_runs():
    wide = side_by_side(means_on_both(FIRST, SECOND))
    assert wide.index.tolist() == ["OPCM", "TIES", "DOP"]
    assert wide.columns.tolist() == [(number, name) for number in (8, 20) for name in ("acc", "acc_second", "change")]
    assert wide.loc["OPCM", 20].tolist() == [61, 45, -16] and wide.loc["DOP", 20].isna().all()


def test_every_verdict_is_counted_even_if_there_is_none():
    pairs = pd.DataFrame({"num_tasks": [8, 8, 8, 20], "verdict": ["holds", "holds", "open", "reverses"]})
    counts = verdict_counts(pairs)
    assert counts.columns.tolist() == ["holds", "undecided", "reverses", "open"]
    assert counts.loc[8].tolist() == [2, 0, 0, 1] and counts.loc[20].tolist() == [0, 0, 1, 0]


def test_runs_of_a_smaller_suite_take_the_numbers_of_a_larger_one():
    few = runs(OPCM={4: (70, 72), 10: (60,)})
    assert renumbered(few, {4: 8})["num_tasks"].tolist() == [8, 8]
    assert means_on_both(FIRST, renumbered(few, {4: 8, 10: 20}))["acc_second"].tolist() == [71, 60]


def test_geometry_leaves_the_diagonal_out_and_takes_ranks_as_shares():
    cosines = pd.DataFrame([[1, 0.2, -0.1], [0.2, 1, 0.5], [-0.1, 0.5, 1]])
    ranks = {"full_rank": [10, 20, 20], "effective_rank": [5, 5, 0], "opcm_rank": [1, 4, 1], "rank_90": [9, 10, 1]}
    layers = pd.DataFrame({"norm": [1.0, 2.0, 0.0], **ranks})  # the third was left alone
    found = geometry_of(cosines, layers)
    assert found["mean cosine"] == pytest.approx(0.2) and (found["smallest"], found["largest"]) == (-0.1, 0.5)
    assert found[3:].tolist() == pytest.approx([0.375, 0.15, 0.7])
