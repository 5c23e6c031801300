"""Results over OSC, as programs of sound, light and stage take them.

::

    /heatstream/frame   frame_index:i capture_time:d people:i width:i height:i
    /heatstream/person  frame_index:i id:i score:f  then x:f y:f score:f of every keypoint, px of the frame
    /heatstream/event   kind:s name:s id:i frame_index:i

An id of -1 is nobody's. Packets are UDP's: who is not there misses them, and nothing waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult

from heatstream.errors import InputError, SinkError
from heatstream.extras import require
from heatstream.results import Result

__all__ = ["OscSink"]


class OscSink:
    """Sends to one receiver.

    Args:
        url: ``osc://host:port``.
        header: is not sent: OSC has no place for it.

    Raises:
        MissingExtraError: python-osc is not installed.
        InputError: the address lacks its port.
        SinkError: there is no such receiver.
    """

    def __init__(self, url: SplitResult, header: Mapping[str, Any]) -> None:
        client = require("pythonosc.udp_client", extra="osc", purpose="OSC")
        if url.port is None or not url.hostname:
            raise InputError(f"{url.geturl()!r} lacks a host or port: give osc://HOST:PORT")
        try:
            self._client = client.UDPClient(url.hostname, url.port)
        except OSError as error:
            raise SinkError(f"{url.hostname} is not known ({error}): give osc://HOST:PORT") from None
        self._builder = require("pythonosc.osc_message_builder", extra="osc", purpose="OSC").OscMessageBuilder

    def write(self, result: Result) -> None:
        """Send one result, and its events."""
        message = result.to_dict()
        index, size = message["frame_index"], message["frame_size"] or [0, 0]
        for event in message.get("events", ()):
            self._send("event", "ssii", event["event"], event["name"], event["id"], index)
        self._send("frame", "idiii", index, message["capture_time"], len(message["people"]), *size)
        for person in message["people"]:
            values = [value for keypoint in person["keypoints"] for value in keypoint]
            whose = -1 if person["id"] is None else person["id"]
            self._send("person", "iif" + "f" * len(values), index, whose, person["score"], *values)

    def close(self) -> Path | None:
        """Leave; harmless when repeated."""
        self._client.close()
        return None

    def _send(self, name: str, kinds: str, *values: Any) -> None:
        builder = self._builder(f"/heatstream/{name}")
        for kind, value in zip(kinds, values, strict=True):
            builder.add_arg(value, kind)
        try:
            self._client.send(builder.build())
        except OSError:  # nobody listens just now, as the system was told by an earlier packet
            return
