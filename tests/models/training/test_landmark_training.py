"""Landmarks through the trainer of poses: recipes, exact resumption, several processes, and learning at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra train")

from heatstream import catalog, skeletons  # noqa: E402
from heatstream.errors import RecipeError  # noqa: E402
from heatstream.models.checkpoints import read_origin  # noqa: E402
from heatstream.models.landmarks.evaluation import evaluate_landmarks  # noqa: E402
from heatstream.models.landmarks.readers import read_faces  # noqa: E402
from heatstream.models.settings import AnyRecipe, LandmarkRecipe, Recipe  # noqa: E402
from heatstream.models.training.build import build_network  # noqa: E402
from heatstream.models.training.distributed import Processes  # noqa: E402
from heatstream.models.training.recipe import differences, parse_recipe, read_recipe, write_recipe  # noqa: E402
from heatstream.models.training.recipe_checks import check_files  # noqa: E402
from heatstream.models.training.run_folder import RunFolder  # noqa: E402
from heatstream.models.training.tasks import load_samples, make_criterion, score_of  # noqa: E402
from heatstream.models.training.trainer import Trainer, TrainResult  # noqa: E402
from heatstream.runtime.engines.torch_engine import TorchEngine  # noqa: E402
from heatstream.runtime.pipelines.landmarks import LandmarkPipeline  # noqa: E402
from tests.fakes.tiny_faces_recipe import RECIPE, write_faces_recipe  # noqa: E402
from tests.fakes.tiny_recipe import RECIPE as POSE_RECIPE  # noqa: E402


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces_recipe(tmp_path_factory.mktemp("landmarks"))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def train(
    recipe: AnyRecipe,
    folder: Path,
    *,
    stop_after: int | None = None,
    validate: Callable[[Any], Mapping[str, float]] | None = None,
) -> TrainResult:
    run, steps = RunFolder(folder), []

    class Steps:
        def stepped(self, step: int) -> None:
            steps.append(step)

        def measured(self, numbers: Any) -> None:
            assert np.isfinite(numbers.loss)

        def validated(self, step: int, scores: Mapping[str, float], *, best: bool) -> None:
            """Not looked at."""

    network, _ = build_network(recipe)
    with run.held(), Processes("cpu") as processes:
        run.start(recipe)
        return Trainer(
            recipe,
            network,
            load_samples(recipe),
            folder=run,
            state=run.load(recipe),
            processes=processes,
            validate=validate,
            observers=(Steps(),),
            asked_to_stop=lambda: stop_after is not None and bool(steps) and steps[-1] >= stop_after,
        ).run()


def read(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def test_the_network_decides_what_a_recipe_may_say() -> None:
    assert isinstance(parse_recipe(RECIPE), LandmarkRecipe)
    assert isinstance(parse_recipe(POSE_RECIPE), Recipe)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("augment.mosaic=0.5", ["there is no key augment.mosaic"]),
        ("loss.sigma=2.0", ["there is no key loss.sigma"]),
        ("loss.rounding=nearst", ["loss.rounding = 'nearst'", "did you mean nearest?"]),
        ("data.sets.0.format=wlfw", ["data.sets.0.format = 'wlfw'", "did you mean wflw?"]),
        ("data.size=64", ["data.size = 64", "a list"]),
        ("data.size=[64, 100]", ["data.size.1 = 100", "a multiple of 32"]),
        ("data.validation.norm=pupils", ["data.validation.norm", "inter-pupil"]),
        ("model.skeleton=aflw19", ["model.skeleton", "aflw-19"]),
        ("model.name=swahr-tiny", ["data.size = [64, 64]", "a whole number"]),
    ],
)
def test_what_a_recipe_may_not_say_is_told(change: str, words: list[str]) -> None:
    with pytest.raises(RecipeError) as raised:
        parse_recipe(RECIPE, [change])
    for word in words:
        assert word in str(raised.value)


def test_a_skeleton_that_is_left_out_is_the_networks_own() -> None:
    without = RECIPE.replace('skeleton = "aflw-19"\n', "")
    recipe = parse_recipe(without)
    assert recipe.model.skeleton == "300w-68"
    assert parse_recipe(write_recipe(recipe)) == recipe
    assert parse_recipe(POSE_RECIPE).model.skeleton == "coco-17"


def test_two_recipes_differ_by_their_keys() -> None:
    recipe = parse_recipe(RECIPE)
    other = parse_recipe(RECIPE, ["loss.rounding=nearest", "train.log_every=7"])
    assert [line.partition(" ")[0] for line in differences(recipe, other)] == ["loss.rounding"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("data.sets.0.annotations=face.json", ["data.sets.0.annotations", "face.json", "did you mean faces.json?"]),
        ("data.validation.annotations=no.json", ["data.validation.annotations", "no.json"]),
        ("data.sets.0.format=lapa", ["data.sets.0.annotations", "there is no folder"]),
        ("data.sets.0.format=wflw", ["data.sets.0.images"]),
    ],
)
def test_files_that_are_not_there_are_told(recipe_file: Path, change: str, words: list[str]) -> None:
    changes = [change, "data.sets.0.images=photos"]
    with pytest.raises(RecipeError) as raised:
        check_files(read_recipe(recipe_file, changes))
    for word in words:
        assert word in str(raised.value)


def test_files_that_are_there_are_no_matter(recipe_file: Path) -> None:
    check_files(read_recipe(recipe_file))


def test_lower_errors_are_better(recipe_file: Path, tmp_path: Path) -> None:
    values = iter([9.0, 7.5, 8.0])
    recipe = read_recipe(recipe_file, ["train.validate_every=2"])
    assert score_of(recipe).name == "NME"
    assert train(recipe, tmp_path, validate=lambda network: {"NME": next(values)}).best == (7.5, 4)
    origin = read_origin(tmp_path / "best.pt")
    assert origin is not None
    assert (origin.network, origin.skeleton, origin.size) == ("h3r-mobile-300w68", "aflw-19", (64, 64))


def test_an_interrupted_training_ends_as_an_unbroken_one(recipe_file: Path, tmp_path: Path) -> None:
    recipe = read_recipe(recipe_file)
    assert train(recipe, tmp_path / "unbroken").finished
    assert not train(recipe, tmp_path / "broken", stop_after=3).finished
    assert train(recipe, tmp_path / "broken").finished
    one, other = (read(tmp_path / name / "resume.pt") for name in ("unbroken", "broken"))
    for part in ("network", "average"):
        for name, value in one[part].items():
            assert torch.equal(value, other[part][name]), name


def test_processes_that_share_a_batch_draw_other_targets() -> None:
    """The global number of a share's first sample is what chance depends on."""
    recipe = parse_recipe(RECIPE)
    criterion, logits = make_criterion(recipe), torch.randn(2, 2, 19, 16, 16)
    points = torch.rand(2, 19, 2) * 50 + 4

    class Batch:
        image = torch.zeros(2, 64, 64, 3)

    Batch.points = points  # type: ignore[attr-defined]
    first, second = (float(criterion(logits, Batch(), first=number)["location"]) for number in (8, 10))
    assert first != second


@pytest.mark.slow
def test_a_handful_of_faces_is_learnt_by_heart(recipe_file: Path, tmp_path: Path) -> None:
    changes = ["train.steps=150", "train.batch=8", "train.warmup_steps=10", "augment.colour=0.0"]
    recipe = read_recipe(recipe_file, [*changes, "augment.rotation=10.0", "augment.flip=0.0"])
    assert isinstance(recipe, LandmarkRecipe)
    skeleton = skeletons.get(recipe.model.skeleton)
    faces = read_faces(recipe_file.parent / "faces.json", skeleton)
    info = catalog.get(recipe.model.name).info()
    sized = replace(info, skeleton=skeleton.name, input_size=recipe.data.size)

    def validate(network: Any) -> Mapping[str, float]:
        pipeline = LandmarkPipeline(TorchEngine(network, sized))
        found = evaluate_landmarks(lambda frame, boxes: pipeline(frame, boxes).landmarks, faces, skeleton, norm="box")
        return {"NME": found.scores.nme}

    best = train(recipe, tmp_path, validate=validate).best
    assert best is not None
    assert best[0] < 3  # per cent of the box; random weights have some 30
