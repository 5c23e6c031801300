"""What `heatstream run` sends, serves and records besides its plain files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from heatstream.demo.terminal.messages import print_message
from heatstream.errors import InputError
from heatstream.runtime.sources.addresses import looks_secret, shown_address

if TYPE_CHECKING:
    from heatstream.results import Result
    from heatstream.runtime.sinks import Sink

__all__ = ["LiveOutputs", "Privacy"]

ESCAPED = "; write / ? # @ of a password as %2F %3F %23 %40"

Privacy: TypeAlias = Literal["off", "heads", "pixels"]
"""``"heads"`` blurs heads before anything is written, ``"pixels"`` lets no pixel of a frame out of the process."""


@dataclass(frozen=True)
class LiveOutputs:
    """What is wanted.

    Attributes:
        mcap: recording to write.
        mcap_fps: JPEG frames per second in it; 0 for none.
        peaks: record the peaks that people are made of.
        foxglove: port of Foxglove's live view; none is served when None.
        web: address of the live page, ``HOST:PORT``; none is served when None.
        web_fps: pictures per second behind it; 0 for none.
        token: what viewers of the page must know.
        send: addresses of receivers, ``mqtt://``, ``osc://``, ``zenoh:``.
        rerun: file or viewer of Rerun.
        privacy: what becomes of frames before any sink sees them.
    """

    mcap: Path | None = None
    mcap_fps: float = 0.0
    peaks: bool = False
    foxglove: int | None = None
    web: str | None = None
    web_fps: float = 10.0
    token: str | None = None
    send: tuple[str, ...] = ()
    rerun: str | None = None
    privacy: Privacy = "off"

    def __post_init__(self) -> None:
        if self.peaks and self.mcap is None:
            raise InputError("--raw-peaks go into a recording: add --mcap FILE")
        if self.privacy == "pixels" and self.mcap_fps:
            raise InputError("--private records no frames: leave out --mcap-frames, or blur heads with --blur-heads")

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that will be written."""
        rerun = self.rerun if self.rerun is not None and "://" not in self.rerun else None
        return tuple(Path(path) for path in (self.mcap, rerun) if path is not None)

    def guarded(self, result: Result) -> Result:
        """The result as sinks may see it."""
        from heatstream.runtime.privacy import heads_blurred, without_pixels

        if self.privacy == "off":
            return result
        return without_pixels(result) if self.privacy == "pixels" else heads_blurred(result)

    def open(
        self,
        header: Mapping[str, Any],
        health: Callable[[], dict[str, Any]],
        sinks: list[Sink],
        *,
        decoding: Callable[[], dict[str, Any]],
    ) -> None:
        """Open what is wanted, and append it to the sinks, which the caller closes even if a later one fails.

        Args:
            header: of :func:`heatstream.messages.header_message`.
            health: gives a health message.
            sinks: is extended.
            decoding: says how peaks are decoded, where they are recorded.

        Raises:
            MissingExtraError: a library is not installed.
            InputError: an address is not understood, or not safe.
            SinkError: a file or address cannot be used.
        """
        if self.mcap is not None:
            from heatstream.runtime.sinks.foxglove import FoxgloveChannels
            from heatstream.runtime.sinks.mcap import McapSink

            peaks = decoding() if self.peaks else None
            channels = FoxgloveChannels(header, image_fps=self.mcap_fps, health=health, peaks=peaks)
            sinks.append(McapSink(self.mcap, channels, tell=print_message))
        if self.rerun is not None:
            from heatstream.runtime.sinks.rerun import RerunSink

            sinks.append(RerunSink(self.rerun, header))
        sinks += [_sender(address, header) for address in self.send]
        if self.foxglove is not None:
            from heatstream.runtime.sinks.foxglove import FoxgloveChannels, FoxgloveSink

            image_fps = 0.0 if self.privacy == "pixels" else self.web_fps
            server = FoxgloveSink(FoxgloveChannels(header, image_fps=image_fps, health=health), port=self.foxglove)
            sinks.append(server)
            print_message(f"Foxglove: open the connection ws://127.0.0.1:{server.port} in the app")
        if self.web is not None:
            from heatstream.demo.web.server import WebSink

            host, port = _host_port(self.web)
            page = WebSink(
                header,
                host=host,
                port=port,
                token=self.token,
                picture_fps=0.0 if self.privacy == "pixels" else self.web_fps,
                health=health,
            )
            sinks.append(page)
            print_message(f"live page: {page.address}")


def _sender(address: str, header: Mapping[str, Any]) -> Sink:
    """What sends to an address, by its scheme."""
    try:
        url = urlsplit(address)
        _ = url.port  # it is read when it is asked for
    except ValueError:  # whose text may hold a password
        raise InputError(f"--send {_shown(address)} is not an address: check it{ESCAPED}") from None
    if url.scheme in ("mqtt", "mqtts"):
        if not url.hostname or "@" in f"{url.path}{url.query}{url.fragment}":
            raise InputError(f"--send {_shown(address)} names no broker: give mqtt://HOST/PREFIX{ESCAPED}")
        from heatstream.runtime.sinks.mqtt import MqttSink

        return MqttSink(url, header)
    if url.scheme == "osc":
        from heatstream.runtime.sinks.osc import OscSink

        return OscSink(url, header)
    if url.scheme == "zenoh":
        from heatstream.runtime.sinks.zenoh import ZenohSink

        return ZenohSink(url, header)
    raise InputError(
        f"--send {_shown(address)} is not understood: give mqtt://HOST/PREFIX, osc://HOST:PORT or zenoh:KEY"
    )


def _shown(address: str) -> str:
    """An address as messages may show it: without a password."""
    return shown_address(address) if looks_secret(address) else address


def _host_port(text: str) -> tuple[str, int]:
    """Of ``127.0.0.1:8000``, ``[::1]:8000``, ``:8000`` or ``0.0.0.0:8000``."""
    host, colon, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InputError(f"--web-address {text!r} is not understood: give HOST:PORT, such as 127.0.0.1:8000")
    return host, int(port)
