"""Downloading a file over HTTP so that it is there whole and as its authors published it, or not at all.

The bytes go into ``NAME.part`` beside the place of the file; what a broken connection leaves there is gone on with,
within a call and by the next one, if the server says that its file is still the same. Only a file whose length and sum
are right takes the name.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from heatstream.errors import DownloadError, SinkError
from heatstream.extras import require

if TYPE_CHECKING:
    import httpx

__all__ = ["Progress", "check_digest", "download"]

CONNECT_SECONDS = 15.0
READ_SECONDS = 30.0
"""How long a server may be silent."""

TRIES = 4
"""How often a broken connection is taken up again as long as each brings something."""

CHUNK = 1 << 18
MOST_BYTES = 2**31
"""No checkpoint of a network that heatstream knows is as large."""

WEB_PAGE = re.compile(rb"\s*(?:<!doctype|<html|<\?xml|<head)", re.IGNORECASE)


class Progress(Protocol):
    """Called with how many bytes are there, and how many there will be, None where nobody says."""

    def __call__(self, done: int, total: int | None, /) -> None: ...


def download(
    url: str,
    path: Path,
    *,
    digest: str = "",
    progress: Progress | None = None,
    silence: float = READ_SECONDS,
) -> Path:
    """Get a file, unless it is there.

    Proxies are those of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY).

    Args:
        url: http or https.
        path: of the file; folders are made.
        digest: see :class:`heatstream.catalog.Weights`; empty checks the length alone.
        progress: told how far it is.
        silence: seconds without a byte after which the connection counts as broken.

    Returns:
        `path`.

    Raises:
        DownloadError: it cannot be had, or is not what was published; nothing is at `path` then.
        SinkError: it cannot be written, or there is no room for it.
        MissingExtraError: httpx is not installed.
    """
    part = path.with_name(f"{path.name}.part")
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            try:
                check_digest(path, digest, url)
            except DownloadError:  # damaged since
                path.unlink()
            else:
                return path
    library = require("httpx", extra="train", purpose="fetching weights")
    with _client(library, silence) as client:
        _get_all(library, client, url, part, progress)
    try:
        check_digest(part, digest, url)
    except DownloadError:
        _forget(part)
        raise
    with _writing(path):
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    _validator(part).unlink(missing_ok=True)
    return path


def _client(library: Any, silence: float) -> httpx.Client:
    timeout = library.Timeout(silence, connect=CONNECT_SECONDS)
    try:
        client: httpx.Client = library.Client(follow_redirects=True, max_redirects=5, timeout=timeout)
    except library.InvalidURL:  # which takes a part of a password for the port, and names it
        raise DownloadError(
            "the proxy of this machine's settings has no valid address: correct HTTPS_PROXY and HTTP_PROXY; write "
            "/ ? # of a password as %2F %3F %23"
        ) from None
    except (ValueError, ImportError) as error:  # of another scheme; of SOCKS without its library
        raise DownloadError(
            f"the proxy of this machine's settings cannot be used ({_line(error)}): correct HTTPS_PROXY and HTTP_PROXY"
        ) from None
    return client


def check_digest(path: Path, digest: str, url: str) -> None:
    """Compare a file with the sum that its authors published.

    Raises:
        DownloadError: it is another; both sums are told.
    """
    if not digest:
        return
    kind, _, expected = digest.partition(":")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest() if hasattr(hashlib, "file_digest") else _sum(file, kind)
    if not found.startswith(expected):
        raise DownloadError(
            f"what {_shown(url)} gave has the {kind.upper()} {found[: max(len(expected), 16)]}..., published is "
            f"{expected[:16]}{'...' if len(expected) > 16 else ''}: it was damaged on the way or is another file now; "
            "nothing was kept, try again later"
        )


def _sum(file: Any, kind: str) -> str:
    """What `hashlib.file_digest` does from Python 3.11 on."""
    result = hashlib.new(kind)
    while block := file.read(CHUNK):
        result.update(block)
    return result.hexdigest()


def _get_all(library: Any, client: httpx.Client, url: str, part: Path, progress: Progress | None) -> None:
    """Fill the part file, taking a broken connection up again as long as that helps."""
    for tries_left in reversed(range(TRIES)):
        before = _length(part)
        try:
            _get(library, client, url, part, progress)
            return
        except (library.TimeoutException, library.NetworkError, library.RemoteProtocolError) as error:
            got = _length(part)
            if tries_left and got > before:
                continue
            raise _broken(library, error, url, got) from error
        except library.ProxyError as error:
            raise DownloadError(
                f"the proxy of this machine's settings (HTTPS_PROXY, HTTP_PROXY) refuses {_shown(url)} "
                f"({_line(error)}): correct them, or name the host in NO_PROXY"
            ) from error
        except library.TooManyRedirects as error:
            raise DownloadError(f"{_shown(url)} leads from address to address without end: try again later") from error
        except (library.HTTPError, library.InvalidURL) as error:
            raise DownloadError(f"{_shown(url)} cannot be had ({_line(error)}): try again later") from error


def _get(library: Any, client: httpx.Client, url: str, part: Path, progress: Progress | None) -> None:
    """One request; what arrives is added to the part file."""
    begun, validator = _length(part), _read_validator(part)
    headers = {"Accept-Encoding": "identity"}
    if begun and validator:
        headers |= {"Range": f"bytes={begun}-", "If-Range": validator}
    with client.stream("GET", url, headers=headers) as answer:
        _check_answer(answer, url)
        resumed = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {begun}-")
        if answer.status_code == 416 or (answer.status_code == 206 and not resumed):
            _forget(part)  # of another file; the next try begins anew
            raise library.RemoteProtocolError("the server's file has changed")
        total = _total(answer, begun if resumed else 0)
        with _writing(part):
            if total is not None and shutil.disk_usage(part.parent).free < total - (begun if resumed else 0):
                _forget(part)
                raise SinkError(
                    f"{part.parent} has no room for {total / 1e6:.0f} MB: make room, or set XDG_CACHE_HOME to another "
                    "disk"
                )
            tag = answer.headers.get("ETag", "")
            same = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")
            _validator(part).write_text(same)
        done = _copy(answer, part, begun if resumed else 0, total, progress)
    if total is not None and done != total:
        raise library.RemoteProtocolError(f"{done} of {total} bytes")


def _copy(answer: httpx.Response, part: Path, begun: int, total: int | None, progress: Progress | None) -> int:
    """Write the body behind the first `begun` bytes; how many bytes there are then."""
    done = begun
    try:
        with part.open("r+b" if begun else "wb") as file:
            file.seek(begun)
            for block in answer.iter_raw():
                if done == 0 and WEB_PAGE.match(block):
                    raise DownloadError(_page_message(str(answer.url)))
                if done + len(block) > (MOST_BYTES if total is None else total):
                    raise DownloadError(f"{_shown(str(answer.url))} gives more bytes than it said: try again later")
                file.write(block)
                done += len(block)
                if progress is not None:
                    progress(done, total)
    except OSError as error:
        _forget(part)
        reason = (error.strerror or type(error).__name__).lower()
        raise SinkError(
            f"cannot write {part.parent}: {reason}; make room, or set XDG_CACHE_HOME to another disk"
        ) from error
    except DownloadError:
        _forget(part)
        raise
    return done


def _check_answer(answer: httpx.Response, url: str) -> None:
    """Refuse what is not the file."""
    secure = all(str(step.url).startswith("https:") for step in (*answer.history[1:], answer))
    if url.startswith("https:") and not secure:
        raise DownloadError(f"{_shown(url)} leads to {_shown(str(answer.url))} without encryption: it was not followed")
    code = answer.status_code
    if code in (404, 410):
        raise DownloadError(
            f"there is no file at {_shown(url)} any more ({code}): see `heatstream models` for its authors' page, and "
            "give a file of theirs to `heatstream export NAME --checkpoint FILE`"
        )
    if code in (401, 403, 407):
        what = "the proxy of this machine's settings" if code == 407 else _shown(url)
        raise DownloadError(f"{what} refuses to give the file ({code}): get it with a browser, or ask who runs it")
    if code not in (200, 206, 416):
        raise DownloadError(f"{_shown(url)} answers with the error {code}: try again later")
    if "html" in answer.headers.get("Content-Type", "").lower():
        raise DownloadError(_page_message(url))
    length = answer.headers.get("Content-Length", "0")
    if not length.isdecimal() or int(length) > MOST_BYTES:
        raise DownloadError(
            f"{_shown(url)} says that it is {length[:30]} bytes, which no such file is: try again later"
        )


def _page_message(url: str) -> str:
    return (
        f"{_shown(url)} answers with a web page and not with the file, as portals and proxies do that want a login: "
        "open it in a browser, then try again"
    )


def _total(answer: httpx.Response, begun: int) -> int | None:
    length = answer.headers.get("Content-Length")
    return None if length is None else begun + int(length)


def _broken(library: Any, error: Exception, url: str, got: int) -> DownloadError:
    if got:
        return DownloadError(
            f"the connection to {urlsplit(url).hostname} broke after {got:,} bytes ({_line(error)}): the same command "
            "goes on from there"
        )
    if isinstance(error, library.TimeoutException):
        return DownloadError(
            f"{urlsplit(url).hostname} does not answer: try again later, or behind a proxy set HTTPS_PROXY"
        )
    return DownloadError(
        f"{urlsplit(url).hostname} cannot be reached ({_line(error)}): check the network, or behind a proxy set "
        "HTTPS_PROXY"
    )


def _line(error: Exception) -> str:
    """What a library says, on one line, without a password."""
    text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"//[^/@\s]*@", "//", text)[:200]


def _shown(url: str) -> str:
    """An address without user, password and query."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def _length(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _validator(part: Path) -> Path:
    """Where it is noted which version of the server's file the part is of: its ETag, or when it was changed."""
    return part.with_name(f"{part.name}.version")


def _read_validator(part: Path) -> str:
    try:
        return _validator(part).read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _forget(part: Path) -> None:
    for path in (part, _validator(part)):
        path.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise SinkError(f"cannot write {path}: {reason}; set XDG_CACHE_HOME to a folder of yours") from error
