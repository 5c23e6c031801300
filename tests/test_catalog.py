"""The catalogue says of the networks what is true of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from heatstream import catalog
from heatstream.catalog import CATALOG, CatalogEntry
from heatstream.errors import ModelFileError, UnknownNameError

NAMES = sorted(CATALOG)


@pytest.mark.parametrize("name", NAMES)
def test_entries_match_the_networks(name: str) -> None:
    torch = pytest.importorskip("torch")
    from heatstream import models

    entry = catalog.get(name)
    network = models.create(name).eval()
    assert entry.parameters == sum(value.numel() for value in network.parameters())
    images = torch.zeros(1, 3, 64, 64)
    with torch.inference_mode():
        maps = network.landmarks(images) if entry.task == "landmarks" else network(images).heatmaps[0]
    assert maps.shape[1] == entry.info().num_keypoints


def test_every_network_is_in_the_catalogue_and_the_other_way_round() -> None:
    from heatstream.models.networks.registry import NETWORKS

    assert set(NETWORKS) == set(CATALOG)


@pytest.mark.parametrize("name", NAMES)
def test_entries_make_descriptions(name: str) -> None:
    entry = catalog.get(name)
    info = entry.info(weights="mine", licence="mine too")
    assert (info.name, info.skeleton, info.input_size) == (name, entry.skeleton, entry.input_size)
    assert (info.weights, info.licence) == ("mine", "mine too")
    assert entry.info().licence == entry.licence


@pytest.mark.parametrize(("name", "hint"), [("swahr-tin", "did you mean 'swahr-tiny'"), ("", "the known ones")])
def test_an_unknown_name_is_refused_with_the_nearest(name: str, hint: str) -> None:
    for ask in (catalog.get, catalog.bundled_path):
        with pytest.raises(UnknownNameError, match=hint):
            ask(name)


def test_networks_without_weights_say_how_to_get_a_file() -> None:
    with pytest.raises(ModelFileError, match="heatstream export swahr-w32 --checkpoint FILE"):
        catalog.bundled_path("swahr-w32")


def test_bundled_weights_lie_in_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(catalog, "files", lambda package: tmp_path / package)
    with pytest.raises(
        ModelFileError, match=r"weights of swahr-tiny are not installed: pip install .heatstream\[weights\]"
    ):
        catalog.bundled_path("swahr-tiny")
    path = tmp_path / "heatstream" / "weights" / "swahr-tiny.onnx"
    path.parent.mkdir(parents=True)
    path.touch()
    assert catalog.bundled_path("swahr-tiny") == path


def test_the_default_comes_first() -> None:
    first: CatalogEntry = next(iter(CATALOG.values()))
    assert (first.name, first.bundled) == ("swahr-small", True)
