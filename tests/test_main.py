"""How the command's process begins and ends, whatever its streams and signals are like."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from heatstream import __main__ as entry

REPOSITORY = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
COMMAND = [sys.executable, "-m", "heatstream", "models"]
POSIX = pytest.mark.skipif(os.name != "posix", reason="pipes and devices of this kind exist on POSIX systems alone")


@POSIX
def test_a_closed_pipe_is_one_line_and_exit_code_2() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(COMMAND, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY, check=False)
    os.close(writing)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "what reads the standard output has ended" in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a disk without room, on Linux alone")
def test_a_full_disk_behind_stdout_is_one_line_and_exit_code_2() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(COMMAND, stdout=full, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "No space left" in line


@POSIX
def test_standard_streams_that_are_closed_harm_nothing() -> None:
    shell = 'exec "$@" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", shell, "sh", *COMMAND], cwd=REPOSITORY, check=False)
    assert done.returncode == 0


ENDING = """
import os, signal, sys, types
cli = types.ModuleType("heatstream.demo.cli")
cli.main = lambda: sys.exit(130)
sys.modules["heatstream.demo.cli"] = cli
class Late:
    def __del__(self, kill=os.kill, process=os.getpid(), number=signal.{name}):
        kill(process, number)
sys.late = Late()  # it goes when Python takes its modules apart, after the handlers of signals
from heatstream.__main__ import start
start()
"""


@POSIX
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_second_signal_while_python_ends_does_not_change_the_code(name: str) -> None:
    code = ENDING.format(name=name)
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 130


@POSIX
def test_ctrl_c_while_annotations_are_evaluated_ends_with_the_documented_code(tmp_path: Path) -> None:
    (tmp_path / "command.py").write_text(
        "from heatstream import __main__\nfrom heatstream.demo import cli\n"
        "def stop():\n    raise KeyboardInterrupt\n"
        "cli.main = lambda: eval('stop()')\n__main__.start()\n"
    )
    done = subprocess.run([sys.executable, "-m", "command"], cwd=tmp_path, env=ENVIRONMENT, check=False)
    assert done.returncode == 130


@pytest.mark.parametrize(
    ("number", "error", "code"), [(signal.SIGINT, KeyboardInterrupt, None), (signal.SIGTERM, SystemExit, 143)]
)
def test_a_signal_is_an_exception_with_the_documented_code(
    number: signal.Signals, error: type[BaseException], code: int | None
) -> None:
    with pytest.raises(error) as caught:
        entry._interrupt(number, sys._getframe())
    assert getattr(caught.value, "code", None) == code


def test_a_signal_in_the_middle_of_an_import_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "interrupted_import.py").write_text(
        "import sys\nfrom heatstream import __main__\n"
        "try:\n    __main__._interrupt(2, sys._getframe())\nexcept KeyboardInterrupt:\n    pass\n"
    )
    __import__("interrupted_import")
    assert set(codes) == {130}
