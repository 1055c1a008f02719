"""The notebooks' full grid on the stand-in of the hub, three backbones, 8, 14 and 20 tasks, one order, few images."""

import json
import re
import subprocess
import sys

import nbformat
import pandas as pd
import pytest

from cmmlib.experiments.rows import DEFAULT_ROWS
from cmmlib.paths import notebooks_dir
from cmmlib.suites import published_table
from cmmlib.suites.clip.backbones import MODELS
from cmmlib.suites.clip.tasks import TASKS


@pytest.fixture(scope="module")
def grid(clip_hub, tmp_path_factory):
    """A finished run, its environment, and how to run it again."""
    folder = tmp_path_factory.mktemp("grid")

    def run(*more, **environment):
        reproduce = ["reproduce", "--suite", "clip", "--out", "figures", *(more or ("--orders", "1", "--limit", "24"))]
        environment = clip_hub.environment | {"CMMLIB_CACHE": str(folder / "cache")} | environment
        command = [sys.executable, "-m", "cmmlib.cli", *reproduce]
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
        assert len(rows) == 3 * len(DEFAULT_ROWS) and (rows.orders == 1).all()
        assert table.acc_mean.between(0, 100).all() and rows.bwt_mean.notna().all()
        assert f"clip, {backbone}" in done.stdout


@pytest.fixture(scope="module")
def whole(grid):
    """The first eight test sets with all their images, one cheap row and one order; the folder of its results."""
    folder, _, _, hub = grid
    out = folder.parent / "whole"
    parameters = {"suite": "clip", "backbone": "ViT-B/32", "num_tasks": [8], "seeds": [40], "methods": ["Weight average"]}
    command = [sys.executable, "-m", "papermill", notebooks_dir() / "02_main_table.ipynb", folder.parent / "whole.ipynb"]
    command += ["-y", json.dumps({**parameters, "adam_seeds": [], "out": str(out)})]
    environment = hub.environment | {"CMMLIB_CACHE": str(folder.parents[1] / "cache")}
    done = subprocess.run(command, cwd=folder.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def test_ours_stands_beside_the_papers_figures_and_blanks_stay_blank(whole):
    frame = pd.read_csv(whole / "published.csv")
    known = published_table("clip", "ViT-B/32").query("num_tasks == 8")
    both = frame.merge(known, on=["num_tasks", "label", "metric"], how="left", suffixes=("", "_known"))
    assert both.published.equals(both.value) and both.published.notna().sum() == len(known)
    assert (frame.difference.dropna() == (frame.ours - frame.published).dropna()).all()
    assert frame[frame.label == "DOP"].published.isna().all()
    assert frame[(frame.label == "Weight average") & (frame.num_tasks == 8)].difference.notna().all()


def test_a_limit_stands_beside_no_papers_figures(grid):
    folder, done, *_ = grid
    assert not list(folder.rglob("published.csv"))
    assert "Not the protocol: the tasks on at most 24 inputs each." in done.stdout
    for backbone in MODELS:
        assert "Not the protocol" in (folder / backbone.replace("/", "-") / "main_table.md").read_text()


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
        "OPCM" in text and "Warning" not in text and "there is no reference run of these models to compare with" in text
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


def test_a_quick_run_is_a_small_subset_and_says_what_it_fetches(grid):
    folder, _, run, hub = grid
    asked = len(hub.server.requests)
    done = run("--quick")
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines if line.endswith(" ok")][5:] == [
        *("tanganke/eurosat", "tanganke/gtsrb", "ylecun/mnist", "tanganke/dtd")
    ]
    assert any(line.startswith("ready: 9 repositories are as expected, ") for line in lines)
    assert "Not the protocol: the tasks eurosat, gtsrb, mnist, dtd on at most 200 inputs each." in done.stdout
    table = pd.read_csv(folder.parent / "clip-quick" / "ViT-B-32" / "main_table.csv")
    assert {"Weight average", "OPCM"} < set(table.label) and set(table.num_tasks) == {4}
    fetched = {line for line in hub.server.requests[asked:] if "/resolve/" in line and "GET" in line}
    assert not [line for line in fetched if re.search("sun397|cars|resisc45|svhn|patch16", line)]
    before = len(hub.server.requests)
    again = run("--quick", HF_HUB_OFFLINE="1")  # with all scores known nothing is looked at
    assert again.returncode == 0 and "ready:" not in again.stdout and len(hub.server.requests) == before
