"""Ports for servers that are started, ended and started again."""

from __future__ import annotations

import os
import random
import socket

__all__ = ["free_port"]

PORTS = range(20_000, 32_000)
"""Below those that systems give to whoever asks for any port, to clients too, so that nobody comes by one by chance."""

_choice = random.Random(os.getpid())  # tests that run side by side choose others


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of this machine alone (127.0.0.1) that nobody listens on."""
    while True:
        port = _choice.choice(PORTS)
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
