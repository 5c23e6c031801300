"""``heatstream models``: the networks there are, and how to get their weights."""

from __future__ import annotations

__all__ = ["models"]


def models() -> None:
    """List the networks: sizes, keypoints, and where weights come from.

    `heatstream run --model` takes a name whose weights are included or can be
    fetched, and any model file; `heatstream export` takes every name.
    """
    from rich.table import Table
    from rich.text import Text

    from heatstream.catalog import bundled_path, fetched_files, networks
    from heatstream.demo.terminal.tables import console_for
    from heatstream.errors import ModelFileError

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for entry in networks().values():
        height, width = entry.input_size
        facts = f"{height}x{width}  {entry.skeleton}  {entry.parameters / 1e6:.1f} M parameters"
        if entry.bundled:
            try:
                size = bundled_path(entry.name).stat().st_size / 1e6
                weights = Text(f"weights included ({size:.1f} MB), {entry.licence}", "green")
            except ModelFileError as error:
                weights = Text(str(error), "red")
        elif entry.fetched is not None:
            there = "fetched" if fetched_files(entry)[1].is_file() else f"heatstream fetch {entry.name}"
            source = entry.fetched
            weights = Text(f"{there}: {source.accuracy} as published, {source.colour}, {source.licence}", "yellow")
            weights.append(f"\n{source.url}, {_sum(source.digest)}", "dim")
        else:
            weights = Text(f"{entry.weights}: {entry.licence}", "yellow")
        if entry.page:
            weights.append(f"\nits authors name weights at {entry.page}", "dim")
        table.add_row(Text(entry.name, "bold"), Text(entry.description))
        table.add_row("", Text(facts))
        table.add_row("", weights)
    console = console_for()
    console.print(table)
    console.print(
        "\nFrom a checkpoint to a model file:\n"
        "  heatstream export swahr-w32 --checkpoint FILE -o swahr-w32.onnx\n"
        "  heatstream run 0 --model swahr-w32.onnx\n\n"
        "Smaller people, at a price in time, with model files of any size:\n"
        "  heatstream run 0 --short-side 384",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _sum(digest: str) -> str:
    """How much of a file's sum is known, human-readable."""
    if not digest:
        return "no published sum"
    kind, _, value = digest.partition(":")
    return f"{kind.upper()} {value[:16]}{'...' if len(value) > 16 else ''}"
