"""The rows of the family, and what is claimed of them."""

import numpy as np
import pytest

from cmmlib.experiments import family
from cmmlib.experiments.family import CHOICES, CLAIMS, JUDGED, MAIN, family_rows, final_accuracies
from cmmlib.experiments.store import Results
from cmmlib.methods import get_method

from ..helpers.golden_suite import SUITE, execute


def test_every_row_is_another_method_or_other_parameters():
    rows = family_rows(8, choices=True)
    assert len(rows) == len(MAIN) + len(CHOICES) + 1 and family_rows(8, False) == MAIN
    assert JUDGED.items() <= rows.items()
    assert rows["TSV-M (r/T)"] == ("tsv_m", {"share": 0.125})
    resolved = [(method, sorted(get_method(method).resolve(params).items())) for method, params in rows.values()]
    assert all(resolved.count(row) == 1 for row in resolved)


def test_claims_are_about_rows_that_exist_and_every_choice_has_one():
    labels = {label for claim in CLAIMS for label in (claim.row, claim.other)}
    rows = family_rows(8, choices=True)
    assert rows.keys() - MAIN.keys() <= labels <= rows.keys() and all(claim.low < claim.high for claim in CLAIMS)
    assert len({claim.text for claim in CLAIMS}) == len(CLAIMS)


def test_accuracies_are_those_of_the_final_models(tmp_path, monkeypatch):
    asked = []

    def run_grid(suite, backbone, runs, results, **how):
        asked.extend(step for run in runs for step in execute(run, results))

    monkeypatch.setattr(family, "run_grid", run_grid)
    rows = {"mean": ("weight_average", {}), "OPCM": ("opcm", {})}
    store = Results(tmp_path / "scores.sqlite")
    found = final_accuracies(SUITE, "tiny", rows, [2, 4], [40, 41], store)
    assert len(found) == 8 and set(map(len, asked)) == {2, 4}  # no step but the last is scored
    means = found[found["label"] == "mean"].groupby("num_tasks")["acc"]
    np.testing.assert_array_equal(means.std(), 0)  # weight averaging does not depend on the order
    known = store.frame()
    first = known[(known["method"] == "weight_average") & (known["sequence"].str.count(",") == 3)]
    assert means.mean()[4] == pytest.approx(first["accuracy"].mean())
