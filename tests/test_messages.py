"""The format of messages: the published schema is the code's, and takes what is written and nothing less."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from jsonschema import ValidationError

from heatstream.messages import json_schema
from heatstream.results import Event, Faces, Gap, StageTimes
from tests.fakes.messages import HEADER, SCHEMA, check_message
from tests.fakes.runtime import result

EVENT = Event("cross", "gate", 3, 7, 1.5, (10.0, 20.0), direction="left", source=1)
FACES = Faces(np.ones((1, 68, 2)), np.ones(1), np.zeros((1, 4)), np.zeros(1), np.array([0]), "300w-68")
FULL = replace(
    result(7, picture="a.jpg", time=1.5),
    faces=FACES,
    events=(EVENT, Event("leave", "room", 0, 7, 1.5, (1.0, 2.0), seconds=3.0)),
    timing=StageTimes({"network": 0.1}, latency=0.2),
    source=1,
    gap=Gap(2.5, "stalled", over=True),
)
MESSAGES: dict[str, dict[str, Any]] = {
    "header": HEADER,
    "result": result(0).to_dict(),
    "full result": FULL.to_dict(),
    "event": EVENT.to_dict(),
}
MAY_LACK = {"source", "gap", "picture", "face_skeleton", "faces", "events", "direction", "seconds"}


def test_the_published_schema_is_the_codes() -> None:
    assert json.loads(SCHEMA.read_text()) == json_schema(), (
        "run: python -m heatstream.messages > docs/messages.schema.json"
    )


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_as_the_schema_says_and_lacks_no_field(name: str) -> None:
    message = MESSAGES[name]
    check_message(message)
    for path in list(_fields(message)):
        damaged = json.loads(json.dumps(message))
        holder = damaged
        for step in path[:-1]:
            holder = holder[step]
        del holder[path[-1]]
        if (path[-1] in MAY_LACK and name != "header" and path[-2:-1] != ("gap",)) or path == ("timing", "network"):
            check_message(damaged)
        else:
            with pytest.raises(ValidationError):
                check_message(damaged)


def test_a_field_that_nobody_described_is_noticed() -> None:
    with pytest.raises(AssertionError):
        check_message({**HEADER, "colour": "red"})


def _fields(value: Any, path: tuple[Any, ...] = ()) -> Any:
    """The paths of all fields of all objects in a message; of a list its first entry is looked at."""
    if isinstance(value, dict):
        for name, entry in value.items():
            yield (*path, name)
            yield from _fields(entry, (*path, name))
    elif isinstance(value, list) and value:
        yield from _fields(value[0], (*path, 0))
