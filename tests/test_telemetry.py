"""Nothing leaves the machine unasked: no name is looked up, no socket of the internet opened, no id kept.

A small library put before the system's own writes down what a process asks the network for; g++ makes it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.tiny_recipe import write_recipe_file

REPOSITORY = Path(__file__).resolve().parent.parent

WATCH = r"""
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
static void note(const char* what, const char* name) {
    FILE* file = fopen(getenv("NETWORK_LOG"), "a");
    fprintf(file, "%s %s\n", what, name ? name : "");
    fclose(file);
}
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** found) {
    note("lookup", node);
    return EAI_NONAME;
}
extern "C" int connect(int socket, const sockaddr* address, socklen_t size) {
    if (address->sa_family != AF_UNIX) note("connect", "");
    return ((int (*)(int, const sockaddr*, socklen_t))dlsym(RTLD_NEXT, "connect"))(socket, address, size);
}
"""

ENTRIES = {
    "run": ["run", "docs/images/astronaut.jpg", "--no-window"],
    "bench": ["bench", "--seconds", "0.1"],
    "doctor": ["doctor"],
    "train": ["train", "RECIPE", "--set", "train.steps=1", "--out", "RUN"],
    "library": "import heatstream\nheatstream.load('swahr-tiny', 'cpu').close()",
}


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that watches, for LD_PRELOAD."""
    if sys.platform != "linux" or shutil.which("g++") is None:
        # Elsewhere another library would have to be replaced, another way.
        pytest.skip("watching the network needs Linux and g++")
    folder = tmp_path_factory.mktemp("watch")
    (folder / "watch.cpp").write_text(WATCH)
    command = ["g++", "-shared", "-fPIC", "-o", "watch.so", "watch.cpp", "-ldl"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "watch.so"


def watched(watch: Path, home: Path, arguments: list[str] | str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run the command line, or code as a newcomer would, and what it asked the network for."""
    hidden = ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED", "CI", "XDG_CACHE_HOME", "XDG_DATA_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    home.mkdir()
    log = home.parent / f"{home.name}.log"
    environment |= {"HOME": str(home), "LD_PRELOAD": str(watch), "NETWORK_LOG": str(log)}
    code = ["-c", arguments] if isinstance(arguments, str) else ["-m", "heatstream", *arguments]
    command = [sys.executable, *code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environment, check=False)
    return done, log.read_text() if log.exists() else ""


def test_the_watch_sees_look_ups_and_connections(watch: Path, tmp_path: Path) -> None:
    code = (
        "import contextlib, socket\n"
        "with contextlib.suppress(OSError): socket.getaddrinfo('example.org', 80)\n"
        "with contextlib.suppress(OSError): socket.socket().connect(('127.0.0.1', 9))\n"
    )
    _, log = watched(watch, tmp_path / "home", code)
    assert "lookup example.org" in log
    assert "connect" in log


@pytest.mark.parametrize("entry", ENTRIES)
def test_nothing_is_sent_or_kept(entry: str, watch: Path, tmp_path: Path) -> None:
    arguments: list[str] | str = ENTRIES[entry]
    if entry == "train":
        pytest.importorskip("torch", reason="torch comes with the extra train")
        stand_for = {"RECIPE": str(write_recipe_file(tmp_path / "data")), "RUN": str(tmp_path / "run")}
        arguments = [stand_for.get(word, word) for word in arguments]
    done, log = watched(watch, tmp_path / "home", arguments)
    assert done.returncode == 0, done.stderr
    assert log == ""
    assert [str(path) for path in (tmp_path / "home").rglob("*") if "onnxruntime" in str(path)] == []


def test_onnx_runtime_is_imported_at_one_place() -> None:
    pattern = re.compile(r"^\s*(import|from) onnxruntime\b", re.MULTILINE)
    files = [*(REPOSITORY / "heatstream").rglob("*.py"), *(REPOSITORY / "benchmarks").glob("*.py")]
    found = {path.name: len(pattern.findall(path.read_text())) for path in files}
    # The quantiser's own names, right behind the place's.
    assert {name for name, count in found.items() if count} == {"onnx_session.py", "quantised_graph.py"}
