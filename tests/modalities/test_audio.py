"""Any sound becomes one channel at one rate, and anything else an error that says what it is."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.errors import DataError, InputError, SensoriumError
from sensorium.modalities.audio import read_audio
from tests.modalities.files import picture, sound, tone


@pytest.mark.parametrize(
    ("format", "subtype", "tolerance"),
    [
        ("WAV", "PCM_U8", 1e-2),
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "PCM_32", 1e-7),
        ("WAV", "FLOAT", 0),
        ("WAV", "DOUBLE", 0),
        ("WAV", "ULAW", 2e-2),
        ("FLAC", "PCM_16", 1e-4),
        ("AIFF", "PCM_16", 1e-4),
        ("AU", "PCM_16", 1e-4),
        ("CAF", "PCM_16", 1e-4),
    ],
)
def test_a_sound_is_read_as_it_was_written(format: str, subtype: str, tolerance: float) -> None:
    samples = tone(0.5, 16_000)
    read = read_audio(sound(samples, 16_000, format, subtype))
    torch.testing.assert_close(read, torch.from_numpy(samples), atol=tolerance, rtol=0)


@pytest.mark.parametrize(("format", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
def test_lossy_sounds_are_read_as_libsndfile_reads_them(format: str, subtype: str, tmp_path: Path) -> None:
    path = tmp_path / "sound"
    path.write_bytes(sound(tone(1.0, 16_000), 16_000, format, subtype))
    expected, rate = soundfile.read(io.BytesIO(path.read_bytes()), dtype="float32")
    assert rate == 16_000
    assert np.abs(read_audio(path).numpy() - expected).max() < 1e-6


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_any_rate_becomes_the_one_asked_for(rate: int) -> None:
    read = read_audio(sound(tone(1.0, rate), rate, subtype="FLOAT"))
    assert len(read) == 16_000
    middle = slice(1000, 15_000)
    assert np.abs(read.numpy()[middle] - tone(1.0, 16_000)[middle]).max() < 1e-3
    assert np.array_equal(read, soxr.resample(tone(1.0, rate), rate, 16_000, quality="HQ"))


@pytest.mark.parametrize("channels", [2, 6])
def test_channels_are_averaged(channels: int) -> None:
    samples = np.stack([tone(0.3, 16_000, 200.0 * (index + 1)) for index in range(channels)], axis=1)
    read = read_audio(sound(samples, 16_000, subtype="FLOAT"))
    assert np.allclose(read, samples.mean(axis=1), atol=1e-7)


def test_blocks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    data = sound(np.stack([tone(1.0, 16_000)] * 2, axis=1), 16_000, subtype="FLOAT")
    monkeypatch.setattr("sensorium.modalities.audio._BLOCK", 1001)
    assert np.array_equal(read_audio(data), tone(1.0, 16_000))


def test_silence_is_a_sound() -> None:
    assert not read_audio(sound(np.zeros(1000), 16_000)).any()


def test_a_path_and_its_bytes_read_alike(tmp_path: Path) -> None:
    data = sound(tone(0.2, 22_050), 22_050)
    for name in ("a.wav", "a.mp3", "a.raw", "aé 声.txt", "noname"):
        path = tmp_path / name
        path.write_bytes(data)
        assert torch.equal(read_audio(path), read_audio(data)), name
        assert torch.equal(read_audio(str(path)), read_audio(data)), name


def test_a_ten_hour_sound_is_refused_by_its_header() -> None:
    head = io.BytesIO(sound(np.zeros(4), 16_000))
    data = bytearray(head.getvalue())
    size = 10 * 3600 * 16_000 * 2
    data[4:8], data[40:44] = struct.pack("<I", size + 36), struct.pack("<I", size)
    with pytest.raises(DataError, match=r"truncated: 52 of 1,152,000,044 bytes"):
        read_audio(bytes(data))
    flac = bytearray(sound(np.zeros(4096), 16_000, "FLAC"))
    flac[21] |= (10 * 3600 * 16_000) >> 32  # the count of samples in STREAMINFO: 36 bits
    flac[22:26] = struct.pack(">I", 10 * 3600 * 16_000 & 0xFFFFFFFF)
    with pytest.raises(DataError, match="36,000 s long, and the limit is 3,600 s"):
        read_audio(bytes(flac))
    with pytest.raises(DataError, match="2 s long, and the limit is 1 s"):
        read_audio(sound(tone(2.0, 8000), 8000), max_seconds=1.0)


def test_a_streamed_wav_without_a_length_is_read() -> None:
    data = bytearray(sound(tone(0.5, 16_000), 16_000))
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    assert len(read_audio(bytes(data))) == 8000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused_with_their_place(value: float) -> None:
    samples = np.stack([tone(0.1, 8000)] * 2, axis=1)
    samples[400, 1] = value
    with pytest.raises(DataError, match=r"sample 400 \(0\.050 s\), channel 2 is -?(nan|inf)"):
        read_audio(sound(samples, 8000, subtype="FLOAT"))


@pytest.mark.parametrize("format", ["WAV", "FLAC", "AIFF"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_a_truncated_sound_is_refused(format: str, share: float) -> None:
    rng = np.random.default_rng(0)
    data = sound(rng.uniform(-0.5, 0.5, 40_000), 16_000, format)
    with pytest.raises(DataError, match=r"truncated|not a sound"):
        read_audio(data[: int(len(data) * share)])


def test_what_is_no_sound_says_so(tmp_path: Path) -> None:
    path = tmp_path / "misnamed.wav"
    path.write_bytes(picture())
    with pytest.raises(DataError, match=r"misnamed\.wav: not a sound that can be read; it looks like an image file"):
        read_audio(path)
    with pytest.raises(DataError, match="looks like a text file"):
        read_audio(b"hello, world\n" * 9)
    with pytest.raises(DataError, match="there are no samples"):
        read_audio(sound(np.zeros(0), 16_000))
    path.write_bytes(b"")
    with pytest.raises(DataError, match="the file is empty"):
        read_audio(path)
    with pytest.raises(InputError, match="No such file"):
        read_audio(tmp_path / "absent.wav")
    with pytest.raises(InputError, match="impossible"):
        read_audio(sound(tone(0.1, 8000), 8000), rate=0)


@settings(max_examples=150)
@given(
    format=st.sampled_from(["WAV", "FLAC", "OGG", "MP3", "AIFF", "CAF", "AU"]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_damage_is_told_or_harmless(format: str, edits: list[tuple[float, int]]) -> None:
    data = bytearray(sound(tone(0.02, 8000), 8000, format))
    for place, value in edits:
        data[int(place * (len(data) - 1))] = value
    with suppress(SensoriumError):
        assert torch.isfinite(read_audio(bytes(data))).all()
