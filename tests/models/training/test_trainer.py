"""The loop: what a step depends on, what is kept, and what ends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra train")

from heatstream import skeletons  # noqa: E402
from heatstream.errors import RecipeError, TrainingError  # noqa: E402
from heatstream.models import create, load_checkpoint  # noqa: E402
from heatstream.models.pose.criterion import Criterion  # noqa: E402
from heatstream.models.pose.dataset import TrainingSet, load_training_set  # noqa: E402
from heatstream.models.settings import LossSettings, Recipe  # noqa: E402
from heatstream.models.training.build import build_network, build_optimiser  # noqa: E402
from heatstream.models.training.distributed import Processes  # noqa: E402
from heatstream.models.training.recipe import read_recipe  # noqa: E402
from heatstream.models.training.run_folder import RunFolder  # noqa: E402
from heatstream.models.training.trainer import StoppedError, Trainer, TrainMetrics, TrainResult  # noqa: E402
from tests.fakes.tiny_recipe import write_recipe_file  # noqa: E402


@dataclass
class Notes:
    """An observer that writes everything down, and asks to stop after a step."""

    stop_after: int | None = None
    steps: list[int] = field(default_factory=list)
    numbers: list[TrainMetrics] = field(default_factory=list)
    validations: list[tuple[int, float, bool]] = field(default_factory=list)

    def stepped(self, step: int) -> None:
        self.steps.append(step)

    def measured(self, numbers: TrainMetrics) -> None:
        self.numbers.append(numbers)

    def validated(self, step: int, scores: Mapping[str, float], *, best: bool) -> None:
        self.validations.append((step, scores["AP"], best))

    def asked_to_stop(self) -> bool:
        return self.stop_after is not None and bool(self.steps) and self.steps[-1] >= self.stop_after


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe_file(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def load_set(recipe: Recipe) -> TrainingSet:
    skeleton = skeletons.get(recipe.model.skeleton)
    return load_training_set(recipe.data, recipe.augment, skeleton, seed=recipe.train.seed)


def train(
    recipe: Recipe,
    folder: Path,
    notes: Notes | None = None,
    *,
    validate: Callable[[Any], Mapping[str, float]] | None = None,
) -> TrainResult:
    notes = notes or Notes()
    run = RunFolder(folder)
    network, _ = build_network(recipe)
    with run.held(), Processes("cpu") as processes:
        run.start(recipe)
        return Trainer(
            recipe,
            network,
            load_set(recipe),
            folder=run,
            state=run.load(recipe),
            processes=processes,
            validate=validate,
            observers=[notes],
            asked_to_stop=notes.asked_to_stop,
        ).run()


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def assert_same_run(one: Path, other: Path) -> None:
    """Every value of the two runs' resume.pt is the same, bit for bit."""
    assert_same(read(one / "resume.pt"), read(other / "resume.pt"))
    assert_same(read(one / "last.pt"), read(other / "last.pt"))


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            if key != "recipe":
                assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize(("precision", "stops"), [("fp32", (1,)), ("bf16", (3, 5))])
def test_a_run_in_parts_ends_with_the_weights_of_a_whole_one(
    precision: str, stops: tuple[int, ...], recipe_file: Path, tmp_path: Path
) -> None:
    recipe = read_recipe(recipe_file, [f"train.precision={precision}"])
    assert train(recipe, tmp_path / "whole").finished
    for stop in stops:
        outcome = train(recipe, tmp_path / "parts", Notes(stop_after=stop))
        assert (outcome.step, outcome.finished) == (stop, False)
    last = Notes()
    assert train(recipe, tmp_path / "parts", last).finished
    assert last.steps == list(range(stops[-1] + 1, 7))
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_how_often_it_is_saved_measured_or_logged_changes_no_weight(recipe_file: Path, tmp_path: Path) -> None:
    often = ["train.checkpoint_seconds=0", "train.log_every=1", "train.validate_every=2"]
    train(read_recipe(recipe_file), tmp_path / "seldom", validate=lambda network: {"AP": 1.0})
    train(read_recipe(recipe_file, often), tmp_path / "often", validate=lambda network: {"AP": 1.0})
    ours, theirs = (read(tmp_path / name / "resume.pt") for name in ("seldom", "often"))
    for part in ("network", "average", "optimiser"):
        assert_same(ours[part], theirs[part])


