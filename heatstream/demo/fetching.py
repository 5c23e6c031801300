"""Weights from elsewhere: said where from and under which licence, downloaded, checked, and made a model file once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import filelock
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from heatstream import catalog
from heatstream.catalog import CatalogEntry, Weights
from heatstream.demo.terminal.messages import print_message
from heatstream.errors import CheckpointError, DownloadError, InputError, SinkError
from heatstream.model_info import CHECKPOINT_SUFFIXES, ModelInfo, sized

__all__ = ["fetch_before_use", "fetch_weights"]

PATIENCE_SECONDS = 1.0
WAITING_SECONDS = 1800.0


def fetch_before_use(model: str) -> None:
    """Fetch the weights of a network that is named for the first time; of a checkpoint, say what becomes of it."""
    if model.lower().endswith(CHECKPOINT_SUFFIXES):
        print_message(f"{model} is a checkpoint: its model file is made once, and kept")
    entry = catalog.networks().get(model)
    if entry is not None and not entry.bundled and entry.fetched is not None and not Path(model).is_file():
        fetch_weights(entry)


def fetch_weights(entry: CatalogEntry) -> Path:
    """Get a network's weights and make its model file, unless it is there; the model file.

    Raises:
        DownloadError: they cannot be had, are not what was published, or are not the network's; they are not kept.
        SinkError: there is no room, or the cache cannot be written.
        InputError: nobody gives them at a plain address.
        ModelFileError: those of the package are missing from the installation.
        MissingExtraError: torch or httpx is not installed.
    """
    if entry.bundled:
        return catalog.bundled_path(entry.name)
    source = entry.fetched
    if source is None:
        page = f"its authors name theirs at {entry.page}" if entry.page else "there is a recipe to train it by"
        raise InputError(
            f"nobody gives the weights of {entry.name} at a plain address: {page}; give a file as "
            f"`heatstream export {entry.name} --checkpoint FILE`"
        )
    checkpoint, model = catalog.fetched_files(entry)
    try:
        model.parent.mkdir(parents=True, exist_ok=True)
        with _locked(entry, model.with_suffix(".lock")):
            if not model.is_file():
                _download(entry, source, checkpoint)
                _convert(entry, source, checkpoint, model)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise SinkError(f"cannot write {model.parent}: {reason}; set XDG_CACHE_HOME to a folder of yours") from error
    return model


@contextmanager
def _locked(entry: CatalogEntry, path: Path) -> Iterator[None]:
    """Two runs at once fetch once; the second says that it waits."""
    lock = filelock.FileLock(path)
    try:
        try:
            lock.acquire(timeout=PATIENCE_SECONDS)
        except filelock.Timeout:
            print_message(f"another process is fetching the weights of {entry.name}: waiting for it")
            lock.acquire(timeout=WAITING_SECONDS)
    except filelock.Timeout:
        raise DownloadError(
            f"another process has been fetching the weights of {entry.name} for more than {WAITING_SECONDS / 60:.0f} "
            f"minutes (it holds {path}): wait for it, or end it"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _download(entry: CatalogEntry, source: Weights, checkpoint: Path) -> None:
    from heatstream.models.download import download

    print_message(f"fetching the weights of {entry.name} ({source.accuracy}) from {source.url}")
    print_message(f"licence: {source.licence}")
    if not source.digest:
        print_message(
            "nobody published a checksum of this file: its length is checked, and only arrays are read from it"
        )
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        *(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(source.file_name, total=source.size or None)
        download(
            source.url,
            checkpoint,
            digest=source.digest,
            progress=lambda done, total: bar.update(task, completed=done, total=total or source.size or None),
        )


def _convert(entry: CatalogEntry, source: Weights, checkpoint: Path, model: Path) -> None:
    """Make the model file, of any size, as the official programs feed these networks."""
    from heatstream.engine_builder.export.model import export_model
    from heatstream.models.checkpoint_network import open_network

    print_message(f"making a model file of it: {model}")
    try:
        network, info = open_network(entry.name, checkpoint)
    except CheckpointError as error:
        checkpoint.unlink(missing_ok=True)
        raise DownloadError(f"what {source.url} gave are not the weights of {entry.name}: {error}") from error
    export_model(network, _described(info, source), model)


def _described(info: ModelInfo, source: Weights) -> ModelInfo:
    return replace(sized(info, "any"), licence=source.licence)
