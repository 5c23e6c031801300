"""Model files whose weights lie beside them: another weight is another model, wherever the program runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from heatstream.engine_builder.onnx_file import external_files
from heatstream.engine_builder.trt.model_source import read_model
from heatstream.errors import HeatstreamError, ModelFileError
from tests.fakes.runtime import MODELS

onnx = pytest.importorskip("onnx", reason="onnx comes with the extra test")

WHOLE = MODELS / "spots.onnx"


@pytest.fixture
def apart(tmp_path: Path) -> Path:
    """A model file whose weights are in ``weights.bin`` beside it."""
    path = tmp_path / "apart.onnx"
    model = onnx.load(str(WHOLE))
    onnx.save(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def test_a_file_in_one_piece_has_none() -> None:
    assert external_files(WHOLE) == ()


def test_other_weights_are_another_model(apart: Path) -> None:
    weights = apart.with_name("weights.bin")
    assert external_files(apart) == (weights,)
    before = read_model(apart)
    weights.write_bytes(weights.read_bytes()[::-1])
    assert read_model(apart).sha256 != before.sha256
    with pytest.raises(ModelFileError, match="has just changed"):
        before.graph(before.info)


def test_the_graph_holds_the_weights_wherever_the_program_runs(
    apart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    source = read_model(Path("../apart.onnx"))
    graph = onnx.load_from_string(source.graph(source.info)).graph
    wanted = onnx.load(str(WHOLE)).graph
    for one, other in zip(graph.initializer, wanted.initializer, strict=True):
        assert (onnx.numpy_helper.to_array(one) == onnx.numpy_helper.to_array(other)).all()


def test_weights_that_are_gone_or_elsewhere_are_refused(apart: Path, tmp_path: Path) -> None:
    shutil.move(tmp_path / "weights.bin", tmp_path / "other.bin")
    with pytest.raises(HeatstreamError, match=r"weights\.bin"):
        read_model(apart)
    (tmp_path.parent / "side.bin").write_bytes(b"0" * 1000)
    apart.write_bytes(apart.read_bytes().replace(b"weights.bin", b"../side.bin"))
    with pytest.raises(ModelFileError, match="outside its folder"):
        external_files(apart)


@pytest.mark.parametrize("keep", [10, 200, -3])
def test_a_damaged_file_is_one_sentence(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(WHOLE.read_bytes()[:keep])
    with pytest.raises(ModelFileError, match=r"cut\.onnx"):
        external_files(path)
