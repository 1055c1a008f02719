"""The command itself: at once there, and how it is called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cmmlib.cli import main
from cmmlib.cli.main import COMMANDS

GOLDEN = Path(__file__).parents[1] / "golden"


def loaded_after(script):
    """Which heavy packages a fresh interpreter has imported after ``script``."""
    end = "; import sys; print([m for m in ('torch', 'numpy', 'pandas', 'tqdm') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script + end], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[-1]


def test_help_is_there_at_once():
    """Under 0.3 s where the machine has a core to spare: the best of five, by the processor's clock."""
    seconds = []
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, "-m", "cmmlib.cli", "--help"], check=True, capture_output=True)
        after = os.times()
        seconds.append(after.children_user - before.children_user + after.children_system - before.children_system)
    assert min(seconds) < 0.3


def test_nothing_heavy_is_imported_for_help_nor_for_a_status(tmp_path):
    call = "from cmmlib.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    assert loaded_after(call + "pass") == "[]"
    state = str(tmp_path / "state")
    assert main(["start", state, "--base", str(GOLDEN / "base.safetensors")]) == 0
    assert loaded_after(f"from cmmlib.cli import main\nassert main(['status', {state!r}]) == 0") == "[]"


@pytest.mark.parametrize(
    "command, options",
    [("reproduce", ["--jobs N", "--ray [ADDRESS]"]), ("add", ["--actors N", "--ray ADDRESS"]), ("merge", ["--actors N"])],
)
def test_help_names_what_runs_on_ray(capsys, command, options):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = capsys.readouterr().out
    assert all(option in said for option in options)


def test_every_command_says_what_its_exit_codes_mean(capsys):
    for command in ("start", "add", "status", "export", "merge", "reproduce", "report", "check"):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0 and "exit codes:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ["reproduce", "--quick", "--methods", "a b"],
            "every score so far is kept; go on with: cmm reproduce --quick --methods 'a b'",
        ),
        (["status", "state"], "nothing was changed; try again with: cmm status state"),
    ],
)
def test_an_interrupted_command_says_how_to_go_on(command, said, monkeypatch, capsys):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, command[0], interrupt)
    assert main(command) == 130
    assert said in capsys.readouterr().err
