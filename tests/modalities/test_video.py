"""Frames are those that are shown at even times, whatever the frame rate; bad clips are told."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.errors import DataError, InputError, SensoriumError
from sensorium.modalities import video
from sensorium.modalities.video import Video, read_video
from tests.modalities.files import clip, picture, sound, tone


def shown(read: Video) -> list[int]:
    """Which frame each is, by its grey."""
    return [round((float(frame.float().mean()) - 20) / 5) for frame in read.frames]


def stream_of(container: Any) -> Any:
    return container.streams.video[0]


def test_frames_are_spread_evenly_over_the_time(tmp_path: Path) -> None:
    read = read_video(clip(tmp_path / "a.mp4", list(range(0, 4000, 100))), frames=4)
    assert read.frames.shape == (4, 3, 48, 64)
    assert read.frames.dtype == torch.uint8
    assert shown(read) == [5, 15, 25, 35]
    torch.testing.assert_close(read.times, torch.tensor([0.5, 1.5, 2.5, 3.5]))
    assert read.duration == pytest.approx(4.0)
    assert read.sound is None
    assert read.sound_rate is None


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts", "webm", "mov"])
def test_any_container_reads_alike(suffix: str, tmp_path: Path) -> None:
    codec = {"webm": "libvpx", "avi": "mpeg4"}.get(suffix, "libx264")
    path = clip(tmp_path / f"a.{suffix}", list(range(0, 3000, 100)), codec=codec)
    assert shown(read_video(path, frames=3)) == [5, 15, 25]
    assert torch.equal(read_video(path.read_bytes(), frames=3).frames, read_video(path, frames=3).frames)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_variable_frame_rate_is_sampled_by_time(suffix: str, tmp_path: Path) -> None:
    stamps = [0, 10, 20, 30, 40, 50, 1000, 2000, 2010, 2020, 3000]
    path = clip(tmp_path / f"a.{suffix}", stamps, last=1000)
    assert shown(read_video(path, frames=4)) == [5, 6, 6, 9]
    torch.testing.assert_close(
        read_video(path, frames=4).times, torch.tensor([0.05, 1.0, 1.0, 2.02]), atol=2e-3, rtol=0
    )


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_jumping_and_reading_in_order_find_the_same_frames(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clip(tmp_path / f"a.{suffix}", list(range(0, 4600, 100)), key_frames=5)
    found = []
    jumps = video._by_jumps
    for jump in (jumps, lambda *_: None):
        monkeypatch.setattr(video, "_by_jumps", jump)
        read = read_video(path, frames=8)
        found.append((shown(read), read.times.tolist()))
    assert found[0] == found[1]
    assert found[0][0] == [2, 8, 14, 20, 25, 31, 37, 43]


def test_a_clip_that_starts_late_is_timed_from_its_first_frame(tmp_path: Path) -> None:
    read = read_video(clip(tmp_path / "a.mkv", list(range(5000, 7000, 100))), frames=2)
    assert read.times[0] < 2


def test_a_clip_of_one_frame_repeats_it(tmp_path: Path) -> None:
    read = read_video(clip(tmp_path / "a.mp4", [0]), frames=3)
    assert shown(read) == [0, 0, 0]


def test_a_size_takes_the_middle_square(tmp_path: Path) -> None:
    read = read_video(clip(tmp_path / "a.mp4", [0, 100]), frames=2, size=32)
    assert read.frames.shape == (2, 3, 32, 32)
    assert shown(read)[0] == 0


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_clip_stands_as_its_rotation_says(degrees: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mp4"
    half = np.zeros((48, 64, 3), np.uint8)
    half[:24] = 255
    with av.open(path, "w") as container:
        stream: Any = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(half, format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    upright = read_video(data, frames=1).frames[0]
    turned = read_video(rotated(data, degrees), frames=1).frames[0]
    with av.open(path) as container:  # what the display matrix means is FFmpeg's to say
        assert next(container.decode(video=0)).rotation == 0
    expected = torch.rot90(upright, {90: 1, 180: 2, 270: 3}[degrees], (1, 2))
    assert turned.shape == expected.shape
    assert (turned.float() - expected.float()).abs().max() < 3


def rotated(data: bytes, degrees: int) -> bytes:
    """The file with the display matrix of its track header set: a turn against the clock."""
    matrices = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}
    a, b, c, d = (value * 65536 for value in matrices[degrees])
    matrix = b"".join(value.to_bytes(4, "big", signed=True) for value in (a, b, 0, c, d, 0, 0, 0, 1 << 30))
    place = data.index(b"tkhd") + 4 + 40
    return data[:place] + matrix + data[place + 36 :]


def test_the_sound_track_comes_with_it(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", list(range(0, 2000, 100)), audio=tone(2.0, 44_100), audio_rate=44_100)
    read = read_video(path)
    assert read.sound is not None
    assert read.sound_rate == 16_000
    assert len(read.sound) == pytest.approx(32_000, abs=1600)
    spectrum = torch.fft.rfft(read.sound[8000:24_000]).abs()
    assert int(spectrum.argmax()) == 440
    assert float(read.sound[8000:24_000].abs().max()) == pytest.approx(0.5, abs=0.05)
    assert read_video(path, sound_rate=None).sound is None


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi"])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_of_a_truncated_clip_what_is_there_is_read(suffix: str, share: float, tmp_path: Path) -> None:
    codec = "mpeg4" if suffix == "avi" else "libx264"
    rng = np.random.default_rng(0)
    path = tmp_path / f"a.{suffix}"
    with av.open(path, "w") as container:
        stream: Any = container.add_stream(codec, rate=10, options={"g": "5"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for _ in range(60):
            noise = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    read = read_video(data[: int(len(data) * share)], frames=4)
    assert len(read.frames) == 4
    assert 1.0 < read.duration < 6 * share + 1.0
    assert (read.times.diff() > 0.2).all()


def test_a_clip_whose_index_is_lost_says_so(tmp_path: Path) -> None:
    data = clip(tmp_path / "a.mp4", list(range(0, 2000, 100))).read_bytes()
    with pytest.raises(DataError, match="not a clip that can be read"):
        read_video(data[: len(data) // 2])


def test_what_holds_no_moving_picture_says_so(tmp_path: Path) -> None:
    path = tmp_path / "misnamed.mp4"
    path.write_bytes(sound(tone(0.5, 16_000), 16_000, "OGG"))
    with pytest.raises(DataError, match=r"misnamed\.mp4: there is no moving picture in it: it holds sound alone"):
        read_video(path)
    path.write_bytes(picture())
    with pytest.raises(DataError, match="not a clip that can be read; it looks like an image file"):
        read_video(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="the file is empty"):
        read_video(path)
    with pytest.raises(InputError, match="No such file"):
        read_video(tmp_path / "absent.mp4")
    with pytest.raises(InputError, match="above 0"):
        read_video(path, frames=0)


def test_a_clip_without_frames_says_so(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mkv", [0, 100, 200])
    data = path.read_bytes()
    start = data.index(b"\x1f\x43\xb6\x75")  # the first cluster
    with pytest.raises(DataError, match=r"no frame of it can be decoded|not a clip"):
        read_video(data[:start])


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    inner = clip(tmp_path / "a.ts", list(range(0, 1000, 100)))
    playlist = tmp_path / "list.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{inner}\n#EXT-X-ENDLIST\n")
    with pytest.raises(DataError, match="looks like a text file"):
        read_video(playlist)


def test_limits_are_checked_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(tmp_path / "a.mp4", list(range(0, 3000, 100)))
    monkeypatch.setattr(video, "_decoded", None)
    with pytest.raises(DataError, match="3 s long, and the limit is 1 s"):
        read_video(path, max_seconds=1.0)
    with pytest.raises(DataError, match="48 pixels are larger than the limit of 100"):
        read_video(path, max_pixels=100)


@settings(max_examples=40)
@given(
    suffix=st.sampled_from(["mp4", "mkv", "ts"]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_damage_is_told_or_harmless(
    suffix: str, edits: list[tuple[float, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("clip") / f"a.{suffix}"
    data = bytearray(clip(path, [0, 100, 200], audio=tone(0.3, 16_000)).read_bytes())
    for place, value in edits:
        data[int(place * (len(data) - 1))] = value
    with suppress(SensoriumError):
        assert len(read_video(bytes(data), frames=2).frames) == 2
