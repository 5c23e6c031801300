"""Messages as tests need them: a header, and a check of every message against the published format."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from heatstream.messages import Message, header_message
from tests.fakes.runtime import SPOTS

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "messages.schema.json"

HEADER = header_message(SPOTS, source="fake", live=False, frame_size=(48, 64), fps=25.0)


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator  # the tests with the lowest versions run without it

    return Draft202012Validator(json.loads(SCHEMA.read_text()))


def check_message(message: dict[str, Any]) -> None:
    """Fail unless the published schema takes a message, and describes every field of it."""
    _validator().validate(message)
    read = TypeAdapter[Any](Message).validate_json(json.dumps(message))
    assert read.model_dump(mode="json", exclude_unset=True) == message
