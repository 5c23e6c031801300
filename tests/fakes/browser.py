"""A headless Chromium, driven through its DevTools protocol: pages are opened, asked, and photographed."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.patience import HANG_SECONDS

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


class Page:
    """One tab."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._numbers = count(1)
        self.errors: list[str] = []
        self.command("Runtime.enable")
        self.command("Log.enable")
        self.command("Page.enable")

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the protocol, and give its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=HANG_SECONDS))
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(answer["params"]["exceptionDetails"])[:500])
            if answer.get("method") == "Log.entryAdded" and answer["params"]["entry"]["level"] == "error":
                self.errors.append(answer["params"]["entry"]["text"])
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def resize(self, width: int, height: int, *, scale: float = 1, mobile: bool = False) -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )

    def open(self, address: str) -> None:
        self.command("Page.navigate", url=address)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression; of a promise, what it comes to."""
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The value of an expression as soon as it is true."""
        deadline = time.monotonic() + HANG_SECONDS
        while not (value := self.ask(expression)):
            assert time.monotonic() < deadline, (expression, self.errors)
            time.sleep(0.02)
        return value

    def photograph(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot")["data"]))


@contextmanager
def chromium(folder: Path) -> Iterator[Callable[[], Page]]:
    """A browser; what is given opens a new tab. Without Chromium the test is skipped, and says so.

    Args:
        folder: of its profile.
    """
    connect = pytest.importorskip("websockets.sync.client", reason="it speaks to Chromium").connect
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        # It comes from the system's packages and not from PyPI.
        pytest.skip("there is no Chromium: apt-get install chromium-headless-shell")
    process = subprocess.Popen(
        [
            *(found, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
            *("--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # some are scripts that start another process
    )
    try:
        assert process.stderr is not None
        deadline = time.monotonic() + HANG_SECONDS
        while (match := re.search(r"ws://([\d.]+:\d+)/", process.stderr.readline())) is None:
            assert time.monotonic() < deadline
            assert process.poll() is None, "Chromium ended"
        with ExitStack() as stack:
            browser = stack.enter_context(connect(_browser_address(match[1])))

            def new_page() -> Page:
                browser.send(json.dumps({"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}}))
                while (answer := json.loads(browser.recv(timeout=HANG_SECONDS))).get("id") != 1:
                    pass
                target = answer["result"]["targetId"]
                address = f"ws://{match[1]}/devtools/page/{target}"
                return Page(stack.enter_context(connect(address, max_size=None)))

            yield new_page
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def _browser_address(address: str) -> str:
    """Where the browser's own socket is."""
    from urllib.request import urlopen

    with urlopen(f"http://{address}/json/version", timeout=HANG_SECONDS) as answer:
        return str(json.load(answer)["webSocketDebuggerUrl"])
