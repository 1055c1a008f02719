"""The text suite's whole way through the notebooks, with a tiny random encoder."""

from __future__ import annotations

import nbformat
import pandas as pd
import pytest

from cmmlib.experiments.reproduce import reproduce, run_notebook
from cmmlib.paths import notebooks_dir

from ..helpers.text_zoo import write_text_zoo


@pytest.mark.filterwarnings("ignore")
def test_texts_go_through_the_notebooks_and_are_set_beside_the_mini_suite(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / "cache"))
    write_text_zoo(tmp_path / "cache" / "text-zoo")
    reproduce("text", methods=["Weight average", "OPCM", "WUDI"], tasks=[4, 7], orders=2, jobs=1, out=tmp_path / "figures")
    assert "not built: MiniLM-L6-LoRA (python -m cmmlib.suites.text.build --backbone" in capsys.readouterr().out
    run = tmp_path / "figures" / "text" / "MiniLM-L6"
    runs = pd.read_csv(run / "runs.csv")
    assert runs.groupby(["num_tasks", "label"]).size().tolist() == [2] * 6
    for name, what in {"02_main_table": "run", "03_accuracy_curves": "run", "06_geometry": "rows"}.items():
        last = nbformat.read(run / "notebooks" / f"{name}.ipynb", 4).cells[-1].outputs[0].text
        assert "no reference run of these models" in last or last.startswith(f"0 {what}"), last

    beside = tmp_path / "13.ipynb"
    run_notebook(
        notebooks_dir() / "13_real_weights.ipynb",
        beside,
        {"text_results": str(run.parent), "counterparts": {"4": 8, "7": 14}, "out": str(tmp_path / "beside")},
    )
    pairs = pd.read_csv(tmp_path / "beside" / "real_weights_pairs.csv")
    assert {*pairs["num_tasks"]} == {8, 14} and {*pairs["better"], *pairs["worse"]} == {"Weight average", "OPCM", "WUDI"}


def test_results_that_are_not_there_are_named(tmp_path):
    source, target = notebooks_dir() / "13_real_weights.ipynb", tmp_path / "13.ipynb"
    with pytest.raises(ValueError, match=r"FileNotFoundError: no runs.csv in .*nowhere.*make reproduce SUITE=text"):
        run_notebook(source, target, {"text_results": str(tmp_path / "nowhere"), "out": str(tmp_path)})
