"""Engines are found again, built again when anything changed, and built by one process at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import pytest

from heatstream.engine_builder.trt import cache as engine_cache
from heatstream.engine_builder.trt.cache import (
    FoundEngine,
    build_engine,
    engine_folder,
    find_engine,
    remove_relatives,
)
from heatstream.engine_builder.trt.gpus import Gpu
from heatstream.engine_builder.trt.model_source import read_model
from heatstream.engine_builder.trt.plan_file import load_plan, sidecar_path
from heatstream.engine_builder.trt.toolkit import Toolkit
from heatstream.errors import BuildError, EngineFileError, InputError, SinkError
from heatstream.model_info import Precision
from tests.demo.conftest import write_model
from tests.demo.helpers import REPOSITORY
from tests.engine_builder.conftest import ORIN
from tests.fakes.patience import HANG_SECONDS

pytest.importorskip("onnx", reason="onnx comes with the extra test")


@pytest.fixture
def build(tiny: Path, engines: Path, tensorrt: Callable[..., Toolkit]) -> Callable[..., FoundEngine]:
    """``build()``: the engine of the small model with the fake of TensorRT 10.3, on an Orin."""

    def run(model: Path = tiny, *, version: str = "10.3.0", gpu: Gpu | None = ORIN, **options: Any) -> FoundEngine:
        return build_engine(read_model(model), tensorrt(version), gpu, **options)

    return run


def test_the_second_build_is_a_find(build: Callable[..., FoundEngine], engines: Path) -> None:
    first = build()
    assert first.reason.startswith("there is no engine of tiny in ")
    assert first.path.parent == engines == engine_folder()
    modified = first.path.stat().st_mtime_ns
    second = build()
    assert (second.path, second.record, second.reason) == (first.path, first.record, "")
    assert first.path.stat().st_mtime_ns == modified
    assert load_plan(first.path).record == find_engine(first.record.spec).record == first.record


def test_the_record_is_complete(build: Callable[..., FoundEngine], tiny: Path) -> None:
    record = build(size=(128, 192), batch=2).record
    assert record.spec.model_sha256 == read_model(tiny).sha256
    assert (record.spec.backend, record.spec.version, record.spec.gpu) == ("tensorrt", "10.3.0", "Orin")
    assert (record.spec.targets, record.spec.precision, record.spec.batch) == (("sm_87",), "fp16", 2)
    assert (record.model.input_size, record.model.any_size, record.model.batch) == ((128, 192), False, None)
    assert record.model.precision == "fp16"
    assert record.plan_bytes == len(load_plan(build(size=(128, 192), batch=2).path).data)
    assert record.build_seconds > 0


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(b"!" + path.read_bytes()[1:]), "is damaged"),
        (lambda path: sidecar_path(path).write_text(sidecar_path(path).read_text().replace("0", "1")), "was edited"),
        (lambda path: sidecar_path(path).unlink(), "has no sidecar"),
        (lambda path: path.unlink(), "there is no engine"),
    ],
)
def test_a_damaged_engine_is_refused_and_built_again(
    build: Callable[..., FoundEngine], spoil: Callable[[Path], Any], reason: str
) -> None:
    first = build()
    spoil(first.path)
    with pytest.raises(EngineFileError, match=reason):
        find_engine(first.record.spec)
    again = build()
    assert reason in again.reason
    assert again.path == first.path
    assert build().reason == ""


def test_an_engine_under_anothers_name_is_refused(build: Callable[..., FoundEngine]) -> None:
    one, other = build(), build(version="11.4.1")
    other.path.replace(one.path)
    sidecar_path(other.path).replace(sidecar_path(one.path))
    with pytest.raises(EngineFileError, match=r"another engine under this name: it was built with tensorrt 11\.4\.1"):
        find_engine(one.record.spec)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": "11.4.1"}, "it was built with tensorrt 10.3.0, and this is 11.4.1"),
        ({"gpu": Gpu("Thor", "sm_110")}, "it was built for sm_87, not for sm_110"),
        ({"gpu": Gpu("Orin Nano", "sm_87")}, "it was built on Orin, and this machine has Orin Nano"),
    ],
)
def test_an_outdated_engine_is_built_again_and_the_reason_said(
    build: Callable[..., FoundEngine], changes: dict[str, Any], reason: str
) -> None:
    first = build()
    second = build(**changes)
    assert second.reason == f"{first.path} cannot be used: {reason}"
    assert build().reason == ""  # the first machine still finds its own


def test_a_changed_model_is_built_again(build: Callable[..., FoundEngine], tiny: Path) -> None:
    build()
    write_model(tiny, scale=0.5)
    assert build().reason.endswith("the model file has changed")


def test_older_engines_go_when_asked_and_others_stay(build: Callable[..., FoundEngine], tiny: Path) -> None:
    older = [build(), build(version="11.4.1"), build(gpu=Gpu("Orin Nano", "sm_87"))]
    others = [build(batch=2), build(size=(64, 64)), build(precision="fp32")]
    write_model(tiny, scale=0.5)
    newest = build()
    assert sorted(remove_relatives(newest.record.spec)) == sorted(found.path for found in older)
    assert remove_relatives(newest.record.spec) == []
    assert build().reason == ""
    assert not any(found.path.exists() or sidecar_path(found.path).exists() for found in older)
    assert all(load_plan(found.path).record == found.record for found in others)


def test_other_settings_are_other_engines(build: Callable[..., FoundEngine]) -> None:
    settings: list[dict[str, Any]] = [{}, {"size": (64, 64)}, {"batch": 2}, {"precision": "fp32"}]
    assert len({build(**options).path for options in settings}) == len(settings)
    assert [build(**options).reason for options in settings] == [""] * len(settings)


def test_engines_are_kept_where_it_was_asked(build: Callable[..., FoundEngine], tmp_path: Path, engines: Path) -> None:
    found = build(folder=tmp_path / "a/b")
    assert found.path.parent == tmp_path / "a/b"
    assert build(folder=tmp_path / "a/b").reason == ""
    assert [path.name for path in engines.iterdir()] == ["timings-10.3.0-Orin.cache"]  # shared by all builds


def test_a_folder_that_cannot_be_made_is_said(build: Callable[..., FoundEngine], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=r"cannot keep engines in .*file.*; name another folder with --output"):
        build(folder=tmp_path / "file")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch": 0}, "at least 1 image per run, got batch 0"),
        ({"size": (100, 128)}, "multiples of 32"),
        ({"targets": ("sm_89",)}, "sm_89 on that GPU alone"),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(
    build: Callable[..., FoundEngine], engines: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        build(**options)
    assert not engines.exists()


@pytest.mark.parametrize(
    ("holds", "precision", "words"),
    [
        ("fp16", "fp32", "is in FP16, and an FP32 engine could not be better than that: build it with precision fp16"),
        ("fp32", "int8", "is in FP32, and INT8 is calibrated on photographs .*--precision int8 --calibrate FOLDER"),
        ("fp16", "int8", "is in FP16, and INT8 is calibrated on photographs"),
        ("int8", "fp16", "is in INT8, and an engine could not be better .*, or export it in fp16"),
        ("int8", "fp32", "is in INT8, and an engine could not be better .*, or export it in fp32"),
    ],
)
def test_a_precision_that_the_file_does_not_hold_is_refused(
    build: Callable[..., FoundEngine], tmp_path: Path, holds: Precision, precision: Precision, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        build(write_model(tmp_path / "net.onnx", precision=holds), precision=precision)


@pytest.mark.parametrize(("holds", "precision"), [("fp32", "fp16"), ("fp16", "fp16"), ("int8", "int8")])
def test_the_precision_follows_from_the_file(
    build: Callable[..., FoundEngine], tmp_path: Path, holds: Precision, precision: Precision
) -> None:
    assert build(write_model(tmp_path / "net.onnx", precision=holds)).record.spec.precision == precision


def test_a_failed_build_leaves_no_engine(build: Callable[..., FoundEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise BuildError("it fails")

    with monkeypatch.context() as patch:
        patch.setattr(engine_cache, "compile_engine", fail)
        with pytest.raises(BuildError, match="it fails"):
            build()
    assert build().reason.startswith("there is no engine")


def test_who_waits_too_long_is_told_who_holds_the_lock(build: Callable[..., FoundEngine]) -> None:
    first = build()
    first.path.unlink()
    lock = first.path.with_name(f".{first.path.name}.lock")
    told: list[Path] = []
    with filelock.FileLock(lock), pytest.raises(BuildError, match=rf"more than 0.1 s \(it holds {lock}\): wait for it"):
        build(lock_seconds=0.1, waiting=told.append)
    assert told == [lock]
    assert build().reason.startswith("there is no engine")


HOLD = """
import sys, time, filelock
with filelock.FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lock_whose_holder_was_killed_holds_nobody(build: Callable[..., FoundEngine]) -> None:
    first = build()
    first.path.unlink()
    lock = first.path.with_name(f".{first.path.name}.lock")
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == b"held\n"
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    assert lock.exists()
    assert build(lock_seconds=HANG_SECONDS).reason  # whoever waits in vain is told that with an error


def test_two_processes_end_with_one_good_engine(rtx: Toolkit, engines: Path) -> None:
    """Both are started at once; the second finds what the first built, or comes late enough to find it at once."""
    command = [sys.executable, "-m", "heatstream", "build", "swahr-tiny", "--backend", "tensorrt-rtx"]
    processes = [
        subprocess.Popen([*command, "--size", "64x64"], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
        for _ in range(2)
    ]
    outs = [process.communicate(timeout=HANG_SECONDS)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted("found," in out for out in outs) == [False, True]
    (path,) = engines.glob("*.engine")
    assert load_plan(path, rtx).record.model.input_size == (64, 64)
    assert not list(engines.glob("*.part"))
