"""Who may look: the token, the browser's Origin and Host, and how often anybody may ask."""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from urllib.parse import urlsplit

__all__ = ["COOKIE", "Guard", "is_loopback"]

COOKIE = "heatstream_token"
WINDOW_SECONDS = 60.0
MOST_REQUESTS = 240
"""Of one address in a window; a page takes two, and one for every time that it connects again."""
MOST_FAILURES = 10
"""Wrong tokens and origins of one address in a window."""
MOST_ADDRESSES = 1000
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address to listen on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Decides about every request; it is used on the server's thread alone.

    Without a token only names of this machine are answered, so that no page of another site that gives its own name
    this machine's address gets in. With one, everything asks for it.

    Args:
        token: what must be known; None where only this machine can ask.
    """

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else token.encode()
        self._asked: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def refusal(self, address: str, headers: Mapping[str, str], *, token: str | None) -> tuple[int, str] | None:
        """Why a request is refused: an HTTP status and a sentence; None if it is not.

        Args:
            address: of who asks.
            headers: of the request, lower case.
            token: the one that came with it, however it came.
        """
        now = time.monotonic()
        if self._count("asked", address, now) > MOST_REQUESTS or self._count("failed", address) > MOST_FAILURES:
            return 429, "too many requests: wait a minute"
        self._note("asked", address, now)
        refusal = self._wrong(headers, token)
        if refusal is not None:
            self._note("failed", address, now)
        return refusal

    def _wrong(self, headers: Mapping[str, str], token: str | None) -> tuple[int, str] | None:
        host = headers.get("host", "")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "this page is not for other sites"
        if self._token is None:
            return None if _name(host) in LOCAL_NAMES else (403, "this machine answers to localhost alone")
        if token is None or not hmac.compare_digest(token.encode(), self._token):
            return 401, "the token is missing or wrong: open the address that the run has printed"
        return None

    def _count(self, kind: str, address: str, now: float | None = None) -> int:
        times = self._asked.get((kind, address))
        if times is None:
            return 0
        now = time.monotonic() if now is None else now
        while times and times[0] < now - WINDOW_SECONDS:
            times.popleft()
        return len(times)

    def _note(self, kind: str, address: str, now: float) -> None:
        self._asked.setdefault((kind, address), deque()).append(now)
        self._asked.move_to_end((kind, address))
        while len(self._asked) > MOST_ADDRESSES:
            self._asked.popitem(last=False)


def _name(host: str) -> str:
    """The name of a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
