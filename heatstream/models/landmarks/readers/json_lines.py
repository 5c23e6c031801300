"""The line on which an entry of a JSON file starts: looked up when something is wrong with it, and only then."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from heatstream.errors import DatasetError

__all__ = ["lines_told"]

BETWEEN = re.compile(r"[\s,:]*")
"""What may stand between the values of valid JSON."""


@contextmanager
def lines_told(path: Path, named: Sequence[tuple[str, str | None]]) -> Iterator[None]:
    """Add the line to an error that names an entry of a file, which is valid JSON.

    Args:
        path: of the file.
        named: what an error calls the entries of a list, such as "entry" in "entry 7", and the key of that list; None
            where the whole file is the list.

    Raises:
        DatasetError: that was raised within, with "line N, " before the entry's number.
    """
    try:
        yield
    except DatasetError as error:
        text = str(error)
        for word, key in named:
            if text.startswith(str(path)) and (found := re.search(rf"\b{word} (\d+)", text[len(str(path)) :])):
                data = path.read_bytes()
                line = _line(data.decode(json.detect_encoding(data)), int(found[1]), key)
                place = len(str(path)) + found.start()
                raise DatasetError(f"{text[:place]}line {line}, {text[place:]}") from error.__cause__
        raise


def _line(text: str, number: int, key: str | None) -> int:
    """Of the entry of that number, from 1, in the list under a key of the outermost object."""
    decoder = json.JSONDecoder()
    place = _value(text, 0) + 1
    while key is not None:
        name, end = decoder.raw_decode(text, _value(text, place))
        start = _value(text, end)
        if name == key:
            place = start + 1
            break
        place = decoder.raw_decode(text, start)[1]
    for _ in range(number - 1):
        place = decoder.raw_decode(text, _value(text, place))[1]
    return text.count("\n", 0, _value(text, place)) + 1


def _value(text: str, place: int) -> int:
    """Where the next value starts."""
    between = BETWEEN.match(text, place)
    assert between is not None  # it matches nothing at all, too
    return between.end()
