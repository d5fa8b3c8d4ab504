"""What a file is, its bytes decide; the name only where they leave it open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sensorium.errors import InputError
from sensorium.modalities.kinds import modality_of
from tests.modalities.files import clip, encoded, picture, sound, tone


@pytest.mark.parametrize(
    "format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "JPEG2000", "AVIF", "QOI"]
)
def test_pictures(format: str) -> None:
    if format not in Image.registered_extensions().values() or format not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {format}")
    assert modality_of(picture(format=format)) == "image"
    assert modality_of(encoded(Image.fromarray(np.zeros((3, 3), bool)), "PPM")) == "image"


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "CAF", "AU", "RF64"])
def test_sounds(format: str) -> None:
    assert modality_of(sound(tone(0.5, 16_000), 16_000, format)) == "audio"


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts", "webm", "mov", "flv", "asf"])
def test_clips(suffix: str, tmp_path: Path) -> None:
    codec = {"webm": "libvpx", "avi": "mpeg4", "asf": "mpeg4"}.get(suffix, "libx264")
    path = clip(tmp_path / f"a.{suffix}", list(range(0, 1000, 40)), codec=codec)
    assert modality_of(path) == "video"
    renamed = path.rename(tmp_path / "a.png")
    assert modality_of(renamed) == modality_of(renamed.read_bytes()) == "video"


def test_the_name_decides_where_the_bytes_do_not(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mkv", [0, 100])
    assert modality_of(path.rename(tmp_path / "a.mka")) == "audio"


@pytest.mark.parametrize("text", ["hello", "a,b\n1,2\n", "多模态", "<svg/>", "é" * 9000, "\ufefftable"])
def test_texts(text: str) -> None:
    assert modality_of(text.encode()) == "text"
    assert modality_of(text.encode("utf-16")) == "text"


def test_anything_else_is_nothing(tmp_path: Path) -> None:
    for data in (b"", b"\0\1\2\3", b"%PDF-1.7\n", b"PK\3\4\0\0", b"RIFFxxxxABCD", b"\x80\x81\x82"):
        assert modality_of(data) is None, data
    (tmp_path / "empty.png").touch()
    assert modality_of(tmp_path / "empty.png") is None
    with pytest.raises(InputError):
        modality_of(tmp_path / "absent.png")


@given(st.binary(max_size=600))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    assert modality_of(data) in ("image", "audio", "video", "text", None)