def test_seeds_decide_the_weights(recipe_file: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        train(read_recipe(recipe_file, ["train.steps=1", f"train.seed={seed}"]), tmp_path / str(seed))
    one, other = (read(tmp_path / name / "last.pt")["model"]["backbone.conv1.weight"] for name in ("0", "1"))
    assert not torch.equal(one, other)


def test_the_loss_falls(recipe_file: Path, tmp_path: Path) -> None:
    notes = Notes()
    train(read_recipe(recipe_file, ["train.steps=30", "train.log_every=5"]), tmp_path, notes)
    assert notes.numbers[-1].loss < 0.85 * notes.numbers[0].loss
    assert notes.numbers[-1].step == 30
    assert all(numbers.images_per_second > 0 for numbers in notes.numbers)


def test_the_best_weights_are_kept(recipe_file: Path, tmp_path: Path) -> None:
    scores = iter([10.0, 30.0, 20.0])
    seen: list[Any] = []

    def validate(network: Any) -> dict[str, float]:
        assert not network.training
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return {"AP": next(scores)}

    notes = Notes()
    outcome = train(read_recipe(recipe_file, ["train.validate_every=2"]), tmp_path, notes, validate=validate)
    assert notes.validations == [(2, 10.0, True), (4, 30.0, True), (6, 20.0, False)]
    assert outcome == TrainResult(step=6, finished=True, best=(30.0, 4))
    best, last = read(tmp_path / "best.pt"), read(tmp_path / "last.pt")
    assert (best["step"], last["step"]) == (4, 6)
    assert_same(best["model"], dict(seen[1]))
    assert best["config"] == {"network": "swahr-tiny", "skeleton": "coco-17", "size": 64}
    assert load_checkpoint(create("swahr-tiny"), tmp_path / "best.pt").coverage == "network"


def test_a_validation_that_is_broken_off_comes_after_the_return(recipe_file: Path, tmp_path: Path) -> None:
    def broken_off(network: Any) -> dict[str, float]:
        raise StoppedError

    recipe = read_recipe(recipe_file, ["train.validate_every=4"])
    assert train(recipe, tmp_path, validate=broken_off) == TrainResult(step=4, finished=False, best=None)
    notes = Notes()
    train(recipe, tmp_path, notes, validate=lambda network: {"AP": 5.0})
    assert [step for step, _, _ in notes.validations] == [4, 6]


class BadCriterion(Criterion):
    """A criterion whose loss is not finite in one step."""

    bad_step = 3

    def __init__(self, settings: LossSettings) -> None:
        super().__init__(settings)
        self.calls = 0

    def __call__(self, output: Any, batch: Any, *, first: int = 0) -> dict[str, Any]:
        terms = super().__call__(output, batch, first=first)
        if self.calls == self.bad_step:
            terms["pull"] = terms["pull"] * float("nan")
        self.calls += 1
        return terms


def test_a_loss_that_is_not_finite_ends_the_training_before_any_harm(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_recipe(recipe_file, ["train.checkpoint_seconds=0"])
    training_set = load_set(recipe)
    batch = recipe.train.batch
    numbers = range(BadCriterion.bad_step * batch, (BadCriterion.bad_step + 1) * batch)
    names = [training_set.photo_name(int(training_set[number].index)) for number in numbers]
    monkeypatch.setattr("heatstream.models.training.tasks.Criterion", BadCriterion)
    with pytest.raises(TrainingError) as raised:
        train(recipe, tmp_path)
    monkeypatch.undo()
    message = str(raised.value)
    assert "\n" not in message
    assert f"step {BadCriterion.bad_step + 1} " in message
    for name in names:
        assert name in message
    state = read(tmp_path / "resume.pt")
    assert state["step"] == BadCriterion.bad_step
    assert all(bool(value.isfinite().all()) for value in state["network"].values())
    assert train(recipe, tmp_path).finished


@pytest.mark.parametrize("change", ["train.precision=fp16", "train.device=cuda"])
def test_what_a_cpu_cannot_is_a_line_that_names_the_key(change: str, recipe_file: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        # Both values are right there, and there is nothing to refuse.
        pytest.skip("there is a GPU")
    recipe = read_recipe(recipe_file, [change])
    with pytest.raises(RecipeError, match=change.partition("=")[0]):
        Processes(recipe.train.device) and train(recipe, tmp_path)


def test_a_batch_that_cannot_be_shared_is_refused(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    recipe = read_recipe(recipe_file, ["train.batch=3"])
    network, _ = build_network(recipe)
    with pytest.raises(RecipeError, match=r"train\.batch = 3 cannot be shared equally by 2 processes"):
        Trainer(recipe, network, load_set(recipe), folder=RunFolder(tmp_path), processes=Processes("cpu"))


def test_scale_heads_learn_only_with_sahr(recipe_file: Path) -> None:
    for adaptive in (True, False):
        network, _ = build_network(read_recipe(recipe_file, [f"loss.scale_adaptive={str(adaptive).lower()}"]))
        learning = {name.partition(".")[0] for name, p in network.named_parameters() if p.requires_grad}
        assert ({"quarter_scales", "half_scales"} <= learning) == adaptive


def test_norms_and_biases_are_spared_the_weight_decay(recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file)
    optimiser = build_optimiser(build_network(recipe)[0], recipe.train)
    decayed = {p.dim() > 1: group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    assert decayed == {True: 0.01, False: 0.0}


def test_slow_modules_learn_at_their_share_of_the_rate(recipe_file: Path) -> None:
    changes = ["train.slow_modules=['backbone.conv1', 'fpn']", "train.slow_factor=0.25"]
    recipe = read_recipe(recipe_file, changes)
    network = build_network(recipe)[0]
    factors = {
        p: group["rate_factor"]
        for group in build_optimiser(network, recipe.train).param_groups
        for p in group["params"]
    }
    for name, parameter in network.named_parameters():
        assert factors[parameter] == (0.25 if name.startswith(("backbone.conv1.", "fpn.")) else 1), name


def test_frozen_modules_keep_their_weights(recipe_file: Path) -> None:
    network, _ = build_network(read_recipe(recipe_file, ["model.frozen=['fpn', 'backbone.blocks.0']"]))
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen
    assert all(name.startswith(("fpn.", "backbone.blocks.0.")) for name in frozen)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.frozen=['trunk']", "model.frozen: there is no module trunk; the network has backbone"),
        ("train.slow_modules=['trunk']", "train.slow_modules: trunk is no module that learns"),
    ],
)
def test_modules_that_are_not_there_are_refused(recipe_file: Path, change: str, message: str) -> None:
    recipe = read_recipe(recipe_file, [change])
    with pytest.raises(RecipeError, match=message):
        build_optimiser(build_network(recipe)[0], recipe.train)


def test_a_student_learns_from_a_teacher(recipe_file: Path, tmp_path: Path) -> None:
    """With labels of heatmaps left out: the terms are the teacher's and the tags'."""
    changes = [
        *("train.steps=1", "loss.heatmap_weights=[0, 0]", "loss.scale_adaptive=false"),
        *("teacher.network=swahr-tiny", "teacher.checkpoint=swahr-tiny", "teacher.sizes=[64, 96]"),
    ]
    notes = Notes()
    train(read_recipe(recipe_file, changes), tmp_path, notes)
    assert set(notes.numbers[-1].terms) == {"push", "pull", "teacher4", "teacher2"}


def test_training_starts_from_given_weights(recipe_file: Path, tmp_path: Path) -> None:
    train(read_recipe(recipe_file, ["train.steps=1"]), tmp_path)
    network, report = build_network(read_recipe(recipe_file, [f"model.init={tmp_path / 'last.pt'}", "train.seed=7"]))
    assert report is not None
    assert report.coverage == "network"
    assert_same(dict(network.state_dict()), read(tmp_path / "last.pt")["model"])
