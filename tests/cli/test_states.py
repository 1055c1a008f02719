"""``cmm start, add, status, export, merge`` as a user and as a script call them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cmmlib import ContinualMerger, merge
from cmmlib.cli import main
from cmmlib.merging.state_folder import StateFolder
from cmmlib.models import hub

GOLDEN = Path(__file__).parents[1] / "golden"
BASE, TASKS = str(GOLDEN / "base.safetensors"), [str(GOLDEN / f"task{i}.safetensors") for i in range(4)]


@pytest.fixture
def state(tmp_path: Path) -> str:
    path = str(tmp_path / "state")
    assert main(["start", path, "--base", BASE, "--method", "opcm", "--set", "alpha=0.4"]) == 0
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_whole_way(state: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["add", state, TASKS[0]]) == 0
    assert main(["add", state, TASKS[1], "--name", "cars"]) == 0
    capsys.readouterr()
    assert main(["status", state]) == 0
    table = capsys.readouterr().out
    assert "opcm(alpha=0.4, zero_diagonal=true), float32" in table and "cars" in table and "task0" in table
    assert main(["export", state, str(tmp_path / "out")]) == 0
    merged = load_file(tmp_path / "out" / "model.safetensors")
    expected = merge(BASE, TASKS[:2], method="opcm", alpha=0.4)
    assert merged.keys() == expected.keys() and all(torch.equal(merged[key], expected[key]) for key in merged)


def test_merge_is_start_add_export(tmp_path: Path, capsys: pytest.CaptureFixture):
    out = tmp_path / "out"
    arguments = ["merge", "--base", BASE, "--method", "ties", "--set", "scaling_factor=0.5", "--set", "merge_func=max"]
    assert main([*arguments, "--out", str(out), "--dtype", "float16", "--json", *TASKS[:3]]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == 3
    merged = load_file(out / "model.safetensors")
    merger = ContinualMerger(BASE, "ties", scaling_factor=0.5, merge_func="max")
    for task in TASKS[:3]:
        merger.add(task)
    expected = merger.merged(torch.float16)
    assert all(torch.equal(merged[key], expected[key]) for key in expected)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_json_is_for_scripts(state: str, capsys: pytest.CaptureFixture):
    capsys.readouterr()
    assert main(["add", state, TASKS[0], "--json"]) == 0
    added = json.loads(capsys.readouterr().out)
    assert added["number"] == 1 and added["name"] == "task0" and added["warnings"] == []
    assert main(["status", state, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["parameters"]["alpha"] == 0.4 and status["models"][0]["hash"] == added["hash"]
    assert main(["add", state, TASKS[0], "--json"]) == 2
    refused = json.loads(capsys.readouterr().out)
    assert refused["code"] == 2 and "has been merged before" in refused["error"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["start", "{}/new", "--base", "nosuch"], "nosuch: no such file or folder"),
        (["start", "{}/new", "--base", BASE, "--method", "opmc"], "unknown method 'opmc'"),
        (["start", "{}/new", "--base", BASE, "--set", "alhpa=1"], "no parameter 'alhpa'"),
        (["start", "{}/new", "--base", BASE, "--set", "linear=1"], "no parameter 'linear'"),
        (["start", "{}/new", "--base", BASE, "--set", "alpha"], "expected PARAMETER=VALUE"),
        (["start", "{}/new", "--base", BASE, "--set", "alpha=2"], "expected a value in [0, 1]"),
        (["start", "{}/new", "--base", BASE, "--compute-dtype", "int8"], "unknown dtype 'int8'"),
        (["start", "{}/state", "--base", BASE], "exists and is not empty"),
        (["add", "{}/new", TASKS[0]], "holds no state (no state.json); begin one with `cmm start`"),
        (["add", "{}/state", "{}/nosuch"], "nosuch: no such file or folder"),
        (["add", "{}/state", BASE], "equals the base"),
        (["add", "{}/state", TASKS[0], "--base", TASKS[1]], "is not the base that this state was started from"),
        (["status", "{}/new"], "holds no state"),
        (["export", "{}/state", "{}/out"], "nothing to export"),
        (["export", "{}/state", "{}/state"], "exists and is not empty"),
        (["merge", "--base", BASE, "--out", "{}/state", TASKS[0]], "exists and is not empty"),
        (["merge", "--base", BASE, "--out", "{}/out", TASKS[0], TASKS[0]], "has been merged before"),
        (["merge", "--base", BASE, "--out", "{}/out", "--whole", TASKS[0]], "is not a whole CLIP model"),
    ],
)
def test_refusals_say_why_exit_with_2_and_change_nothing(
    arguments: list[str], message: str, state: str, tmp_path: Path, capsys: pytest.CaptureFixture
):
    before = contents(tmp_path)
    capsys.readouterr()
    assert main([argument.replace("{}", str(tmp_path)) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("cmm: ")
    assert contents(tmp_path) == before and [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_state_in_use_exits_with_3_and_a_failing_system_with_4(
    state: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    with StateFolder(state).locked():  # another file description: the same as another process
        assert main(["add", state, TASKS[0]]) == 3
    assert "is in use by another process; try again" in capsys.readouterr().err
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
    assert main(["add", state, TASKS[0]]) == 4
    assert "no disk space" in capsys.readouterr().err


def test_an_interruption_exits_with_130_and_changes_nothing(state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("cmmlib.models.safetensors_writer.Writer.close", interrupt)
        assert main(["add", state, TASKS[0]]) == 130
    assert contents(tmp_path) == before
    assert main(["add", state, TASKS[0]]) == 0


def test_a_warning_reaches_both_kinds_of_reader(state: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    torch.manual_seed(0)
    torch.save({key: x + torch.randn_like(x) for key, x in load_file(BASE).items()}, tmp_path / "far.bin")
    capsys.readouterr()
    assert main(["add", state, str(tmp_path / "far.bin"), "--json"]) == 0
    captured = capsys.readouterr()
    assert "cmm: warning: " in captured.err and "ratio" in json.loads(captured.out)["warnings"][0]


def test_a_hub_ids_commit_is_recorded_and_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked, commit = [], "0123456789abcdef0123456789abcdef01234567"
    (tmp_path / commit).mkdir()
    (tmp_path / commit / "model.safetensors").write_bytes(Path(BASE).read_bytes())

    def fetch(model: str, revision: str | None = None) -> Path:
        asked.append((model, revision))
        return tmp_path / commit

    monkeypatch.setattr(hub, "fetch", fetch)
    path = str(tmp_path / "state")
    assert main(["start", path, "--base", "lab/base", "--revision", "v1", "--method", "magmax"]) == 0
    assert main(["add", path, TASKS[0]]) == 0
    base = json.loads((tmp_path / "state" / "state.json").read_text())["base"]
    assert (base["source"], base["revision"]) == ("lab/base", commit)
    assert asked == [("lab/base", "v1"), ("lab/base", commit)]


def test_progress_goes_to_a_terminals_error_stream(
    state: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    capsys.readouterr()
    assert main(["add", state, TASKS[0]]) == 0
    captured = capsys.readouterr()
    assert "merging" in captured.err and "merging:" not in captured.out


def test_status_shows_what_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture):
    tower = {"vision_model.pre_layrnorm.weight": torch.ones(2), "vision_model.fc.weight": torch.eye(2)}
    save_file(tower, tmp_path / "base.safetensors")
    for number in (2, 3):
        rest = {"text_model.encoder.layers.0.mlp.fc1.weight": torch.eye(2), "logit_scale": torch.tensor(1.0)}
        whole = {**tower, **rest, "vision_model.fc.weight": number * torch.eye(2)}
        save_file(whole, tmp_path / f"whole{number}.safetensors")
    state, models = str(tmp_path / "state"), [str(tmp_path / f"whole{number}.safetensors") for number in (2, 3)]
    assert main(["start", state, "--base", str(tmp_path / "base.safetensors"), "--method", "weight_average"]) == 0
    assert [main(["add", state, model]) for model in models] == [0, 0]
    capsys.readouterr()
    sentence = "of a whole CLIP model only the vision tower is merged; 2 other tensors are left out"
    assert main(["status", state]) == 0
    said = capsys.readouterr().out
    assert "4 tensors of the models left out" in said
    assert said.endswith(f"beside the weights that are merged\n  1, 2: {sentence}\n")
    assert main(["status", state, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["models"]
    assert [(model["left_out"], model["aside"]) for model in found] == [(2, [sentence])] * 2
    merge_all = ["merge", "--base", str(tmp_path / "base.safetensors"), "--method", "weight_average", "--json"]
    assert main([*merge_all, "--out", str(tmp_path / "out"), *models]) == 0
    assert json.loads(capsys.readouterr().out)["merged"][1]["aside"] == [sentence]
    # a state of an older version does not say
    file = Path(state) / "state.json"
    record = json.loads(file.read_text())
    for model in record["models"]:
        del model["aside"], model["left_out"]
    file.write_text(json.dumps(record))
    assert main(["status", state]) == 0 and "beside the weights" not in capsys.readouterr().out
