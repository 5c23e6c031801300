"""Real engines, by TensorRT-RTX, which needs no GPU to build."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heatstream import catalog
from heatstream.catalog import CATALOG, bundled_path
from heatstream.engine_builder.trt.cache import FoundEngine, build_engine, engine_folder, find_engine
from heatstream.engine_builder.trt.gpus import PORTABLE, Gpu
from heatstream.engine_builder.trt.model_source import read_model
from heatstream.engine_builder.trt.plan_file import load_plan, sidecar_path, write_engine
from heatstream.engine_builder.trt.toolkit import Toolkit
from heatstream.errors import EngineFileError

SIZE = (64, 96)


@pytest.mark.parametrize("targets", [(), ("sm_89",), ("sm_75",), ("sm_89", "sm_120")])
def test_the_bundled_network_becomes_an_engine_of_a_fixed_size(
    rtx: Toolkit, engines: Path, targets: tuple[str, ...]
) -> None:
    assert engine_folder() == engines
    found = build_engine(read_model(bundled_path("swahr-tiny")), rtx, None, size=(128, 160), targets=targets)
    plan = load_plan(found.path, rtx, Gpu("a GPU", targets[-1] if targets else "sm_86"))
    assert len(plan.data) > bundled_path("swahr-tiny").stat().st_size / 2
    assert plan.record.spec.targets == (targets or PORTABLE)
    assert plan.record.spec.version == rtx.module.__version__
    assert plan.record.shapes["heatmaps_half"] == (1, 17, 64, 80)
    assert plan.record.layers["fp16"]["convolution"] == 88
    assert plan.record.float32_layers == ()
    assert (
        build_engine(read_model(bundled_path("swahr-tiny")), rtx, None, size=(128, 160), targets=targets).reason == ""
    )
    with pytest.raises(EngineFileError, match=r"this GPU is sm_70 \(Titan V\): build it again"):
        load_plan(found.path, rtx, Gpu("Titan V", "sm_70"))


@pytest.mark.parametrize(
    "name", [entry.name for entry in CATALOG.values() if entry.bundled and entry.task == "landmarks"]
)
def test_an_included_landmark_network_takes_the_faces_of_a_frame(rtx: Toolkit, engines: Path, name: str) -> None:
    record = build_engine(read_model(bundled_path(name)), rtx, None, batch=8).record
    assert {shape[0] for shape in record.shapes.values()} == {-1}
    assert record.float32_layers == ()


def _flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _edit_the_sidecar(path: Path) -> None:
    content = json.loads(sidecar_path(path).read_text())
    content["targets"] = ["sm_89"]
    sidecar_path(path).write_text(json.dumps(content))


def _take_anothers_place(path: Path) -> None:
    """What an engine of another version would be under this name, with a sidecar that is true."""
    plan = load_plan(path)
    write_engine(path, plan.data, replace(plan.record, spec=replace(plan.record.spec, version="1.0.0.1")))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_flip_a_byte, r"the engine .* is damaged \(its \d+ bytes have another SHA-256"),
        (_edit_the_sidecar, "the sidecar .* is damaged or was edited"),
        (
            _take_anothers_place,
            r"another engine under this name: it was built with tensorrt-rtx 1\.0\.0\.1, and this is",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_reason_and_built_again(
    rtx: Toolkit, engines: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    def build() -> FoundEngine:
        return build_engine(read_model(bundled_path("swahr-tiny")), rtx, None, size=SIZE)

    first = build()
    assert build().reason == ""
    spoil(first.path)
    with pytest.raises(EngineFileError, match=reason):
        find_engine(first.record.spec)
    again = build()
    assert re.search(reason, again.reason)
    assert again.path == first.path
    assert build().reason == ""


def test_a_changed_model_and_another_version_are_built_anew(rtx: Toolkit, engines: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx comes with the extra test")
    model = tmp_path / "net.onnx"
    shutil.copy(bundled_path("swahr-tiny"), model)
    first = build_engine(read_model(model), rtx, None, size=SIZE)
    changed = onnx.load(model)
    changed.doc_string = "trained further"
    onnx.save(changed, str(model))
    assert build_engine(read_model(model), rtx, None, size=SIZE).reason.endswith(
        "cannot be used: the model file has changed"
    )

    class Newer:
        """The same library under another version."""

        __version__ = "99.0"

        def __getattr__(self, name: str) -> Any:
            return getattr(rtx.module, name)

    newer = build_engine(read_model(model), Toolkit("tensorrt-rtx", Newer()), None, size=SIZE)
    assert f"it was built with tensorrt-rtx {rtx.version}, and this is 99.0" in newer.reason
    with pytest.raises(EngineFileError, match=rf"built with tensorrt-rtx 99.0, and this is tensorrt-rtx {rtx.version}"):
        load_plan(newer.path, rtx)
    assert build_engine(read_model(model), rtx, None, size=SIZE).reason == ""
    assert first.path.exists()


EXPORTED = {
    "swahr-w32": (302, 1),
    "swahr-w48": (302, 1),
    "h3r-mobile-300w68": (41, 8),
}
"""Name -> how many convolutions, and how many images its engine takes at most."""


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTED)
def test_a_network_with_random_weights_becomes_an_fp16_engine(
    rtx: Toolkit, engines: Path, tmp_path: Path, name: str
) -> None:
    """At the smallest size that has every branch; the layers are those of any size."""
    for library in ("torch", "onnxscript"):
        pytest.importorskip(library, reason=f"{library} comes with the extra train")
    from heatstream.engine_builder.export.model import export_model
    from heatstream.models import create

    convolutions, batch = EXPORTED[name]
    info = replace(catalog.get(name).info(), input_size=(64, 64))
    model = tmp_path / "net.onnx"
    report = export_model(create(name), info, model, precision="fp16", dynamic_batch=batch > 1)
    for targets in ((), ("sm_89", "sm_120")):
        record = build_engine(read_model(model), rtx, None, batch=batch, targets=targets).record
        assert (record.spec.name, record.spec.size, record.spec.precision) == (name, (64, 64), "fp16")
        assert record.spec.targets == (targets or PORTABLE)
        assert set(record.shapes) == {"images", *report.info.outputs}
        assert {shape[0] for shape in record.shapes.values()} == {1 if batch == 1 else -1}
        assert record.layers["fp16"]["convolution"] == convolutions
        assert record.float32_layers == ()
        assert record.plan_bytes > model.stat().st_size / 2
        assert build_engine(read_model(model), rtx, None, batch=batch, targets=targets).reason == ""
