"""Results over Zenoh: our JSON, ``KEY/results`` per camera; ``KEY/header`` can be asked for at any time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult

from heatstream.errors import InputError, SinkError, first_line
from heatstream.extras import require
from heatstream.results import Result

__all__ = ["ZenohSink"]

CONNECT_MS = 3000


class ZenohSink:
    """Publishes to whoever subscribes; a subscriber that does not keep up loses results and delays nobody.

    Args:
        url: ``zenoh:KEY`` among the machines of this network, ``zenoh://host:port/KEY`` through a router or peer.
        header: of :func:`heatstream.messages.header_message`.

    Raises:
        MissingExtraError: eclipse-zenoh is not installed.
        InputError: there is no key.
        SinkError: the router cannot be reached.
    """

    def __init__(self, url: SplitResult, header: Mapping[str, Any]) -> None:
        zenoh = require("zenoh", extra="zenoh", purpose="Zenoh")
        key = url.path.strip("/")
        if not key:
            raise InputError(f"{url.geturl()!r} lacks a key: give zenoh:KEY, such as zenoh:heatstream/door")
        config = zenoh.Config()
        if url.netloc:
            config.insert_json5("connect/endpoints", json.dumps([f"tcp/{url.netloc}"]))
            config.insert_json5("connect/timeout_ms", str(CONNECT_MS))
            config.insert_json5("connect/exit_on_failure", "true")
        try:
            self._session = zenoh.open(config)
        except Exception as error:  # the library has one class for everything
            raise SinkError(f"Zenoh cannot be reached at {url.netloc} ({first_line(error)}): start it first") from None
        text = json.dumps(header)
        self._header = self._session.declare_queryable(
            f"{key}/header", lambda query: query.reply(f"{key}/header", text)
        )
        drop = zenoh.CongestionControl.DROP
        self._results = self._session.declare_publisher(
            f"{key}/results", encoding=zenoh.Encoding.APPLICATION_JSON, congestion_control=drop
        )

    @property
    def heard(self) -> bool:
        """Whether anybody subscribes just now."""
        return bool(self._results.matching_status.matching)

    def write(self, result: Result) -> None:
        """Publish one result; its events are in it."""
        self._results.put(result.to_json())

    def close(self) -> Path | None:
        """Leave; harmless when repeated."""
        self._session.close()
        return None
