"""The notebooks as files: parameters, saved outputs; and that a wrong number makes them fail."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import safetensors.numpy

from cmmlib import task_order
from cmmlib.suites import load_suite

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_saved_with_every_output(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "not run top to bottom, once"
    tags = [cell.metadata.get("tags", []) for cell in code]
    assert tags[0] == ["parameters"] and sum("parameters" in t for t in tags) == 1
    for cell in code[1:]:
        assert cell.outputs, f"no saved output:\n{cell.source}"
        assert not any(output.output_type == "error" for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_checks_numbers_in_an_assertion_cell(path):
    notebook = nbformat.read(path, as_version=4)
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]
    assert "assert" in last.source and "nbval-ignore-output" not in last.metadata.get("tags", [])


def nbval(clone, notebook):
    """Exit code and output of the reproducibility check of one notebook in a copy of this repository."""
    environment = os.environ | {"PYTHONPATH": str(clone), "CMMLIB_CACHE": str(clone / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"notebooks/{notebook}.ipynb"], cwd=clone, env=environment, capture_output=True, text=True
    )
    return done.returncode, done.stdout


@pytest.fixture
def clone(tmp_path):
    for part in ("cmmlib", "notebooks", "figures/reference", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / part, tmp_path / part)
    return tmp_path


def test_a_perturbed_checkpoint_turns_the_check_red(clone):
    order = task_order(load_suite("mini").task_names(8), 40)
    path = clone / "cmmlib/suites/mini/zoo/ViT-mini-12/deltas" / f"{order[-1]}.safetensors"
    tensors = safetensors.numpy.load_file(path)
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "i":
            tensors[name] = -tensor  # the last model arrives with its task vector turned round
    safetensors.numpy.save_file(tensors, path)
    code, output = nbval(clone, "01_merge_sequence")
    assert code == 1 and "AssertionError" in output, output[-2000:]


def test_a_perturbed_reference_figure_turns_the_check_red(clone):
    path = clone / "figures/reference/mini/ViT-mini-12/runs.csv"
    runs = pd.read_csv(path)
    runs.loc[(runs["label"] == "OPCM") & (runs["num_tasks"] == 8) & (runs["seed"] == 40), "acc"] += 1.5
    runs.to_csv(path, index=False)
    code, output = nbval(clone, "01_merge_sequence")
    assert code == 1 and "AssertionError" in output, output[-2000:]
