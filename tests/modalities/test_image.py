"""Any picture becomes upright RGB on white, and anything else an error that says what it is."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sensorium.errors import DataError, InputError, SensoriumError
from sensorium.modalities.image import read_image
from tests.modalities.files import encoded, picture, sound, texture, tone

RGB = texture(40, 56)


def hwc(tensor: torch.Tensor) -> np.ndarray:
    return tensor.permute(1, 2, 0).numpy()


def png_header(width: int, height: int) -> bytes:
    """A PNG file that says its size and then ends."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (body, data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM", "QOI", "SGI"])
def test_lossless_formats_are_read_exactly(format: str) -> None:
    if format == "QOI" and "QOI" not in Image.SAVE:
        pytest.skip("this Pillow writes no QOI")
    data = encoded(Image.fromarray(RGB), format)
    assert np.array_equal(hwc(read_image(data)), RGB)


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "JPEG2000", "AVIF"])
def test_lossy_formats_are_read_as_pillow_reads_them(format: str, tmp_path: Path) -> None:
    if format not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {format}")
    path = tmp_path / "picture"
    path.write_bytes(picture(40, 56, format))
    assert np.array_equal(hwc(read_image(path)), np.asarray(Image.open(path).convert("RGB")))


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr"])
def test_other_modes_become_rgb(mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    data = encoded(image, "TIFF")
    assert np.array_equal(hwc(read_image(data)), np.asarray(image.convert("RGB")))


def test_cmyk_jpeg_is_not_inverted() -> None:
    data = encoded(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(hwc(read_image(data)).astype(int) - RGB).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_as_its_exif_data_says(orientation: int) -> None:
    turns = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a.transpose(1, 0, 2), 2),
        8: np.rot90,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    for format in ("PNG", "TIFF"):
        data = encoded(Image.fromarray(RGB), format, exif=exif)
        assert np.array_equal(hwc(read_image(data)), turns[orientation](RGB)), format


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_data_is_no_reason_to_refuse_a_picture() -> None:
    data = encoded(Image.fromarray(RGB), "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\x01")
    assert np.array_equal(hwc(read_image(data)), RGB)


def test_what_is_transparent_shows_white() -> None:
    rgba = np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)])
    rgba[:20, :, 3] = 255
    pixels = hwc(read_image(encoded(Image.fromarray(rgba, "RGBA"), "PNG")))
    assert np.array_equal(pixels[:20], RGB[:20])
    assert (pixels[20:] == 255).all()
    keyed = Image.fromarray(np.zeros((4, 4), np.uint8)).convert("P")
    assert (hwc(read_image(encoded(keyed, "GIF", transparency=0))) == 255).all()
    grey = Image.fromarray(np.full((4, 4), 7, np.uint8))
    assert (hwc(read_image(encoded(grey, "PNG", transparency=7))) == 255).all()


def test_grey_of_sixteen_bits_is_scaled() -> None:
    ramp = np.linspace(0, 65535, 64 * 4).astype(np.uint16).reshape(4, 64)
    expected = np.rint(ramp / 257).astype(np.uint8)
    for format in ("PNG", "TIFF"):
        pixels = hwc(read_image(encoded(Image.fromarray(ramp), format)))
        assert np.array_equal(pixels, np.dstack([expected] * 3)), format
    wide = Image.fromarray(ramp.astype(np.int32))
    assert np.array_equal(hwc(read_image(encoded(wide, "TIFF")))[..., 0], expected)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, 255.0), (-3.0, 900.0)])
def test_floats_are_scaled_by_the_range_that_they_fill(low: float, high: float) -> None:
    ramp = np.linspace(low, high, 64, dtype=np.float32).reshape(4, 16)
    pixels = hwc(read_image(encoded(Image.fromarray(ramp), "TIFF")))
    assert np.array_equal(pixels[..., 0], np.rint((ramp - low) / (high - low) * 255).astype(np.uint8))


def test_floats_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match="not finite"):
        read_image(encoded(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_picture_is_taken(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), (value, value, value)) for value in (0, 120, 255)]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    assert int(read_image(data).float().mean()) < 3


def test_the_size_is_checked_before_anything_is_decoded() -> None:
    bomb = png_header(30_000, 30_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"30,000 × 30,000 pixels is larger than the limit of 64,000,000"):
            read_image(bomb)
    with pytest.raises(DataError, match="larger than the limit of 100"):
        read_image(picture(), max_pixels=100)


def test_a_raised_limit_is_not_stopped_by_pillows_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(picture(60, 80)).shape == (3, 60, 80)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_picture_is_refused(format: str, share: float, tmp_path: Path) -> None:
    data = picture(200, 300, format)
    path = tmp_path / "short.jpg"
    path.write_bytes(data[: max(1, int(len(data) * share))])
    with pytest.raises(DataError, match=r"short\.jpg: (a truncated or damaged|not a) picture"):
        read_image(path)


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "misnamed.png"
    path.write_bytes(picture(40, 56, "JPEG"))
    assert read_image(path).shape == (3, 40, 56)
    path.write_bytes(sound(tone(0.1, 8000), 8000))
    with pytest.raises(DataError, match="not a picture that can be read; it looks like an audio file"):
        read_image(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="looks like a text file"):
        read_image(path)


def test_postscript_is_never_run() -> None:
    with pytest.raises(DataError, match="not a picture"):
        read_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n%%EOF\n")


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(InputError, match="folder"):
        read_image(tmp_path)
    with pytest.raises(InputError, match="zero byte"):
        read_image("a\0b")
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match="the file is empty"):
        read_image(tmp_path / "empty.png")
    with pytest.raises(DataError, match="no bytes"):
        read_image(b"")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="not a regular file"):
        read_image(tmp_path / "pipe.png")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=150)
@given(
    format=st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000"]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_damage_is_told_or_harmless(format: str, edits: list[tuple[float, int]]) -> None:
    data = bytearray(picture(24, 20, format))
    for place, value in edits:
        data[int(place * (len(data) - 1))] = value
    with suppress(SensoriumError):
        assert read_image(bytes(data)).dtype == torch.uint8


def test_an_icon_whose_header_does_not_tell_its_size_is_not_decoded() -> None:
    with pytest.raises(DataError, match="not a picture that can be read"):
        read_image(encoded(Image.fromarray(RGB), "ICO", sizes=[(56, 40)]))
