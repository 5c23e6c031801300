"""The page in a real browser: people move, figures change, strangers stay outside, both sizes of screens are filled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heatstream.demo.web.server import WebSink
from heatstream.results import Event, Gap
from heatstream.runtime.health import SourceHealth, health_message
from heatstream.runtime.timing import StreamClock
from tests.fakes.browser import Page, chromium
from tests.fakes.messages import HEADER
from tests.fakes.patience import HANG_SECONDS
from tests.fakes.runtime import result

LIVE = {**HEADER, "live": True, "clock": "unix", "frame_size": [640, 480]}
TOKEN = "a-secret-token"

BRIGHT = """(() => { const c = document.getElementById("canvas");
const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
let n = 0, x = 0;
for (let i = 0; i < d.length; i += 4) if (Math.max(d[i], d[i+1], d[i+2]) > 150) { n++; x += i / 4 % c.width; }
return n ? x / n / c.width : 0; })()"""
"""Where on the canvas the middle of all bright pixels is, 0..1 from left to right; 0 if there are none."""


class Walker:
    """Somebody who walks to the right, on a thread of its own."""

    def __init__(self, sink: WebSink, clock: StreamClock) -> None:
        self._sink = sink
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._walk)
        self._thread.start()

    def _walk(self) -> None:
        number = 0
        while not self._stop.wait(0.04):
            one = result(number, size=(480, 640), time=time.time(), score=0.9)
            steps = np.arange(17, dtype=np.float32)
            points = np.stack([40 + 3 * (number % 180) + steps, 100 + 12 * steps], axis=1)[None]
            event = (Event("enter", "door", 5, number, time.time(), (1.0, 2.0)),) if number % 20 == 5 else ()
            one = replace(one, poses=replace(one.poses, keypoints=points, ids=np.array([5])), events=event)
            one = replace(one, frame=np.zeros((480, 640, 3), np.uint8))
            self._clock.add(one.timing, time.perf_counter())
            self._sink.write(one)
            number += 1

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture(scope="module")
def open_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Page]]:
    with chromium(tmp_path_factory.mktemp("profile")) as new_page:
        yield new_page


@pytest.fixture
def walking() -> Iterator[WebSink]:
    clock = StreamClock(time.perf_counter())
    sink = WebSink(LIVE, port=0, token=TOKEN, health=lambda: health_message(clock.summary()))
    walker = Walker(sink, clock)
    yield sink
    walker.stop()
    sink.close()


def text(page: Page, name: str) -> Any:
    return page.ask(f"document.getElementById('{name}').textContent")


def test_people_move_and_figures_change(open_page: Callable[[], Page], walking: WebSink, tmp_path: Path) -> None:
    page = open_page()
    page.resize(1280, 720)
    page.open(walking.address)
    page.wait("document.getElementById('state')?.textContent === 'live'")
    first = page.wait(BRIGHT)
    page.wait(f"Math.abs({BRIGHT} - {first}) > 0.05")
    page.wait("parseFloat(document.getElementById('fps').textContent) > 0")
    page.wait("!!document.querySelector('#events li time')")
    assert "enter door" in text(page, "events")
    assert (text(page, "people"), text(page, "ids")) == ("1", "5")
    assert text(page, "source") == "fake · spots"
    assert page.ask("location.href") == f"http://127.0.0.1:{walking.port}/"  # the token is not in it
    before = page.ask("getComputedStyle(document.body).backgroundColor")
    page.ask("document.getElementById('theme').click()")
    assert page.ask("getComputedStyle(document.body).backgroundColor") != before
    page.ask(
        "window.clicked = null; HTMLAnchorElement.prototype.click = function () { window.clicked = this.download; }"
    )
    page.ask("document.getElementById('snapshot').click()")
    assert page.wait("window.clicked").endswith(".png")
    # From the result to the pixel, in ms by both clocks; how many they are is the machine's matter.
    ages = page.ask("history.map(entry => entry.age)")
    assert ages
    assert all(-1000 < age < 1000 * HANG_SECONDS for age in ages)
    page.photograph(tmp_path / "wide.png")
    assert page.errors == []


def test_on_a_phone_everything_is_below_each_other(open_page: Callable[[], Page], walking: WebSink) -> None:
    page = open_page()
    page.resize(390, 844, scale=2, mobile=True)
    page.open(walking.address)
    page.wait("document.getElementById('state')?.textContent === 'live'")
    assert page.ask("document.documentElement.scrollWidth") <= 390
    assert page.ask("document.querySelector('aside').getBoundingClientRect().top") > page.ask(
        "document.querySelector('main').getBoundingClientRect().bottom - 1"
    )
    assert page.ask("Math.min(...[...document.querySelectorAll('button')].map(b => b.offsetHeight))") >= 44


def test_one_of_several_cameras_is_chosen(open_page: Callable[[], Page]) -> None:
    header = {**LIVE, "sources": ["door", "yard"]}
    clock = StreamClock(time.perf_counter())
    door = SourceHealth("door", "awake", 10, 25.0, 9, {}, 0.01, 0, 0, "", None)
    yard = replace(door, name="yard", state="asleep", age=12.0, gaps=1)
    sink = WebSink(header, port=0, health=lambda: health_message(clock.summary(), [door, yard]))
    try:
        page = open_page()
        page.open(sink.address)
        page.wait("document.getElementById('camera')?.options.length === 2")
        one = result(0, size=(480, 640), time=time.time())
        several = [replace(one, source=0), replace(one, source=1, poses=one.poses[:0])]
        gap = Gap(2.5, "stalled", over=True)

        def until(condition: str) -> None:
            deadline = time.monotonic() + HANG_SECONDS
            while not page.ask(condition):
                assert time.monotonic() < deadline
                for number, each in enumerate(several):
                    sink.write(replace(each, gap=gap if number == 1 else None))

        until("document.getElementById('people').textContent === '1'")
        page.ask("(() => { const c = document.getElementById('camera'); c.value = 1; c.onchange({ target: c }); })()")
        until("document.getElementById('people').textContent === '0'")
        until("document.getElementById('events').textContent.includes('gap of 2.5 s')")
        page.wait("document.getElementById('cameras').textContent === 'door25.0 per syardsilent for 12 s, 1 gap'")
        assert page.errors == []
    finally:
        sink.close()


def test_strangers_see_nothing(open_page: Callable[[], Page], walking: WebSink) -> None:
    page = open_page()
    page.open(f"http://localhost:{walking.port}/?token=wrong")
    page.wait("document.body?.textContent.includes('token is missing or wrong')")
    # A page of another site: it knows the address, not the token, and its Origin gives it away.
    page.open("data:text/html,<p>another site</p>")
    page.wait("document.body?.textContent.includes('another site')")
    refused = page.ask(
        f"new Promise(done => {{ const s = new WebSocket('ws://127.0.0.1:{walking.port}/ws?token={TOKEN}');"
        "s.onopen = () => done('open'); s.onerror = () => done('refused'); })"
    )
    assert refused == "refused"
