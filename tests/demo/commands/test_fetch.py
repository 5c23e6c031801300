"""`heatstream fetch`, and the first `run` of a network whose weights are fetched, from a server of this test's own."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra train")
pytest.importorskip("httpx", reason="httpx comes with the extra train")

import heatstream as package  # noqa: E402
from heatstream import catalog  # noqa: E402
from heatstream.catalog import CATALOG, Weights  # noqa: E402
from heatstream.errors import ModelFileError  # noqa: E402
from heatstream.models.checkpoint_file import weights_file  # noqa: E402
from heatstream.models.networks import registry  # noqa: E402
from tests.demo.helpers import Command  # noqa: E402
from tests.fakes.tiny_recipe import write_set  # noqa: E402

NAME = "tiny-of-others"


@pytest.fixture(name="cache")
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Path]:
    """A network of the catalogue whose weights lie on a server; the file there."""
    folder = tmp_path / "server"
    folder.mkdir()
    bundled = torch.load(weights_file("swahr-tiny"), weights_only=True)
    torch.save({"meta": {"epoch": 300}, "state_dict": {f"net.{k}": v for k, v in bundled.items()}}, folder / "a.pth")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        digest = hashlib.sha256((folder / "a.pth").read_bytes()).hexdigest()
        source = Weights(
            f"http://127.0.0.1:{server.server_address[1]}/a.pth", f"sha256:{digest[:8]}", "MIT (me)", "AP 29.1"
        )
        entry = replace(
            CATALOG["swahr-tiny"], name=NAME, bundled=False, fetched=source, input_size=(128, 128), licence="theirs"
        )
        monkeypatch.setattr(catalog, "CATALOG", MappingProxyType({**CATALOG, NAME: entry}))
        builders = {**registry.NETWORKS, NAME: registry.NETWORKS["swahr-tiny"]}
        monkeypatch.setattr(registry, "NETWORKS", MappingProxyType(builders))
        yield folder / "a.pth"
        server.shutdown()
        thread.join()


def test_the_first_run_fetches_and_says_what_and_later_ones_do_not(
    heatstream: Command, offered: Path, tmp_path: Path
) -> None:
    write_set(tmp_path / "data", pictures=1)
    with pytest.raises(ModelFileError, match=f"get them with `heatstream fetch {NAME}`"):
        package.load(NAME)
    run = ("run", tmp_path / "data/people/0.png", "--model", NAME, "--no-window", "--jsonl", tmp_path / "a.jsonl")
    first = heatstream(*run)
    assert first.code == 0, first.err
    assert f"fetching the weights of {NAME} (AP 29.1) from http://127.0.0.1" in first.err
    assert "licence: MIT (me)" in first.err
    offered.unlink()
    again = heatstream(*run)
    assert again.code == 0, again.err
    assert "fetching" not in again.err
    fetched = heatstream("fetch", NAME)
    assert fetched.code == 0
    info = package.load(NAME, "cpu", 1).info
    assert (info.name, info.licence, info.weights, info.any_size) == (NAME, "MIT (me)", "a.pth", True)
    assert weights_file(NAME).name == "a.pth"  # what a recipe's model.init takes


def test_what_is_not_the_networks_is_refused_and_not_kept(
    heatstream: Command, offered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"fc.weight": torch.ones(3)}, offered)
    wrong = heatstream("fetch", NAME)
    assert wrong.code == 2
    assert "it was damaged on the way or is another file now" in wrong.err
    entry = catalog.CATALOG[NAME]
    assert entry.fetched is not None
    unsummed = replace(entry, fetched=replace(entry.fetched, digest=""))
    monkeypatch.setattr(catalog, "CATALOG", MappingProxyType({**CATALOG, NAME: unsummed}))
    foreign = heatstream("fetch", NAME)
    assert foreign.code == 2
    assert "nobody published a checksum" in foreign.err
    assert f"are not the weights of {NAME}: checkpoint" in foreign.err
    assert not any(path.suffix != ".lock" for path in catalog.fetched_files(entry)[0].parent.iterdir())


def test_networks_that_nobody_gives_away_name_their_page(heatstream: Command, cache: Path) -> None:
    ended = heatstream("fetch", "swahr-w48")
    assert ended.code == 2
    assert "its authors name theirs at https://github.com/greatlog/SWAHR-HumanPose" in ended.err
    assert "`heatstream export swahr-w48 --checkpoint FILE`" in ended.err
