"""A server of RTSP or HTTP that answers everybody with one status."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def refusing_server(scheme: str, status: int) -> Iterator[str]:
    """The address of one on this machine, with a name and the password ``secret`` in it."""
    protocol = "RTSP/1.0" if scheme == "rtsp" else "HTTP/1.1"
    answer = f"{protocol} {status} No\r\nCSeq: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    if connection.recv(4096):
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"{scheme}://me:secret@127.0.0.1:{server.getsockname()[1]}/live"
        server.shutdown(socket.SHUT_RDWR)
