"""``heatstream train``: a recipe and labelled photos to a checkpoint."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heatstream.demo.commands.recipe import recipe_path
from heatstream.demo.terminal.messages import print_message
from heatstream.demo.terminal.signals import SIGNAL_EXIT, StopSignals

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from heatstream.demo.terminal.training_progress import TrainingView
    from heatstream.models.data.loader import Samples
    from heatstream.models.settings import AnyRecipe
    from heatstream.models.training.distributed import Processes
    from heatstream.models.training.run_folder import RunFolder
    from heatstream.models.training.tensorboard import TensorBoard
    from heatstream.models.training.trainer import TrainResult, Validate

__all__ = ["train"]

SHOWN = 16
"""Samples of a batch that are drawn at most."""


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="What to train, on what, and how: a TOML file, or a name that `heatstream recipe --list` has.",
        ),
    ],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe; may be given many times."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The run's folder.", show_default="runs/RECIPE"),
    ] = None,
    show_batch: Annotated[
        Path | None,
        typer.Option("--show-batch", metavar="PICTURE", help="Draw the first batch, as the network sees it, and end."),
    ] = None,
) -> None:
    """Train a network on labelled photos; the same command goes on where it was stopped.

    The run's folder receives best.pt (the weights with the highest AP, or for
    landmarks the lowest NME), last.pt (the newest ones), resume.pt (everything that going on needs), recipe.toml
    and logs for TensorBoard. Ctrl-C saves and ends; even after kill -9 the same
    command ends with the weights of an unbroken run. Needs the extra `train`.

    Examples:

        heatstream train mine.toml --show-batch batch.png

        heatstream train swahr-tiny --set train.steps=2000 --set data.sets.0.weight=2

        heatstream train swahr-tiny --set model.init=best.pt --out runs/second

        torchrun --nproc-per-node 2 -m heatstream train swahr-tiny

        tensorboard --logdir runs
    """
    from heatstream.models.training.recipe import read_recipe
    from heatstream.models.training.recipe_checks import check_files

    chosen = read_recipe(recipe_path(recipe), changes or ())
    if out is not None:
        chosen = replace(chosen, train=replace(chosen.train, out=str(out)))
    check_files(chosen)
    if show_batch is not None:
        _show_batch(chosen, show_batch)
    else:
        _train(chosen, again=_command(recipe, changes or (), out))


def _train(recipe: AnyRecipe, *, again: str) -> None:
    """Train, and say how it ended; `again` is the command that goes on."""
    from heatstream.models.training.distributed import Processes
    from heatstream.models.training.run_folder import RunFolder

    folder = RunFolder(Path(recipe.train.out))
    processes = Processes(recipe.train.device)
    with ExitStack() as stack:
        stop = stack.enter_context(StopSignals(second_ends=processes.world == 1))
        stack.enter_context(processes)
        if processes.first:
            stack.enter_context(folder.held())
        state = folder.load(recipe)
        if state is not None and state["step"] >= recipe.train.steps and state["validated"] == state["step"]:
            if processes.first:
                _say_finished(recipe, folder)
            return
        if processes.first:
            folder.start(recipe)
        outcome = _run(recipe, folder, state, processes, stop)
    if processes.first and outcome.finished:
        _say_results(recipe, folder, outcome)
    if not outcome.finished:
        if processes.first:
            print_message(f"stopped after step {outcome.step} of {recipe.train.steps}; go on with: {again}")
        raise typer.Exit(SIGNAL_EXIT + (stop.received or 0))


def _run(
    recipe: AnyRecipe, folder: RunFolder, state: Mapping[str, Any] | None, processes: Processes, stop: StopSignals
) -> TrainResult:
    """Make everything ready and train."""
    from heatstream.demo.terminal.training_progress import TrainingView
    from heatstream.models.training.build import build_network
    from heatstream.models.training.tensorboard import TensorBoard
    from heatstream.models.training.trainer import Trainer

    settings = recipe.train
    step = 0 if state is None else int(state["step"])
    view = TrainingView(step=step, steps=settings.steps, batch=settings.batch)
    with ExitStack() as stack:
        board = stack.enter_context(TensorBoard(folder.logs, step)) if processes.first else None
        validate = _validation(recipe, processes, view, board, lambda: stop.received is not None)
        network, report = build_network(recipe)
        training_set = _load_set(recipe, shown=processes.first)
        if board is not None and step == 0:
            board.show("samples", _first_samples(recipe, training_set), step)
        trainer = Trainer(
            recipe,
            network,
            training_set,
            folder=folder,
            state=state,
            processes=processes,
            validate=validate,
            observers=() if board is None else (view, board),
            asked_to_stop=lambda: stop.received is not None,
        )
        if report is not None and processes.first and state is None:
            print_message(f"{recipe.model.init}: {report}")
        if processes.first:
            stack.enter_context(view)
        return trainer.run()


def _load_set(recipe: AnyRecipe, *, shown: bool) -> Samples:
    from rich.console import Console
    from rich.progress import Progress

    from heatstream.models.training.tasks import load_samples

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not (shown and console.is_terminal)) as progress:
        return load_samples(recipe, progress)


def _validation(
    recipe: AnyRecipe,
    processes: Processes,
    view: TrainingView,
    board: TensorBoard | None,
    stopping: Callable[[], bool],
) -> Validate | None:
    """What measures a network as `heatstream eval` would measure its checkpoint; None without a validation set.

    Raises:
        DatasetError: its labels are wrong; better now than after the first thousand steps.
        InputError: the skeleton cannot be measured.
    """
    from heatstream.demo.evaluation.validation import make_validation
    from heatstream.models.training.trainer import StoppedError

    def checked(done: int, total: int) -> None:
        if stopping():
            raise StoppedError
        view.checked(done, total)

    return make_validation(recipe, str(processes.device), checked, None if board is None else board.show_validation)


def _show_batch(recipe: AnyRecipe, picture: Path) -> None:
    """Write the picture of the first batch."""
    import cv2

    from heatstream.errors import SinkError
    from heatstream.files import write_whole
    from heatstream.models.training.recipe import parse_recipe, write_recipe

    uncached = parse_recipe(write_recipe(recipe), ["data.cache_gb=0"])
    drawn = _first_samples(recipe, _load_set(uncached, shown=False))
    try:
        done, data = cv2.imencode(picture.suffix, drawn)
    except cv2.error:
        done = False
    if not done:
        raise SinkError(f"{picture} is not named as a picture: end it in .png or .jpg")
    write_whole(picture, data.tobytes())
    print(picture)


def _first_samples(recipe: AnyRecipe, training_set: Samples) -> NDArray[np.uint8]:
    """A picture of the first batch."""
    from heatstream.models.data.loader import loader
    from heatstream.models.training.tasks import draw_samples

    batch = min(recipe.train.batch, SHOWN)
    return draw_samples(recipe, next(loader(training_set, batch=batch, start_step=0, steps=1, workers=0)))


def _say_results(recipe: AnyRecipe, folder: RunFolder, outcome: TrainResult) -> None:
    """Where the weights are, how good they are, and what to do with them."""
    from heatstream.models.training.tasks import score_of

    score = score_of(recipe)
    if outcome.best is None:
        weights = folder.last
        print(f"{weights}: the weights after {outcome.step} steps; nothing was measured, add [data.validation]")
    else:
        weights = folder.best
        print(f"{weights}: {score.name} {outcome.best[0]:.2f} after {outcome.best[1]} steps")
    name = recipe.model.name
    print("what next:")
    if recipe.data.validation is not None:
        print(f"  {shlex.join(['heatstream', 'eval', str(weights), *_measured_on(recipe)])}")
    print(f"  heatstream export {name} --checkpoint {shlex.quote(str(weights))} -o {name}.onnx")
    print(f"  heatstream run 0 {'--faces --face-model' if score.name == 'NME' else '--model'} {name}.onnx")


def _measured_on(recipe: AnyRecipe) -> list[str]:
    """The options of `heatstream eval` that name the set of the validations."""
    from heatstream.models.data.root import find_root
    from heatstream.models.landmarks.readers.formats import FOLDERS_OF_LABELS

    validation = recipe.data.validation
    assert validation is not None
    root = find_root(recipe.data.root)
    labels = root / validation.annotations
    if getattr(validation, "format", "coco") in FOLDERS_OF_LABELS:
        return ["--data", str(labels)]
    photos = root / validation.images if validation.images else labels.parent
    return ["--data", str(photos), "--annotations", str(labels)]


def _say_finished(recipe: AnyRecipe, folder: RunFolder) -> None:
    """That there is nothing left to do, and how to do more."""
    weights = folder.best if folder.best.exists() else folder.last
    print(f"{folder.path} is finished: all {recipe.train.steps} steps are done, the weights are in {weights}")
    print(f"to train further, start another run from them: --set model.init={weights} --out {folder.path}-further")


def _command(recipe: str, changes: list[str] | tuple[str, ...], out: Path | None) -> str:
    """The command that was given, as a user would type it."""
    words = ["heatstream", "train", recipe]
    for change in changes:
        words += ["--set", change]
    return shlex.join(words if out is None else [*words, "--out", str(out)])
