"""Networks of other packages: known by their entry points, and to everything that takes a network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heatstream import catalog

MODULE = """
from heatstream.catalog import CATALOG, CatalogEntry, PluginNetwork

def build(num_keypoints):
    from heatstream.models.networks.swahr_small import SwahrSmall
    return SwahrSmall(num_keypoints, width=1.0, looks=1)

network = PluginNetwork(
    CatalogEntry("swahr-of-mine", "a network of mine", "coco-17", (64, 64), 2387231, "mine", licence="MIT"), build
)
taken = PluginNetwork(CATALOG["swahr-w32"], build)
nothing = 3
"""

POINTS = """
[heatstream.networks]
swahr-of-mine = my_networks:network
taken = my_networks:taken
nothing = my_networks:nothing
missing = my_networks_that_are_not_there:network
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "my_networks.py").write_text(MODULE)
    metadata = tmp_path / "my_networks-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-networks\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    catalog.plugins.cache_clear()
    yield
    catalog.plugins.cache_clear()
    sys.modules.pop("my_networks", None)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("plugin")
def test_a_network_of_another_package_is_exported_and_trained_like_ours(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch comes with the extra train")
    from heatstream import models
    from heatstream.models.checkpoint_network import open_network
    from heatstream.models.training.recipe import parse_recipe

    assert catalog.get("swahr-of-mine").licence == "MIT"
    assert list(catalog.networks())[-1] == "swahr-of-mine"
    network = models.create("swahr-of-mine")
    torch.save(network.state_dict(), tmp_path / "a.pth")
    opened, info = open_network("swahr-of-mine", tmp_path / "a.pth")
    assert (info.name, info.num_keypoints) == ("swahr-of-mine", 17)
    assert opened.state_dict().keys() == network.state_dict().keys()
    text = (
        '[model]\nname = "swahr-of-mine"\n[train]\nsteps = 1\nbatch = 1\nrate = 1.0\n'
        '[data]\nroot = "."\n[[data.sets]]\nannotations = "a.json"\n'
    )
    assert parse_recipe(text).model.skeleton == "coco-17"


@pytest.mark.usefixtures("plugin")
def test_what_cannot_be_used_is_left_out_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="network") as warnings:
        assert list(catalog.plugins()) == ["swahr-of-mine"]
    told = sorted(str(warning.message) for warning in warnings)
    assert [text for text in told if "missing" in text and "No module named" in text]
    assert [text for text in told if "my_networks:nothing is no PluginNetwork" in text]
    assert [text for text in told if "there is a network swahr-w32 already" in text]
