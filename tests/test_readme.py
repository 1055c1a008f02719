"""What the README promises: its examples print what stands below them, and its method joins the grid."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import cmmlib
from cmmlib.experiments.identity import identity
from cmmlib.experiments.runs import Run, plan
from cmmlib.experiments.sequence import run_sequence
from cmmlib.experiments.store import Results

from .helpers.golden_suite import GOLDEN, SUITE, Scorer
from .helpers.readmes import Block, blocks

ROOT = Path(__file__).parent.parent
README_PATH = ROOT / "README.md"
README = README_PATH.read_text()


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


def test_the_examples_print_what_stands_below_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "readme"}
    compared = 0
    for number, (block, following) in enumerate(pairwise([*blocks(README_PATH), Block("", "")])):
        if block.language != "python":
            continue
        source = tmp_path / f"example_{number}.py"
        source.write_text(block.text)
        exec(compile(block.text, str(source), "exec"), namespace)
        printed = capsys.readouterr().out
        if following.language == "text":
            assert [line.rstrip() for line in printed.splitlines()] == [
                line.rstrip() for line in following.text.splitlines()
            ]
            compared += 1
    assert compared >= 1
    from transformers import CLIPVisionModel

    _, info = CLIPVisionModel.from_pretrained(tmp_path / "merged", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]


def test_every_method_and_hyper_parameter_is_in_the_readmes():
    rows = {line.split("`")[1] for line in README.splitlines() if line.startswith("| `")}
    methods = (ROOT / "cmmlib" / "methods" / "README.md").read_text()
    for name in (name for name in cmmlib.method_names() if cmmlib.get_method(name).step.__module__.startswith("cmmlib.")):
        assert name in rows
        for parameter in cmmlib.get_method(name).defaults:
            assert f"`{parameter}`" in methods, f"{name}: {parameter}"
