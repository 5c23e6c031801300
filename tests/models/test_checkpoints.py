"""Checkpoints: what loads, how much of the network it fills, and what is refused."""

from __future__ import annotations

import argparse
import os
import pickle
import tarfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from heatstream import models  # noqa: E402
from heatstream.errors import CheckpointError  # noqa: E402
from heatstream.models.networks.hrnet import HRNet, SwahrHRNet  # noqa: E402

State = dict[str, Any]


def small(num_keypoints: int = 5, width: int = 8) -> SwahrHRNet:
    """The smallest network of the family; its fourth stage has three modules, as in the official ones."""
    return SwahrHRNet(num_keypoints, width=width, modules=(1, 1, 3), blocks=1)


def trained(num_keypoints: int = 5, width: int = 8) -> State:
    """A full state dict with values that no fresh network has."""
    return {key: torch.full_like(value, 7) for key, value in small(num_keypoints, width).state_dict().items()}


def without(state: State, *prefixes: str) -> State:
    return {key: value for key, value in state.items() if not key.startswith(prefixes)}


def prefixed(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


def imagenet() -> State:
    """An HRNet with every branch updated at the end and a classifier on top."""
    state = HRNet(width=8, modules=(1, 1, 3), blocks=1, coarse_outputs=True).state_dict()
    state = {key: torch.full_like(value, 7) for key, value in state.items()}
    return {**state, "incre_modules.0.0.conv1.weight": torch.ones(2), "classifier.weight": torch.ones(2)}


HEADS = ("final_layers", "deconv_layers", "conv_scale_layers")


@pytest.mark.parametrize(
    ("content", "coverage", "missing"),
    [
        pytest.param(trained(), "network", set(), id="official SWAHR"),
        pytest.param(prefixed(trained(), "module."), "network", set(), id="DataParallel"),
        pytest.param(prefixed(trained(), "module.1."), "network", set(), id="FP16 training in parallel"),
        pytest.param(
            {"epoch": 3, "model": "pose_higher_hrnet", "state_dict": trained()},
            "network",
            set(),
            id="official wrapper",
        ),
        pytest.param({"model": trained(), "optimizer": {"lr": 0.1}}, "network", set(), id="our trainer's wrapper"),
        pytest.param(
            {key: value for key, value in trained().items() if not key.endswith("num_batches_tracked")},
            "network",
            set(),
            id="saved before torch counted batches",
        ),
        pytest.param(
            without(trained(), "conv_scale_layers."),
            "network without scale heads",
            {"conv_scale_layers"},
            id="HigherHRNet",
        ),
        *(
            pytest.param(content, "network", set(), id=name)
            for name, content in {
                "Lightning": {"state_dict": {f"model.{key}": value for key, value in trained().items()}},
                "net.": {f"net.{key}": value for key, value in trained().items()},
                "averaged": {"n_averaged": torch.tensor(3)}
                | {f"module.{key}": value for key, value in trained().items()},
                "counted": trained() | {"total_ops": torch.zeros(1), "final_layers.total_params": torch.zeros(1)},
                **{name: {name: trained()} for name in ("model_state", "net", "params", "weights", "ema_state_dict")},
                "in two wrappers": {"model": {"state_dict": trained()}},
                "a number of NumPy's": {"state_dict": trained(), "best": np.float64(0.7), "epoch": np.int64(3)},
                "a defaultdict": {"state_dict": trained(), "log": defaultdict(list, loss=[0.1])},
                "options": {"state_dict": trained(), "args": argparse.Namespace(lr=0.1)},
            }.items()
        ),
        pytest.param(imagenet(), "backbone", set(HEADS), id="ImageNet"),
        pytest.param(without(trained(), *HEADS), "backbone", set(HEADS), id="bare backbone"),
    ],
)
def test_known_checkpoints_load(tmp_path: Path, content: State, coverage: str, missing: set[str]) -> None:
    torch.save(content, tmp_path / "weights.pth")
    model = small()
    before = {key: value.clone() for key, value in model.state_dict().items()}

    report = models.load_checkpoint(model, tmp_path / "weights.pth")

    assert report.coverage == coverage
    lacking = {key.split(".")[0] for key in report.missing if not key.endswith("num_batches_tracked")}
    assert lacking == missing
    assert all(module in str(report) for module in missing)
    for key, value in model.state_dict().items():
        expected = before[key] if key in report.missing else torch.full_like(value, 7)
        assert torch.equal(value, expected), key


def test_a_strict_load_of_what_was_saved_gives_the_same_outputs(tmp_path: Path) -> None:
    source, target = small().eval(), small().eval()
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    assert models.load_checkpoint(target, tmp_path / "weights.pth").missing == ()
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(source(images).heatmaps[1], target(images).heatmaps[1])


class Bomb:
    """Runs a command when it is unpickled by an unwary reader."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.proof),)  # type: ignore[return-value]


def _with(key: str, value: Any) -> State:
    return {**trained(), key: value}


def _nan_in(key: str) -> State:
    return _with(key, torch.full_like(trained()[key], float("nan")))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(trained(num_keypoints=3), "predicts 3 keypoints, expected 5", id="other skeleton"),
        pytest.param(trained(width=16), "HRNet of width 16, expected 8", id="other width"),
        pytest.param(without(trained(), "stage3."), r"of another network: \d+ entries are missing", id="hole in it"),
        pytest.param(without(trained(), "final_layers."), "of another network", id="half a head"),
        pytest.param({"fc.weight": torch.ones(3)}, r"1 are not of it \(the first is fc.weight\)", id="foreign"),
        pytest.param(_with("extra", torch.ones(1)), "not of it", id="one more"),
        pytest.param(_with("layer1.0.conv2.weight", torch.ones(2)), r"of shape \(2,\), expected", id="other shape"),
        pytest.param(_with("bn1.weight", torch.ones(64, dtype=torch.int64)), "as torch.int64", id="integers"),
        pytest.param(_with("bn1.weight", torch.ones(64).to_sparse()), "as torch.float32", id="sparse"),
        pytest.param(_nan_in("bn1.bias"), "bn1.bias that are not finite", id="NaN"),
        pytest.param([torch.ones(3)], "holds no state dict", id="list"),
        pytest.param({}, "holds no state dict", id="empty mapping"),
        pytest.param({"state_dict": {"a": 1}}, "holds no state dict", id="numbers"),
        pytest.param(small(), "besides tensors", id="whole module"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path: Path, content: Any, words: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    assert_refused(path, words)


def test_a_pickle_bomb_is_refused_and_does_not_go_off(tmp_path: Path) -> None:
    proof = tmp_path / "exploded"
    torch.save({**trained(), "bomb": Bomb(proof)}, tmp_path / "bomb.pth")
    assert_refused(tmp_path / "bomb.pth", "besides tensors")
    assert not proof.exists()


def _text(path: Path) -> None:
    path.write_text("these are no weights\n")


def _empty(path: Path) -> None:
    path.touch()


def _cut(path: Path) -> None:
    torch.save(trained(), path)
    path.write_bytes(path.read_bytes()[:2000])


def _folder(path: Path) -> None:
    path.mkdir()


def _nothing(path: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_text, "no torch checkpoint"),
        (_empty, "is empty"),
        (_cut, "cut short"),
        (_folder, "is a folder"),
        (_nothing, "does not exist"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    make(tmp_path / "weights.pth")
    assert_refused(tmp_path / "weights.pth", words)


def assert_refused(path: Path, words: str) -> None:
    """One line that names the file, its reason and a remedy, and a network that is as it was."""
    model = small()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=words) as caught:
        models.load_checkpoint(model, path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert any(verb in message for verb in ("give", "save", "choose", "use"))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["swahr-tiny", "swahr-w32"])
def test_the_heads_can_be_left_out_for_another_skeleton(tmp_path: Path, name: str) -> None:
    path = tmp_path / "coco.pth"
    torch.save({key: torch.full_like(v, 7) for key, v in models.create(name).state_dict().items()}, path)
    other = models.create(name, skeleton="crowdpose-14")
    with pytest.raises(CheckpointError):
        models.load_checkpoint(other, path)

    report = models.load_checkpoint(other, path, heads=False)
    assert report.coverage == "backbone"
    left = {key for key, value in other.state_dict().items() if value.is_floating_point() and bool((value != 7).any())}
    assert left
    assert left <= set(report.missing)


# ---- Files of a kind people have -------------------------------------------------------------------------------------


def arrays(state: State) -> State:
    return {key: value.numpy() for key, value in state.items()}


def modules(state: State) -> State:
    """The state of each module on its own."""
    parts: dict[str, State] = defaultdict(dict)
    for key, value in state.items():
        module, _, rest = key.partition(".")
        parts[module][rest] = value
    return dict(parts)


def parts_apart(state: State, trunk: str, head: str) -> State:
    """Trunk and heads under names of their own, as MMPose has them."""
    return {(head if key.startswith(HEADS) else trunk) + key: value for key, value in state.items()}


def half(state: State) -> State:
    return {key: value.half() if value.is_floating_point() else value for key, value in state.items()}


def optimiser() -> State:
    network = small()
    steps = torch.optim.AdamW(network.parameters())
    network(torch.zeros(1, 3, 64, 64)).tags.sum().backward()
    steps.step()
    state: State = steps.state_dict()
    return state


def as_parameters(state: State) -> State:
    return {k: torch.nn.Parameter(v, requires_grad=False) for k, v in state.items()}


LOADED: dict[str, Callable[[], Any]] = {
    "plain": trained,
    "ordered": lambda: OrderedDict(trained()),
    "parameters": lambda: as_parameters(trained()),
    "half precision": lambda: half(trained()),
    "bfloat16": lambda: {k: v.bfloat16() if v.is_floating_point() else v for k, v in trained().items()},
    "eight bits": lambda: {k: v.to(torch.float8_e4m3fn) if v.is_floating_point() else v for k, v in trained().items()},
    "double precision": lambda: {k: v.double() if v.is_floating_point() else v for k, v in trained().items()},
    "NumPy arrays": lambda: arrays(trained()),
    "NumPy arrays in a wrapper": lambda: {"model": arrays(trained()), "iteration": np.int64(4)},
    "numbers beside the weights": lambda: {**trained(), "epoch": 3, "best": 0.7},
    "NumPy numbers beside the weights": lambda: {**trained(), "best": np.float64(0.7), "seen": np.bool_(True)},
    "an unknown wrapper": lambda: {"the_weights_v2": trained(), "epoch": 1},
    "three wrappers": lambda: {"checkpoint": {"model": {"state_dict": trained()}}},
    "with the optimiser": lambda: {"model": trained(), "optimizer": optimiser()},
    "Lightning": lambda: {
        "epoch": 1,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": prefixed(trained(), "model."),
        "callbacks": {"ModelCheckpoint{'monitor': 'val/AP'}": {"best_model_score": torch.tensor(0.6)}},
        "hyper_parameters": {"lr": 1e-3, "folder": Path("/data")},
    },
    "Lightning with its loss": lambda: {
        "state_dict": {**prefixed(trained(), "pose_net."), "loss.weight": torch.ones(3)}
    },
    "DataParallel of torch.compile": lambda: prefixed(trained(), "module._orig_mod."),
    "torch.compile": lambda: prefixed(trained(), "_orig_mod."),
    "encoder.": lambda: prefixed(trained(), "encoder."),
    "a long prefix": lambda: prefixed(trained(), "trainer.model.module.net."),
    "averaged": lambda: {"n_averaged": torch.tensor(3), **prefixed(trained(), "module.")},
    "average beside the weights": lambda: {"model": trained(), "model_ema": small().state_dict()},
    "average under a prefix": lambda: {
        "state_dict": {**prefixed(trained(), "model."), **prefixed(small().state_dict(), "ema_model.")}
    },
    "counted": lambda: trained() | {"total_ops": torch.zeros(1), "layer1.total_params": torch.zeros(1)},
    "MMPose 0.x": lambda: {
        "meta": {"hook_msgs": {"best_score": np.float64(0.6)}, "time": "Mon"},
        "state_dict": parts_apart(without(trained(), "conv_scale_layers."), "backbone.", "keypoint_head."),
    },
    "MMPose 1.x": lambda: {
        "state_dict": parts_apart(without(trained(), "conv_scale_layers."), "backbone.", "head."),
        "message_hub": {"log_scalars": {}},
    },
    "modules apart": lambda: {"state_dict": modules(trained())},
    "a defaultdict": lambda: {"state_dict": trained(), "log": defaultdict(list, loss=[0.1])},
    "options": lambda: {"state_dict": trained(), "args": argparse.Namespace(lr=0.1, out=Path("runs"))},
    "a set and a tuple": lambda: {"state_dict": trained(), "seen": {1, 2}, "betas": (0.9, 0.99)},
    "the version of torch": lambda: {"state_dict": trained(), "torch": str(torch.__version__)},
    "the state of NumPy's random numbers": lambda: {
        "model": trained(),
        "rng": np.random.get_state(),
        "run": np.str_("a"),
    },
    "no counters of batches": lambda: {k: v for k, v in trained().items() if not k.endswith("batches_tracked")},
}


class Settings:
    """Options of a program that is not installed here."""


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "whole module": (small, "besides tensors"),
    "an object of a program's own": (lambda: {"state_dict": trained(), "cfg": Settings()}, "besides tensors"),
    "a function": (lambda: {"state_dict": trained(), "loss": os.getcwd}, "besides tensors"),
    "records of NumPy's": (lambda: {"state_dict": trained(), "log": np.zeros(3, [("a", "f4")])}, "besides tensors"),
    "beyond single precision": (
        lambda: {k: v.double() * 1e300 if v.is_floating_point() else v for k, v in trained().items()},
        "not finite",
    ),
    "values without names": (lambda: {"shadow_params": list(trained().values())}, "holds no state dict"),
    "the optimiser alone": (optimiser, "holds no state dict|of another network"),
    "student and teacher": (
        lambda: {**prefixed(trained(), "student."), **prefixed(small().state_dict(), "teacher.")},
        r"several times, as (student|teacher)\.\* and",
    ),
    "the heads alone": (
        lambda: {key: value for key, value in trained().items() if key.startswith("final_layers")},
        "of another network",
    ),
    "half of it": (lambda: dict(list(trained().items())[::2]), "of another network"),
    "another family": (lambda: {"layer4.0.conv1.weight": torch.ones(3, 3)}, "of another network"),
    "weights in two parts each": (
        lambda: {f"{k}_{part}" if k.endswith(".weight") else k: v for k, v in trained().items() for part in "gv"},
        "of another network",
    ),
    "complex numbers": (lambda: {k: v.to(torch.complex64) for k, v in trained().items()}, "complex64"),
    "texts": (lambda: {"state_dict": {"conv1.weight": "0.1"}}, "holds no state dict"),
}


def test_there_are_as_many_kinds_as_people_have() -> None:
    assert len(LOADED) + len(REFUSED) == 47


@pytest.mark.parametrize("kind", LOADED)
def test_a_kind_of_checkpoint_loads_whole(tmp_path: Path, kind: str) -> None:
    torch.save(LOADED[kind](), tmp_path / "weights.pth")
    network = small()
    report = models.load_checkpoint(network, tmp_path / "weights.pth")
    assert report.coverage in ("network", "network without scale heads")
    filled = {k: v for k, v in network.state_dict().items() if k not in report.missing}
    assert all(torch.equal(value, torch.full_like(value, 7)) for value in filled.values())
    assert {key.split(".")[0] for key in report.missing if not key.endswith("batches_tracked")} <= {"conv_scale_layers"}
    assert ("left out: " in str(report)) == bool(report.unexpected)


@pytest.mark.parametrize("kind", REFUSED)
def test_a_kind_of_checkpoint_is_refused_in_one_sentence(tmp_path: Path, kind: str) -> None:
    make, words = REFUSED[kind]
    torch.save(make(), tmp_path / "weights.pth")
    assert_refused(tmp_path / "weights.pth", words)


def test_a_later_pickle_protocol_is_named(tmp_path: Path) -> None:
    torch.save(trained(), tmp_path / "weights.pth", pickle_protocol=4)
    assert_refused(tmp_path / "weights.pth", "a pickle_protocol above 2")


def test_weights_that_have_rotted_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(trained(), path)
    data = bytearray(path.read_bytes())
    data[data.find(np.full(8, 7, np.float32).tobytes())] ^= 0x40  # a bit of a weight
    path.write_bytes(data)
    assert_refused(path, "is damaged: download or save it again")


def test_what_was_left_out_is_listed(tmp_path: Path) -> None:
    torch.save(LOADED["average under a prefix"](), tmp_path / "weights.pth")
    report = models.load_checkpoint(small(), tmp_path / "weights.pth")
    assert len(report.unexpected) == len(trained())
    assert "left out: ema_model" in str(report)


def test_safetensors_load(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.torch", reason="safetensors comes with the extra train")
    path = tmp_path / "weights.safetensors"
    library.save_file(prefixed(trained(), "model."), path)
    assert models.load_checkpoint(small(), path).coverage == "network"
    path.write_bytes(path.read_bytes()[:1000])
    assert_refused(path, "no safetensors file")


def test_paddles_pickles_hold_arrays_alone(tmp_path: Path) -> None:
    path = tmp_path / "weights.pdparams"
    for protocol in (2, 4):
        path.write_bytes(pickle.dumps(arrays(trained()), protocol=protocol))
        assert models.load_checkpoint(small(), path).coverage == "network"
    proof = tmp_path / "exploded"
    path.write_bytes(pickle.dumps({**arrays(trained()), "bomb": Bomb(proof)}, protocol=2))
    assert_refused(path, r"holds an object \(\w+\.mkdir\) besides arrays")
    assert not proof.exists()
    path.write_bytes(pickle.dumps(arrays(trained()))[:5000])
    assert_refused(path, "no file of Paddle's")


def _page(path: Path) -> None:
    path.write_text("<!DOCTYPE html>\n<html><body>Google Drive can't scan this file</body></html>")


def _pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def _archive(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("weights.pth"))


def _script(path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(path))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_page, "is a web page"),
        (_pointer, "a pointer of Git LFS"),
        (_archive, "is an archive: unpack it and give"),
        (_script, "is a TorchScript program"),
    ],
)
def test_what_people_give_by_mistake_is_named(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    make(tmp_path / "weights.pth")
    assert_refused(tmp_path / "weights.pth", words)


def test_a_checkpoint_that_does_not_say_its_skeleton_is_opened_with_it(tmp_path: Path) -> None:
    from heatstream import skeletons
    from heatstream.models.checkpoint_network import open_network
    from heatstream.models.checkpoints import origin_config
    from heatstream.skeleton_tables import skeleton_from_table

    layout = skeletons.register(skeleton_from_table({"name": "opened-3", "keypoints": ["a", "b", "c"]}))
    state = models.create("swahr-tiny", skeleton=layout.name).state_dict()
    torch.save(state, tmp_path / "theirs.pth")
    with pytest.raises(CheckpointError, match=r"expected \(17|of another network|expected 17"):
        open_network("swahr-tiny", tmp_path / "theirs.pth")
    _, info = open_network("swahr-tiny", tmp_path / "theirs.pth", skeleton=layout.name)
    assert (info.skeleton, info.num_keypoints, info.calibration) == (layout.name, 3, ())
    torch.save({"model": state, "config": origin_config("swahr-tiny", layout.name, 64)}, tmp_path / "ours.pth")
    assert open_network(None, tmp_path / "ours.pth")[1].skeleton == layout.name
    with pytest.raises(CheckpointError, match="finds opened-3, not coco-17: leave the skeleton out"):
        open_network(None, tmp_path / "ours.pth", skeleton="coco-17")
