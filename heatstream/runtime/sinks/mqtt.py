"""Results over MQTT: ``PREFIX/header`` (kept by the broker), ``PREFIX/results``, ``PREFIX/events``, all in our JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote

from heatstream.errors import SinkError
from heatstream.extras import require
from heatstream.results import Result

__all__ = ["MqttSink"]

MOST_WAITING = 200  # messages while the broker is away; older ones are dropped
LAST_SECONDS = 3.0  # for what is still on its way in the end


class MqttSink:
    """Publishes to a broker; while it is away the run goes on, and the library connects again.

    Args:
        url: ``mqtt://[user:password@]host[:port]/PREFIX``; ``mqtts`` for TLS.
        header: of :func:`heatstream.messages.header_message`.

    Raises:
        MissingExtraError: paho-mqtt is not installed.
        SinkError: the broker cannot be reached.
    """

    def __init__(self, url: SplitResult, header: Mapping[str, Any]) -> None:
        mqtt = require("paho.mqtt.client", extra="mqtt", purpose="MQTT")
        self._prefix = url.path.strip("/") or "heatstream"
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(MOST_WAITING)
        if url.username is not None:
            self._client.username_pw_set(unquote(url.username), unquote(url.password or "") or None)
        if url.scheme == "mqtts":
            self._client.tls_set()
        port = url.port or (8883 if url.scheme == "mqtts" else 1883)
        try:
            self._client.connect(url.hostname or "127.0.0.1", port)
        except (OSError, ValueError) as error:
            raise SinkError(f"no MQTT broker answers at {url.hostname}:{port} ({error}): start it first") from None
        self._client.loop_start()
        self._last = self._client.publish(f"{self._prefix}/header", json.dumps(header), qos=1, retain=True)

    def write(self, result: Result) -> None:
        """Publish one result, and its events."""
        for event in result.events or ():
            self._client.publish(f"{self._prefix}/events", event.to_json(), qos=1)
        self._last = self._client.publish(f"{self._prefix}/results", result.to_json())

    def close(self) -> Path | None:
        """Send what waits, and leave; harmless when repeated."""
        if self._client.is_connected():
            self._last.wait_for_publish(LAST_SECONDS)
        self._client.disconnect()
        self._client.loop_stop()
        return None
