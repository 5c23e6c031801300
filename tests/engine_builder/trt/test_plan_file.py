"""An engine on disk: what its sidecar keeps, and what is refused before anybody would deserialise it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heatstream.engine_builder.trt.gpus import Gpu
from heatstream.engine_builder.trt.plan_file import (
    EngineRecord,
    EngineSpec,
    load_plan,
    read_record,
    remove_engine,
    sidecar_path,
    write_engine,
    write_record,
)
from heatstream.engine_builder.trt.toolkit import Toolkit
from heatstream.engine_builder.trt.verification import Verification
from heatstream.errors import EngineFileError, SinkError
from heatstream.model_info import ModelInfo
from tests.engine_builder.conftest import ORIN

PLAN = b"a plan " * 100

SPEC = EngineSpec(
    name="net",
    model_sha256="ab" * 32,
    backend="tensorrt",
    version="10.3.0",
    targets=("sm_87",),
    gpu="Orin",
    precision="fp16",
    size=(128, 192),
    batch=4,
)

RECORD = EngineRecord(
    spec=SPEC,
    model=ModelInfo(name="net", skeleton="coco-17", input_size=(128, 192), batch=None, precision="fp16"),
    shapes={"images": (-1, 3, 128, 192), "tags": (-1, 17, 32, 48)},
    layers={"fp16": {"convolution": 58}, "fp32": {"elementwise": 1}},
    engine_layers={"fp16": {"caskconvolution": 57}},
    float32_layers=("node_mul",),
    plan_sha256=hashlib.sha256(PLAN).hexdigest(),
    plan_bytes=len(PLAN),
    built_at="2026-11-21T15:59:51+00:00",
    build_seconds=2.25,
    verification=Verification(
        frames=2,
        folder="photos",
        maps={"tags": 0.01},
        maps_rms={"tags": 0.002},
        limit=0.02,
        people=5,
        matched=4,
        added=1,
        keypoints_px=(0.1, 0.5, 1.5),
    ),
    heatstream_version="9.8",
)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / SPEC.file_name
    write_engine(path, PLAN, RECORD)
    return path


def _edit(path: Path, **changes: Any) -> None:
    sidecar = sidecar_path(path)
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **changes}))


def test_an_engine_reads_back_as_it_was_written(engine: Path) -> None:
    plan = load_plan(engine)
    assert (plan.path, plan.data, plan.record) == (engine, PLAN, RECORD)
    assert read_record(engine) == RECORD
    assert sorted(path.suffix for path in engine.parent.iterdir()) == [".engine", ".json"]


@pytest.mark.parametrize("verification", [None, replace(RECORD.verification, keypoints_px=None)])
def test_a_verification_may_be_missing_or_have_matched_nobody(engine: Path, verification: Verification | None) -> None:
    record = replace(RECORD, verification=verification)
    write_record(engine, record)
    assert load_plan(engine).record == record


def test_an_engine_is_removed_with_all_that_belongs_to_it(engine: Path) -> None:
    engine.with_suffix(".sm_87.kernels").touch()
    other = engine.with_name("other.engine")
    other.touch()
    remove_engine(engine)
    assert list(engine.parent.iterdir()) == [other]
    remove_engine(engine)


def test_the_sidecar_says_all_about_it(engine: Path) -> None:
    content = json.loads(sidecar_path(engine).read_text())
    assert {key: content[key] for key in ("model_sha256", "backend", "version", "targets", "gpu", "precision")} == {
        "model_sha256": "ab" * 32,
        "backend": "tensorrt",
        "version": "10.3.0",
        "targets": ["sm_87"],
        "gpu": "Orin",
        "precision": "fp16",
    }
    assert content["shapes"]["images"] == [-1, 3, 128, 192]
    assert content["plan_sha256"] == hashlib.sha256(PLAN).hexdigest()
    assert content["model"]["skeleton"] == "coco-17"


@pytest.mark.parametrize("place", [0, len(PLAN) // 2, len(PLAN) - 1])
def test_a_flipped_byte_is_seen(engine: Path, place: int) -> None:
    spoilt = bytearray(PLAN)
    spoilt[place] ^= 1
    engine.write_bytes(spoilt)
    with pytest.raises(EngineFileError, match=r"is damaged .* another SHA-256 .*: build it again"):
        load_plan(engine)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(PLAN[:-1]), "is damaged"),
        (lambda path: path.write_bytes(b""), "is damaged"),
        (lambda path: _edit(path, version="10.4.0"), "was edited"),
        (lambda path: _edit(path, plan_sha256="0" * 64), "was edited"),
        (lambda path: _edit(path, model={}), "was edited"),
        (lambda path: _edit(path, note="mine"), "was edited"),
        (lambda path: _edit(path, digest=None), "was edited"),
        (lambda path: _edit(path, format=1), "has format 1 and this heatstream reads 2"),
        (lambda path: _edit(path, verification=None), "was edited"),
        (lambda path: sidecar_path(path).write_text(""), "damaged or was edited"),
        (lambda path: sidecar_path(path).write_text("[1]"), "damaged or was edited"),
        (lambda path: sidecar_path(path).write_text("{}"), "damaged or was edited"),
        (lambda path: sidecar_path(path).write_bytes(b"\xff\x00"), "damaged or was edited"),
        (lambda path: sidecar_path(path).unlink(), "has no sidecar net-"),
        (lambda path: (sidecar_path(path).unlink(), path.unlink()), "there is no engine .* `heatstream build`"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
        (lambda path: (sidecar_path(path).unlink(), sidecar_path(path).mkdir()), "sidecar .* cannot be read"),
    ],
)
def test_what_is_damaged_or_edited_is_refused(engine: Path, spoil: Callable[[Path], Any], words: str) -> None:
    spoil(engine)
    with pytest.raises(EngineFileError, match=words) as caught:
        load_plan(engine)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("version", "gpu", "words"),
    [
        ("10.3.0", ORIN, None),
        ("10.3.0", None, None),
        ("11.4.1", ORIN, "was built with tensorrt 10.3.0, and this is tensorrt 11.4.1: build it again"),
        ("10.3.0", Gpu("Thor", "sm_110"), r"was built for sm_87, and this GPU is sm_110 \(Thor\)"),
        ("10.3.0", Gpu("Orin Nano", "sm_87"), "was tuned on Orin, and this GPU is Orin Nano"),
    ],
)
def test_another_machine_is_refused_from_the_sidecar_alone(
    engine: Path, tensorrt: Callable[..., Toolkit], version: str, gpu: Gpu | None, words: str | None
) -> None:
    if words is None:
        assert load_plan(engine, tensorrt(version), gpu).data == PLAN
        return
    engine.unlink()  # so that it could not be read either
    with pytest.raises(EngineFileError, match=words):
        load_plan(engine, tensorrt(version), gpu)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"model_sha256": "cd" * 32}, "the model file has changed"),
        ({"version": "10.4.0"}, "it was built with tensorrt 10.3.0, and this is 10.4.0"),
        ({"targets": ("sm_89",)}, "it was built for sm_87, not for sm_89"),
        ({"gpu": "Thor"}, "it was built on Orin, and this machine has Thor"),
        ({"batch": 1}, "it was built with other settings"),
    ],
)
def test_every_difference_has_its_reason_and_another_name(changes: dict[str, Any], reason: str) -> None:
    wanted = replace(SPEC, **changes)
    assert SPEC.difference(wanted) == reason
    assert (wanted.file_name == SPEC.file_name) is not bool(reason)


def test_a_name_is_a_name_of_a_file() -> None:
    assert replace(SPEC, name="../a net/ö").file_name.startswith(".._a_net_ö-128x192-b4-fp16-tensorrt-")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="there is no folder"):
        write_engine(tmp_path / "no" / SPEC.file_name, PLAN, RECORD)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="other systems keep owners another way")
@pytest.mark.parametrize(
    ("mode", "owner", "message"),
    [(0o700, 0, None), (0o755, 0, None), (0o777, 0, "others may write"), (0o700, 1, "belongs to another user")],
)
def test_engines_that_others_could_have_written_are_not_loaded(
    mode: int, owner: int, message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "engines"
    folder.mkdir()
    folder.chmod(mode)
    (folder / "a.engine").write_bytes(b"plan")
    if owner:
        monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
        if folder.stat().st_uid == 0:
            real = Path.stat
            # The system's own are trusted, and the tests may run as root.
            monkeypatch.setattr(
                Path, "stat", lambda path, **options: os.stat_result((*real(path)[:4], 5_000_000, *real(path)[5:]))
            )
    with pytest.raises(EngineFileError, match=message or "has no sidecar"):
        load_plan(folder / "a.engine")
