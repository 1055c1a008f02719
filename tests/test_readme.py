"""What the README promises: its method in ten lines, its table of parameters, its links."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import cmmlib
from cmmlib.experiments.protocol import Run, identity, plan, run_sequence
from cmmlib.experiments.store import Results

from .experiments.test_protocol import GOLDEN, SUITE, Scorer

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


@pytest.fixture
def fading_average(tmp_path, monkeypatch):
    """The README's example, in a module of its own."""
    (block,) = [code for code in re.findall(r"```python\n(.*?)```", README, re.S) if "@cmmlib.method" in code]
    body = block[block.index("@cmmlib") :]
    assert len(body.strip().splitlines()) <= 10
    (tmp_path / "my_methods.py").write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    return __import__("my_methods").fading_average


def test_the_readme_method_merges_and_joins_the_grid(fading_average, tmp_path):
    base = load_file(GOLDEN / "base.safetensors")
    tasks = [load_file(GOLDEN / f"task{number}.safetensors") for number in range(3)]
    merged = cmmlib.merge(GOLDEN / "base.safetensors", tasks, method="fading_average", fade=0.25)
    for name, tensor in merged.items():
        expected = 0.75 * (0.75 * tasks[0][name] + 0.25 * tasks[1][name]) + 0.25 * tasks[2][name]
        torch.testing.assert_close(tensor, expected, rtol=1e-5, atol=1e-7)
        assert tensor.dtype == base[name].dtype
    (run,) = plan({"Fading": ("fading_average", {"fade": 0.3})}, 3, [40])
    store, scorer = Results(tmp_path / "scores.sqlite"), Scorer()
    run_sequence(SUITE, "tiny", run, store, scorer)
    assert len(store.get(identity(SUITE, "tiny", run, 3))) == 3
    assert identity(SUITE, "tiny", Run("x", "fading_average", 3, 40, {"fade": 0.4}), 3) != identity(SUITE, "tiny", run, 3)


def test_every_method_and_hyper_parameter_is_in_the_readme():
    rows = {line.split("`")[1]: line for line in README.splitlines() if line.startswith("| `")}
    for name in ("weight_average", "task_arithmetic", "ties", "magmax", "opcm", "dop"):
        for parameter in cmmlib.get_method(name).defaults:
            assert f"`{parameter}`" in rows[name], f"{name}: {parameter}"


def test_links_to_files_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []
