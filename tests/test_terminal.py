"""Commands on terminals, pipes and disks that do not take what they print."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cmmlib.terminal import CLOSED_PIPE, INTERRUPTED

PRINTS = "import sys; from cmmlib.terminal import run_command; sys.exit(run_command('tool', lambda: print('‖τ‖')))"


def run(shell: str, *, script: str = PRINTS, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """What bash makes of a line in which ``tool`` stands for the script."""
    line = f'tool() {{ "{sys.executable}" -c "$SCRIPT"; }}; {shell}'
    settings = os.environ | {"SCRIPT": script} | environment
    return subprocess.run(["bash", "-c", line], capture_output=True, timeout=60, env=settings)


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "???"), ("iso-8859-1", "???"), ("utf-8", "‖τ‖")])
def test_what_the_encoding_lacks_is_replaced(encoding: str, shown: str):
    done = run("tool", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stdout.decode(encoding).strip(), done.stderr) == (0, shown, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_gone_ends_a_command_quietly(unbuffered: str):
    done = run("{ sleep 0.1; tool; echo $? >&2; } | true", PYTHONUNBUFFERED=unbuffered)
    assert done.stderr.decode() == f"{CLOSED_PIPE}\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_the_output_is_one_line(unbuffered: str):
    done = run("tool > /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr.decode()) == (4, "tool: [Errno 28] No space left on device\n")


def test_an_exit_code_and_an_error_of_the_command_itself_arrive():
    assert run("tool", script=PRINTS.replace("print('‖τ‖')", "7")).returncode == 7
    done = run("tool", script=PRINTS.replace("print('‖τ‖')", "1 / 0"))
    assert done.returncode == 1 and b"ZeroDivisionError" in done.stderr


def test_closed_streams_are_no_error():
    assert run("tool >&- 2>&-").returncode == 0


def test_an_interruption_is_one_line_that_says_what_is_kept():
    # a job in the background is started with SIGINT ignored
    heeds = "import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    script = PRINTS.replace("import sys", heeds).replace("print('‖τ‖')", "os.kill(os.getpid(), 2), kept='run it again'")
    done = run("tool", script=script)
    assert (done.returncode, done.stderr.decode()) == (INTERRUPTED, "\ntool: interrupted; run it again\n")
