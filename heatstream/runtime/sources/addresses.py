"""Addresses of cameras and streams: what is in them, and what of them may be shown.

Passwords stand in the part before the ``@``, but also in paths (``/user=admin&password=...``), queries and stream keys,
and they may hold any character, escaped or not. So an address is shown as its scheme and host alone, and where the
host cannot be told from a password for certain, as its scheme.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote

from heatstream.errors import SourceError

__all__ = ["PORTS", "Address", "fill_in", "looks_secret", "parse_address", "shown_address"]

PORTS: Mapping[str, int | None] = MappingProxyType(
    {
        "rtsp": 554,
        "rtsps": 322,
        "http": 80,
        "https": 443,
        "rtmp": 1935,
        "rtmps": 443,
        "tcp": None,
        "udp": None,
        "rtp": None,
        "srt": None,
    }
)
"""The protocols that are opened, and their usual ports. FFmpeg knows many more; some of them read any local file."""

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[\w.-]+)(?::(\d{1,5}))?")
VARIABLE = re.compile(r"\$\{(\w+)\}")
HIDDEN = "..."
SUSPICIOUS = re.compile(
    rf"://|:.*@|@.*:|^\W*(?:{'|'.join(PORTS)}):|(?:pass|pwd?|user|token|key|auth|secret|location)[\w-]*\s*=",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Address:
    """What of an address is certain.

    Attributes:
        scheme: in lower case.
        host: None where it cannot be told from a password for certain.
        port: as written or usual; None where neither is known.
        shown: the address as it may be shown and logged.
    """

    scheme: str
    host: str | None
    port: int | None
    shown: str


def parse_address(text: str) -> Address | None:
    """The parts of ``scheme://...``; None where the text is no address."""
    match = SCHEME.match(text)
    if match is None:
        return None
    scheme, rest = match[1].lower(), match[2]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    behind = rest[len(authority) :]
    host = HOST.fullmatch(authority.rpartition("@")[2])
    if "@" in behind or host is None or VARIABLE.search(authority.rpartition("@")[2]):
        # The @ may belong to the path, or the path to the password.
        return Address(scheme, None, None, f"{scheme}://{HIDDEN}")
    port = int(host[2]) if host[2] else PORTS.get(scheme)
    more = "@" in authority or behind not in ("", "/")
    place = host[0] + (f"/{HIDDEN}" if more else "")
    return Address(scheme, host[1].strip("[]"), port, f"{scheme}://{place}")


def shown_address(text: str) -> str:
    """What of an address may be shown."""
    address = parse_address(text)
    return HIDDEN if address is None else address.shown


def looks_secret(text: str) -> bool:
    """Whether text that is no path of a file may hold a password, as an address without its slashes does."""
    return SUSPICIOUS.search(text) is not None


def fill_in(text: str) -> str:
    """The text with the values of environment variables in place of ``${NAME}``.

    Inside an address a value is escaped, so that it may hold any character. So neither the list of processes nor a
    shell's history shows a password: ``'rtsp://admin:${CAMERA_PASSWORD}@192.168.1.20/stream'``.

    Raises:
        SourceError: there is no such variable.
    """
    escape = parse_address(text) is not None

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise SourceError(f"the environment variable {match[1]} is not set: export it, or write the value itself")
        return quote(found, safe="") if escape else found

    return VARIABLE.sub(value, text)
