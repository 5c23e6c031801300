"""The sound of films: it comes along at its time, of whatever kind, and never holds up a frame."""

from __future__ import annotations

import subprocess
import sys
import warnings
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from heatstream.runtime.sinks import VideoSink
from tests.fakes.runtime import read_video, result, whiten

REPOSITORY = Path(__file__).resolve().parents[3]
FPS, RATE = 25, 44_100
BEEP = 0.8
"""s: a film is silent up to here."""


def write_film(path: Path, codec: str, *, seconds: float = 2.0, start: float = 0.0) -> Path:
    """A film of two seconds whose sound lasts so long, and which begins with that time of its clock."""
    rate = 48_000 if codec == "libopus" else RATE
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=FPS)
        video.height, video.width = 48, 64
        audio = container.add_stream(codec, rate=rate, layout="mono")
        for number in range(2 * FPS):
            picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="bgr24")
            picture.pts, picture.time_base = round(start * FPS) + number, Fraction(1, FPS)
            container.mux(video.encode(picture))
        times = np.arange(round(seconds * rate)) / rate
        wave = np.where(times < BEEP, 0, np.sin(2 * np.pi * 440 * times) * 20_000).astype(np.int16)
        resampler = av.AudioResampler(audio.format, audio.layout, rate, frame_size=audio.codec_context.frame_size)
        whole = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        whole.sample_rate, whole.pts, whole.time_base = rate, round(start * rate), Fraction(1, rate)
        for frame in (*resampler.resample(whole), *resampler.resample(None)):
            container.mux(audio.encode(frame))
        container.mux([*audio.encode(None), *video.encode(None)])
    return path


def write_along(path: Path, film: Path, *, frames: int = 2 * FPS, first: float = 0.0) -> None:
    sink = VideoSink(path, whiten, fps=FPS, sound=film)
    for number in range(frames):
        sink.write(result(number, time=first + number / FPS))
    sink.close()


def sound_of(path: Path) -> tuple[str, float, float]:
    """Codec, when it gets loud, and when it ends, s."""
    with av.open(str(path)) as container:
        (stream,) = container.streams.audio
        beep, end = np.inf, 0.0
        for frame in container.decode(stream):
            assert frame.time is not None
            loud = np.abs(frame.to_ndarray().astype(float))
            limit = 0.1 if frame.format.name.startswith("flt") else 3000
            found = np.flatnonzero(loud.max(axis=0) > limit)
            if len(found):
                beep = min(beep, frame.time + float(found[0]) / frame.sample_rate)
            end = frame.time + frame.samples / frame.sample_rate
        return stream.codec_context.name, float(beep), end


@pytest.mark.parametrize(
    ("name", "codec", "written"),
    [
        ("film.mp4", "aac", "aac"),
        ("film.mkv", "libmp3lame", "mp3float"),
        ("film.mkv", "libopus", "opus"),
        ("film.avi", "pcm_s16le", "aac"),
        ("film.mkv", "ac3", "aac"),
    ],
)
def test_every_kind_of_sound_comes_along(name: str, codec: str, written: str, tmp_path: Path) -> None:
    write_along(tmp_path / "out.mp4", write_film(tmp_path / name, codec))
    kind, beep, end = sound_of(tmp_path / "out.mp4")
    assert kind == written
    assert beep == pytest.approx(BEEP, abs=0.06)
    assert end == pytest.approx(2.0, abs=0.1)
    assert len(read_video(tmp_path / "out.mp4")) == 2 * FPS


@pytest.mark.parametrize("codec", ["aac", "ac3"])
def test_it_keeps_its_place_when_the_clock_or_the_frames_begin_late(codec: str, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", codec, start=5.0)
    write_along(tmp_path / "out.mp4", film, frames=25, first=0.4)
    _, beep, end = sound_of(tmp_path / "out.mp4")
    assert beep == pytest.approx(BEEP - 0.4, abs=0.06)
    assert end == pytest.approx(1.0, abs=0.1)  # no longer than the frames


def test_films_without_sound_and_what_is_no_film(tmp_path: Path) -> None:
    (tmp_path / "words.mp4").write_text("no film")
    for film in (tmp_path / "words.mp4", tmp_path / "none.mp4", REPOSITORY / "docs/images/astronaut.jpg"):
        write_along(tmp_path / "out.mp4", film)
        with av.open(str(tmp_path / "out.mp4")) as container:
            assert [stream.type for stream in container.streams] == ["video"]


@pytest.mark.parametrize("seed", range(12))
def test_damaged_films_cost_their_sound_at_most(seed: int, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", ["aac", "libmp3lame", "libopus", "ac3"][seed % 4])
    data = bytearray(film.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, 700 if seed % 2 else len(data), 30):
        data[place] = rng.integers(0, 256)
    film.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that it is damaged
        write_along(tmp_path / "out.mp4", film)
    assert len(read_video(tmp_path / "out.mp4")) == 2 * FPS


KILLED = """
import os, sys
from pathlib import Path
from heatstream.runtime.sinks import VideoSink
from tests.fakes.runtime import result, whiten
sink = VideoSink(Path(sys.argv[1]), whiten, fps=25, sound=Path(sys.argv[2]))
for number in range(50):
    sink.write(result(number, time=number / 25))
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("seconds", [0.4, 2.0])
def test_a_killed_run_has_its_frames_and_their_sound(seconds: float, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", "aac", seconds=seconds)
    subprocess.run([sys.executable, "-c", KILLED, tmp_path / "out.mp4", film], cwd=REPOSITORY, check=False)
    lost = 2 * FPS - len(read_video(tmp_path / "out.mp4"))
    assert 0 <= lost <= (1 if seconds == 2 else 3)
    assert sound_of(tmp_path / "out.mp4")[2] == pytest.approx(seconds, abs=0.12)
