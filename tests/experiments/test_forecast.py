"""`cmm reproduce --dry-run`: what would be done, told by the store and the plan of the notebooks themselves."""

import nbformat
import pytest

from cmmlib.cli import main
from cmmlib.experiments import forecast as module
from cmmlib.experiments.forecast import forecast, planned_runs
from cmmlib.experiments.grid import work_left
from cmmlib.experiments.reproduce import planned_notebooks
from cmmlib.experiments.store import Results
from cmmlib.paths import results_path
from cmmlib.suites.text.build import zoo
from cmmlib.suites.text.suite import zoo_dir

from ..helpers.own_method import write_fading
from ..suites.text.conftest import TASKS, tiny  # noqa: F401


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / "cache"))


def test_a_dry_run_says_what_would_run_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_fading(tmp_path)
    chosen = ["--methods", "opcm", "my_methods.py:fading", "--tasks", "3", "--seeds", "40", "41", "--out", "here"]
    assert main(["reproduce", "--dry-run", "--quick", "--limit", "5", *chosen]) == 0
    said = capsys.readouterr().out
    assert "02_main_table: 4 sequences, 0 done already; rows OPCM, fading\n" in said
    # three models each; the first is the individual model: 4 · (1 + 3) scores, less the first ones, which are shared
    assert "to do: 4 sequences, 8 models to merge" in said and "about " in said and "not timed" not in said
    assert f"written: {tmp_path}/here/mini-quick/ViT-mini-12/ (new), scores in {tmp_path}/cache/results/mini.sqlite" in said
    assert "fetched: nothing" in said and not (tmp_path / "here").exists()


def test_what_is_done_already_is_not_to_do(tmp_path):
    (planned,) = planned_notebooks(
        quick=True, methods=["weight_average"], tasks=[2], orders=1, out=tmp_path, suite_options={"limit": 5}
    )
    runs = planned_runs(planned)
    assert [(run.label, run.num_tasks, run.seed, run.every_step) for run in runs] == [("Weight average", 2, 40, False)]
    from cmmlib.experiments.grid import run_grid

    run_grid(planned.suite, planned.backbone, runs, Results(results_path("mini")), jobs=1, device="cpu")
    said = forecast([planned])
    assert "1 sequences, 1 done already" in said and "to do: nothing but tables and figures" in said


def test_the_forecast_plans_as_the_notebooks_do(tmp_path, monkeypatch):
    """The notebooks' own cells that plan, executed with what is injected."""
    for planned in planned_notebooks(everything=True, methods=["opcm", "dop"], tasks=[8, 14], out=tmp_path, backbones=()):
        if planned.source.stem not in module.GRIDS or planned.backbone != "ViT-mini/12":
            continue
        cells = [cell.source for cell in nbformat.read(planned.source, 4).cells if cell.cell_type == "code"]
        values: dict = {}
        exec(cells[0], values)
        values |= planned.parameters
        exec(cells[1], values)
        assert sorted(map(str, values["runs"])) == sorted(map(str, planned_runs(planned)))
        assert len(work_left(planned.suite, planned.backbone, values["runs"], Results(tmp_path / "none.sqlite"))[0]) > 0


def test_of_the_clip_suite_nothing_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # where nobody answers
    said = forecast(planned_notebooks("clip", orders=1, backbones=["ViT-B/32"], out=tmp_path))
    assert "so there is no estimate" in said and "fetched: 21 models and 20 data sets, of which 0" in said


def test_texts_that_lie_on_this_machine_are_timed_too(tmp_path, tiny):  # noqa: F811
    zoo.build(zoo_dir(), "MiniLM-L6", TASKS)
    chosen = {"methods": ["weight_average"], "tasks": [2], "orders": 1, "backbones": ["MiniLM-L6"]}
    said = forecast(planned_notebooks("text", quick=True, out=tmp_path, **chosen))
    # of both tasks: the first model alone, and both merged
    assert "to do: 1 sequences, 1 models to merge, 36 classifications" in said
    assert "; about " in said and "not timed" not in said and "fetched: nothing" in said
