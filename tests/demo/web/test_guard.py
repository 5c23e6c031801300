"""Who may look at the live page."""

from __future__ import annotations

import pytest

from heatstream.demo.web import guard
from heatstream.demo.web.guard import MOST_ADDRESSES, MOST_FAILURES, MOST_REQUESTS, Guard, is_loopback


@pytest.mark.parametrize(
    ("token", "headers", "given", "status"),
    [
        (None, {"host": "127.0.0.1:8000"}, None, None),
        (None, {"host": "localhost:8000", "origin": "http://localhost:8000"}, None, None),
        (None, {"host": "[::1]:8000"}, None, None),
        (None, {"host": "localhost:8000", "origin": "http://evil.example"}, None, 403),
        (None, {"host": "localhost:8000", "origin": "null"}, None, 403),
        (None, {"host": "rebound.example:8000", "origin": "http://rebound.example:8000"}, None, 403),
        (None, {"host": "["}, None, 403),
        (None, {}, None, 403),
        ("a-secret", {"host": "camera.lan"}, "a-secret", None),
        ("a-secret", {"host": "camera.lan", "origin": "https://camera.lan"}, "a-secret", None),
        ("a-secret", {"host": "camera.lan", "origin": "https://evil.example"}, "a-secret", 403),
        ("a-secret", {"host": "127.0.0.1:8000"}, None, 401),
        ("a-secret", {"host": "127.0.0.1:8000"}, "", 401),
        ("a-secret", {"host": "127.0.0.1:8000"}, "a-secreT", 401),
        ("a-secret", {"host": "127.0.0.1:8000"}, "a-secret ", 401),
        ("a-secret", {"host": "127.0.0.1:8000"}, "é", 401),
    ],
)
def test_who_is_let_in(token: str | None, headers: dict[str, str], given: str | None, status: int | None) -> None:
    refusal = Guard(token).refusal("10.0.0.1", headers, token=given)
    assert (None if refusal is None else refusal[0]) == status


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr(guard.hmac, "compare_digest", compare)
    assert Guard("a-secret").refusal("10.0.0.1", {"host": "x"}, token="a-secret") is not None
    assert compared == [(b"a-secret", b"a-secret")]


def test_nobody_asks_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(guard.time, "monotonic", lambda: now[0])
    one = Guard("a-secret")
    ask = {"host": "camera.lan"}
    statuses = [one.refusal("10.0.0.1", ask, token="guess") for _ in range(MOST_FAILURES + 5)]
    assert [status[0] for status in statuses if status] == [401] * (MOST_FAILURES + 1) + [429] * 4
    assert one.refusal("10.0.0.1", ask, token="a-secret") == (429, "too many requests: wait a minute")
    assert one.refusal("10.0.0.2", ask, token="a-secret") is None  # others are not concerned
    now[0] = 61.0
    assert one.refusal("10.0.0.1", ask, token="a-secret") is None
    asked = [one.refusal("10.0.0.3", ask, token="a-secret") for _ in range(MOST_REQUESTS + 2)]
    assert [status[0] if status else None for status in asked[-2:]] == [None, 429]
    for number in range(2 * MOST_ADDRESSES):
        one.refusal(f"address {number}", ask, token="a-secret")
    assert len(one._asked) <= MOST_ADDRESSES


def test_this_machine_alone() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.9.1", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.4", "camera.lan", "")))
