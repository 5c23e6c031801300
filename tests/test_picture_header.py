"""What is known of a picture before it is decoded: against OpenCV's own decoder, and for pictures that lie."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from heatstream.errors import DatasetError, InputError, SourceError
from heatstream.frames import MOST_PIXELS, MOST_SIDE, check_frame
from heatstream.picture_header import PictureHeader, jpeg_end, read_header
from heatstream.pictures import read_picture

KINDS = {
    ".jpg": "jpeg",
    ".png": "png",
    ".webp": "webp",
    ".tif": "tiff",
    ".bmp": "bmp",
    ".ppm": "netpbm",
    ".pbm": "netpbm",
    ".jp2": "jpeg2000",
    ".gif": "gif",
    ".avif": "avif",
}
CAN_WRITE = [suffix for suffix in KINDS if cv2.haveImageWriter(f"x{suffix}")]


def encoded(suffix: str, height: int = 70, width: int = 97) -> bytes:
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(suffix, picture if suffix != ".pbm" else picture[:, :, 0])[1].tobytes()


@pytest.mark.parametrize("suffix", CAN_WRITE)
@pytest.mark.parametrize("size", [(70, 97), (300, 64)])
def test_sizes_are_those_of_the_decoded_picture(suffix: str, size: tuple[int, int]) -> None:
    data = encoded(suffix, *size)
    header = read_header(data)
    assert header is not None
    assert (header.kind, header.whole) == (KINDS[suffix], True)
    assert (header.height, header.width) == cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2]


def test_webps_other_forms() -> None:
    for quality in (50, 101):  # with losses and without
        data = cv2.imencode(".webp", np.zeros((23, 41, 3), np.uint8), [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
        header = read_header(data)
        assert header is not None
        assert (header.height, header.width, header.several) == (23, 41, False)


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_with_places_of_64_bits(order: str, tmp_path: Path) -> None:
    pixels = np.arange(35, dtype=np.uint8).reshape(5, 7)
    values = {256: 7, 257: 5, 258: 8, 259: 1, 262: 1, 273: 16, 277: 1, 278: 5, 279: 35}
    entries = b"".join(struct.pack(order + "HHQQ", tag, 16, 1, value) for tag, value in values.items())
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HHHQ", 43, 8, 0, 16 + 35)
    path = tmp_path / "large.tif"
    path.write_bytes(head + pixels.tobytes() + struct.pack(order + "Q", len(values)) + entries + bytes(8))
    picture, header = read_picture(path)
    assert header == PictureHeader("tiff", 5, 7)
    np.testing.assert_array_equal(picture[:, :, 0], pixels)


@pytest.mark.parametrize("suffix", CAN_WRITE)
def test_damage_never_raises_anything_else(suffix: str, tmp_path: Path) -> None:
    data, rng = encoded(suffix), np.random.default_rng(1)
    path = tmp_path / f"a{suffix}"
    for _ in range(60):
        damaged = bytearray(data[: rng.integers(1, len(data) + 1)])
        for place in rng.integers(0, min(len(damaged), 64), rng.integers(0, 4)):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            image, _ = read_picture(path)
        except SourceError:
            continue
        assert image.dtype == np.uint8


def png(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    """A JPEG likewise: its frame header is rewritten."""
    data = bytearray(encoded(".jpg"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    "data", [png(30000, 30000), png(2**31 - 1, 2**31 - 1), png(MOST_SIDE + 1, 1), jpeg(30000, 30000)]
)
def test_huge_sizes_are_refused_before_anything_is_decoded(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: pytest.fail("it was decoded"))
    path = tmp_path / "huge.png"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=f"at most {MOST_PIXELS:,} px"):
        read_picture(path)


def test_huge_frames_are_refused() -> None:
    for shape in ((30000, 30000, 3), (1, MOST_SIDE + 1, 3)):
        with pytest.raises(InputError, match="make it smaller"):
            check_frame(np.broadcast_to(np.uint8(0), shape))


def test_the_end_of_a_jpeg_is_its_own(tmp_path: Path) -> None:
    data = encoded(".jpg", 200, 200)
    small = encoded(".jpg", 8, 8)
    film = np.random.default_rng(0).integers(0, 256, 50_000, np.uint8).tobytes() + b"\xff\xda" + bytes(100)
    path = tmp_path / "a.jpg"
    for tail in (b"", film, small, bytes(5000), b"camera maker's text" * 40):
        assert jpeg_end(data + tail) == len(data)
        path.write_bytes(data + tail)
        image, _ = read_picture(path)
        np.testing.assert_array_equal(image, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    for cut in (data[: int(0.6 * len(data))], data[: int(0.6 * len(data))] + bytes(5000), data[:-2]):
        path.write_bytes(cut)
        with pytest.raises(SourceError, match="cut off"):
            read_picture(path)
    # A thumbnail in a segment of its own is a whole JPEG, with an end mark.
    exif = b"\xff\xe1" + struct.pack(">H", 2 + len(small)) + small
    assert jpeg_end(data[:2] + exif + data[2:]) == len(data) + len(exif)
    assert jpeg_end((data[:2] + exif + data[2:])[:-200]) is None


def test_the_error_is_the_callers(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_picture(tmp_path / "none.png", error=DatasetError)


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="it comes with the extra heic")
    pixels = np.full((48, 64, 3), (200, 100, 30), np.uint8)  # R, G, B
    path = tmp_path / "phone.heic"
    heif.from_bytes(mode="RGB", size=(64, 48), data=pixels.tobytes()).save(path, quality=90)
    image, header = read_picture(path)
    assert header.kind == "heic"
    assert image.shape == (48, 64, 3)
    np.testing.assert_allclose(image.mean(axis=(0, 1)), (30, 100, 200), atol=4)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(SourceError, match=r"is cut off|is not a picture"):
        read_picture(path)


def test_a_file_larger_than_memory_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(SourceError, match=r"larger than .* bytes, which no picture is"):
        read_picture(path)
