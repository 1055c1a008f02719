"""The notebooks' full grid on the stand-in of the hub, three backbones, 8, 14 and 20 tasks, two orders."""

import subprocess
import sys

import nbformat
import pandas as pd
import pytest

from cmmlib.experiments.rows import DEFAULT_ROWS
from cmmlib.suites import published_table
from cmmlib.suites.clip.backbones import MODELS
from cmmlib.suites.clip.tasks import TASKS


@pytest.fixture(scope="module")
def grid(clip_hub, tmp_path_factory):
    """A finished run, its environment, and how to run it again."""
    folder = tmp_path_factory.mktemp("grid")

    def run(*more, **environment):
        command = [
            sys.executable,
            "-m",
            "cmmlib.cli",
            "reproduce",
            "--suite",
            "clip",
            "--orders",
            "2",
            "--out",
            "figures",
            *more,
        ]
        environment = clip_hub.environment | {"CMMLIB_CACHE": str(folder / "cache")} | environment
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    done = run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "figures" / "clip", done, run, clip_hub


def test_every_cell_of_the_grid_is_filled(grid):
    folder, done, *_ = grid
    for backbone in MODELS:
        table = pd.read_csv(folder / backbone.replace("/", "-") / "main_table.csv")
        assert sorted(set(table.num_tasks)) == [8, 14, 20]
        rows = table[~table.label.isin(["Pretrained", "Individual"])]
        assert len(rows) == 3 * len(DEFAULT_ROWS) and (rows.orders == 2).all()
        assert table.acc_mean.between(0, 100).all() and rows.bwt_mean.notna().all()
        assert f"clip, {backbone}" in done.stdout


def test_ours_stands_beside_the_papers_figures_and_blanks_stay_blank(grid):
    folder = grid[0]
    for backbone in MODELS:
        frame = pd.read_csv(folder / backbone.replace("/", "-") / "published.csv")
        known = published_table("clip", backbone)
        both = frame.merge(known, on=["num_tasks", "label", "metric"], how="left")
        assert both.published.equals(both.value) and both.published.notna().sum() == len(known)
        assert (frame.difference.dropna() == (frame.ours - frame.published).dropna()).all()
        assert frame[frame.label == "DOP"].published.isna().all() and frame[frame.label == "DOP"].ours.notna().all()


def test_the_revision_of_every_model_and_data_set_stands_beside_the_table(grid):
    folder = grid[0]
    for backbone, model in MODELS.items():
        sources = pd.read_csv(folder / backbone.replace("/", "-") / "sources.csv")
        towers = {f"tanganke/{model}_{task.name}" for task in TASKS}
        assert set(sources.id) == {f"openai/{model}"} | towers | {task.dataset for task in TASKS}
        assert sources.revision.str.fullmatch("[0-9a-f]{40}").all() and (sources.place == "hub").all()


def test_scores_come_from_full_size_code_paths_not_from_the_mini_suite(grid):
    folder = grid[0]
    for path in folder.rglob("*.csv"):
        assert "mini" not in path.read_text()
    notebook = nbformat.read(folder / "ViT-B-32" / "notebooks" / "02_main_table.ipynb", 4)
    text = "".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    assert (
        "OPCM" in text and "Warning" not in text and "there is no reference run to compare with" in text
    )  # least of all with the mini suite's


def test_again_without_network_it_ends_with_the_same_tables(grid):
    folder, _, run, hub = grid
    before = {path: path.read_bytes() for path in folder.rglob("*.csv")}
    asked = len(hub.server.requests)
    done = run(HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path: path.read_bytes() for path in folder.rglob("*.csv")} == before
    assert len(hub.server.requests) == asked


def test_an_estimate_is_printed_as_the_grid_runs(grid):
    _, done, *_ = grid
    assert " left" in done.stderr + done.stdout
