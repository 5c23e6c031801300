"""Recipes: what they may say, and how what they may not say is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from heatstream.errors import RecipeError
from heatstream.models.training.recipe import differences, parse_recipe, read_recipe, recipe_schema, write_recipe
from heatstream.models.training.recipe_checks import check_files
from tests.fakes.tiny_recipe import RECIPE, write_recipe_file

RECIPES = sorted((Path(__file__).resolve().parents[3] / "heatstream" / "recipes").glob("*.toml"))


def test_there_are_recipes() -> None:
    names = {path.stem for path in RECIPES}
    assert names >= {"swahr-tiny", "swahr-w32-coco", "swahr-w48-coco", "swahr-w48-crowdpose", "finetune"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_that_comes_along_can_be_read(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.train.out == str(Path("runs") / path.stem)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_written_recipe_is_the_same_recipe(path: Path) -> None:
    recipe = read_recipe(path)
    assert parse_recipe(write_recipe(recipe)) == recipe


def test_texts_are_written_so_that_they_are_read_again() -> None:
    recipe = parse_recipe(RECIPE, ['model.init="a \\"b\\" \\\\ é \\u0001 \\u007f.pt"'])
    assert recipe.model.init == 'a "b" \\ é \x01 \x7f.pt'
    assert parse_recipe(write_recipe(recipe)) == recipe


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        ("train.steps=7", "train.steps", 7),
        ("train.rate=1", "train.rate", 1.0),
        ("train.rate = 1e-3", "train.rate", 1e-3),
        ("model.name=swahr-w32", "model.name", "swahr-w32"),
        ('model.name="swahr-w32"', "model.name", "swahr-w32"),
        ("model.init=runs/a=b/best.pt", "model.init", "runs/a=b/best.pt"),
        ("augment.scale=[0.5, 2]", "augment.scale", (0.5, 2.0)),
        ("loss.scale_adaptive=false", "loss.scale_adaptive", False),
        ("train.schedule=constant", "train.schedule", "constant"),
        ("data.validation.limit=5", "data.validation.limit", 5),
    ],
)
def test_set_changes_one_value(change: str, key: str, value: object) -> None:
    found: object = parse_recipe(RECIPE, [change])
    for name in key.split("."):
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


def test_set_reaches_into_a_set() -> None:
    recipe = parse_recipe(RECIPE, ["data.sets.0.weight=2", "data.sets.0.images=other"])
    assert (recipe.data.sets[0].weight, recipe.data.sets[0].images) == (2.0, "other")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        # Unknown keys, with the nearest one there is.
        ("train.stpes=3", ["train.stpes", "did you mean train.steps?"]),
        ("training.steps=3", ["training", "did you mean train?"]),
        ("steps=3", ["steps", "did you mean train.steps?"]),
        ("augment.rot=3", ["augment.rot", "did you mean augment.rotation?"]),
        ("train.sigma=3", ["train.sigma", "did you mean loss.sigma?"]),
        ("data.sets.0.wieght=3", ["data.sets.0.wieght", "did you mean data.sets.weight?"]),
        ("data.sets.1.weight=3", ["data.sets.1", "data.sets.0"]),
        ("data.sets.first.weight=3", ["data.sets.first", "data.sets.0"]),
        ("data.sets.².weight=3", ["data.sets.²", "data.sets.0"]),
        ("train.steps.more=3", ["train.steps", "is a value"]),
        ("train.steps.more.still=3", ["train.steps", "is a value"]),
        ("train.steps", ["train.steps", "section.key=value"]),
        ("=3", ["section.key=value"]),
        # Wrong types.
        ("train.steps=3.5", ["train.steps = 3.5", "a whole number"]),
        ("train.steps=many", ["train.steps = 'many'", "a whole number"]),
        ("train.steps=true", ["train.steps = True", "a whole number"]),
        ("train.rate=fast", ["train.rate = 'fast'", "a number"]),
        ("loss.scale_adaptive=1", ["loss.scale_adaptive = 1", "true or false"]),
        ("model.init=3", ["model.init = 3", "a text"]),
        ("augment.scale=1", ["augment.scale = 1", "a list"]),
        ("augment.scale=[1, 2, 3]", ["augment.scale", "3 values", "give 2"]),
        ('augment.scale=[1, "b"]', ["augment.scale.1 = 'b'", "a number"]),
        ("data.sets=3", ["data.sets = 3", "[[data.sets]]"]),
        ("data.sets=[3]", ["data.sets.0 = 3", "section"]),
        ("augment=3", ["augment = 3", "[augment]"]),
        # Impossible values.
        ("train.schedule=cosin", ["train.schedule = 'cosin'", "did you mean cosine?"]),
        ("train.optimiser=sgd", ["train.optimiser = 'sgd'", "adam"]),
        ("model.name=swahr-tin", ["model.name", "swahr-tin", "did you mean 'swahr-tiny'?"]),
        ("model.skeleton=coco", ["model.skeleton", "did you mean 'coco-17'?"]),
        ("train.steps=0", ["train.steps = 0", "above 0"]),
        ("train.batch=-4", ["train.batch = -4", "above 0"]),
        (f"train.seed={2**63}", ["train.seed", "below 9223372036854775808"]),
        (f"train.rate={10**400}", ["train.rate", "a finite number"]),
        ("train.rate=nan", ["train.rate = nan", "a finite number"]),
        ("train.rate=inf", ["train.rate = inf", "a finite number"]),
        ("train.ema=1.0", ["train.ema = 1.0", "below 1"]),
        ("train.milestones=[0.9, 0.5]", ["train.milestones", "rising"]),
        ("train.schedule=step", ["train: ", "needs milestones"]),
        ("train.device=gpu", ["train.device = 'gpu'", "cuda"]),
        ("data.size=100", ["data.size = 100", "a multiple of 32"]),
        ("data.sets.0.weight=0", ["data.sets.0.weight = 0", "above 0"]),
        ("data.sets=[]", ["data.sets = []", "one [[data.sets]] section or more"]),
        ("augment.flip=1.5", ["augment.flip = 1.5", "1 or less"]),
        ("augment.scale=[2, 1]", ["augment.scale", "the smaller first"]),
        ("loss.heatmap_weights=[0, 0]", ["loss.heatmap_weights", "both 0", "[teacher]"]),
    ],
)
def test_what_cannot_be_is_one_line_that_names_the_key(change: str, words: list[str]) -> None:
    with pytest.raises(RecipeError) as raised:
        parse_recipe(RECIPE, [change])
    message = str(raised.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_every_fault_is_told_at_once() -> None:
    changes = [
        "train.stpes=3",
        "train.rate=-1",
        "model.name=swahr-tin",
        "augment.scale=[2, 1]",
        "data.sets.0.images=3",
    ]
    with pytest.raises(RecipeError) as raised:
        parse_recipe(RECIPE, changes)
    keys = [line.replace("there is no key ", "").split()[0].strip(":") for line in str(raised.value).splitlines()]
    assert sorted(keys) == ["augment.scale", "data.sets.0.images", "model.name", "train.rate", "train.stpes"]


def test_the_schema_for_editors_is_that_of_the_recipes() -> None:
    """After a change of the settings, make it anew: see the assertion."""
    written = json.loads((RECIPES[0].parent / "recipe.schema.json").read_text())
    make = "python -m heatstream.models.training.recipe > heatstream/recipes/recipe.schema.json"
    assert written == recipe_schema(), f"run: {make}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps = \n[model]", ["no TOML", "line 1"]),
        pytest.param(f"steps = {'9' * 5000}", ["no TOML", "thousands of digits"], id="5000 digits"),
        pytest.param(f"steps = 0x{'f' * 5000}", ["thousands of digits"], id="5000 hexadecimal digits"),
        pytest.param(f"steps = {'[' * 5000}", ["no TOML", "lists hundreds deep"], id="5000 lists"),
        (RECIPE.replace("steps = 6", ""), ["train.steps", "missing"]),
        (RECIPE.replace('name = "swahr-tiny"', ""), ["model.name", "missing"]),
        (RECIPE.partition("[train]")[0], ["train", "missing"]),
    ],
)
def test_a_recipe_that_is_not_whole(text: str, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(RecipeError) as raised:
        read_recipe(path)
    for word in ["mine.toml", *words]:
        assert word in str(raised.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["missing", "binary"])
def test_a_recipe_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"mine\.toml"):
        read_recipe(path)


def test_a_recipe_may_begin_with_the_mark_of_windows_editors(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE, encoding="utf-8-sig")
    assert read_recipe(path).train.steps == 6


def test_files_that_are_there_pass(tmp_path: Path) -> None:
    check_files(read_recipe(write_recipe_file(tmp_path)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("data.sets.0.annotations=poeple.json", ["data.sets.0.annotations", "did you mean people.json?"]),
        ("data.sets.0.images=poeple", ["data.sets.0.images", "did you mean people?"]),
        ("data.sets.0.images=people.json", ["data.sets.0.images", "no folder"]),
        ("data.sets.0.images=peeple/train/more", ["no folder", "peeple:", "did you mean people?"]),
        ("data.validation.annotations=val.json", ["data.validation.annotations", "val.json"]),
        ("data.root=nowhere-at-all", ["data.root", "nowhere-at-all"]),
        ("data.root=ROOT/peeple", ["data.root", "did you mean ROOT/people?"]),
        ("model.init=nothing.pt", ["model.init", "nothing.pt"]),
        ("model.init=swahr-tin", ["model.init", "did you mean swahr-tiny?"]),
    ],
)
def test_a_file_that_is_missing_is_told_with_the_nearest(change: str, words: list[str], tmp_path: Path) -> None:
    recipe = read_recipe(write_recipe_file(tmp_path), [change.replace("ROOT", str(tmp_path))])
    with pytest.raises(RecipeError) as raised:
        check_files(recipe)
    assert "\n" not in str(raised.value)
    for word in words:
        assert word.replace("ROOT", str(tmp_path)) in str(raised.value)


def test_a_relative_root_is_told_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_recipe_file(tmp_path)
    (tmp_path / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "deeper")
    with pytest.raises(RecipeError, match=r"data\.root.*did you mean people\?"):
        check_files(read_recipe(path, ["data.root=peeple"]))


def test_recipes_differ_where_the_training_would() -> None:
    one = parse_recipe(RECIPE)
    same = replace(one, train=replace(one.train, threads=2, log_every=7, out="elsewhere"))
    assert differences(one, same) == []
    other = parse_recipe(RECIPE, ["train.rate=1", "data.sets.0.weight=3"])
    assert [line.split()[0] for line in differences(one, other)] == ["data.sets.0.weight", "train.rate"]
    without = parse_recipe(RECIPE.replace("limit = 2", ""))
    assert differences(one, without) == ["data.validation.limit (2, there 0)"]
