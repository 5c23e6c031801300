"""Foxglove's live view: an app that connects is told of the channels, and gets the results with their times."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from websockets.sync.client import connect

from heatstream.errors import SinkError
from heatstream.runtime.sinks.foxglove import ANNOTATIONS_TOPIC, FoxgloveChannels, FoxgloveSink
from tests.fakes.messages import HEADER
from tests.fakes.patience import HANG_SECONDS
from tests.fakes.runtime import result

MESSAGE = 1  # opcode of a binary message: subscription id and time follow


def test_an_app_subscribes_and_gets_results() -> None:
    sink = FoxgloveSink(FoxgloveChannels(HEADER), port=0)
    try:
        with connect(f"ws://127.0.0.1:{sink.port}", subprotocols=["foxglove.sdk.v1"], open_timeout=HANG_SECONDS) as app:  # type: ignore[list-item]
            channels: dict[str, dict[str, Any]] = {}
            while len(channels) < 6:
                message = json.loads(app.recv(timeout=HANG_SECONDS))
                if message["op"] == "advertise":
                    channels |= {channel["topic"]: channel for channel in message["channels"]}
            assert channels[ANNOTATIONS_TOPIC]["schemaName"] == "foxglove.ImageAnnotations"
            wanted = channels["/heatstream/results"]["id"]
            app.send(json.dumps({"op": "subscribe", "subscriptions": [{"id": 7, "channelId": wanted}]}))
            got: bytes | str = ""
            number = 0
            while not isinstance(got, bytes):
                sink.write(result(number, time=number / 25))  # the subscription takes a moment
                number += 1
                try:
                    got = app.recv(timeout=0.1)
                except TimeoutError:
                    continue
            kind, subscription, time = struct.unpack_from("<BIQ", got)
            sent = json.loads(got[struct.calcsize("<BIQ") :])
            assert (kind, subscription) == (MESSAGE, 7)
            assert sent == result(sent["frame_index"], time=sent["frame_index"] / 25).to_dict()
            assert time == round(sent["capture_time"] * 1e9)
        with pytest.raises(SinkError, match="end what uses the port"):
            FoxgloveSink(FoxgloveChannels(HEADER), port=sink.port)
    finally:
        sink.close()
