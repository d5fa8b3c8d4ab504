"""Pictures: bytes to RGB, upright, on white, by Pillow.

Unusual: the size is checked from the header, before a pixel is decoded, and Pillow's own guard (a global number and a
warning) is not used: its plug-ins are called one by one. So a limit holds for one call, in any thread. Only plug-ins
that decode pixels are asked; never EPS, for which Pillow runs another program, and never ICO or ICNS, whose header does
not tell how large the picture inside is.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from sensorium.errors import DataError, SensoriumError
from sensorium.files import StrPath
from sensorium.modalities.kinds import looks_like
from sensorium.modalities.source import Opened, opened, where

MAX_PIXELS = 64_000_000

_FORMATS = (
    "JPEG",
    "PNG",
    "GIF",
    "WEBP",
    "BMP",
    "TIFF",
    "AVIF",
    "JPEG2000",
    "PPM",
    "QOI",
    "PSD",
    "SGI",
    "DDS",
)
_PREFIX = 16
_DEEP = ("I", "F")
_BROKEN = (
    OSError,
    SyntaxError,  # Pillow's word for a broken file
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow's plug-ins raise about damaged files."""
_ORIENTATION = 0x0112


def read_image(source: StrPath | bytes, *, max_pixels: int = MAX_PIXELS) -> UInt8[Tensor, "3 height width"]:
    """A picture as RGB, 0 to 255.

    It is turned as its EXIF data says, and what is transparent shows white. 16-bit grey is scaled to 8 bits; 32-bit
    numbers and floats that are on no known scale are stretched from their least to their greatest. Of an animation the
    first picture is taken. The content decides what it is, not the name.

    Raises:
        InputError: there is no such file, or it cannot be opened.
        DataError: it is empty, truncated, not a picture, or has more than `max_pixels` pixels.
    """
    pixels = np.array(decode(source, max_pixels=max_pixels))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def decode(source: StrPath | bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """A picture as Pillow's, in RGB; what `read_image` makes a tensor of.

    Raises:
        InputError, DataError: as `read_image`.
    """
    with opened(source) as file, _damage(source):
        image = _header(file, source)
        width, height = image.size
        if width * height > max_pixels:
            raise DataError(
                f"a picture of {width:,} × {height:,} pixels is larger than the limit of {max_pixels:,}",
                where=where(source),
                fix="Make it smaller, or raise the limit",
            )
        image.load()
        return _rgb(_upright(image))


def _header(file: Opened, source: StrPath | bytes) -> Image.Image:
    """Ask each plug-in whether the file is its own; nothing is decoded yet."""
    Image.init()
    prefix = file.read(_PREFIX)
    for name in _FORMATS:
        if name not in Image.OPEN:
            continue
        factory, accept = Image.OPEN[name]
        accepted = accept is None or accept(prefix)
        if accepted and not isinstance(accepted, str):  # a string says why this Pillow cannot read it
            file.seek(0)
            with suppress(SyntaxError):
                return factory(file, "")
    looks = looks_like(source, meant="image")
    raise DataError(f"not a picture that can be read{looks}", where=where(source), fix="Save it as PNG or JPEG")


@contextmanager
def _damage(source: StrPath | bytes) -> Iterator[None]:
    try:
        yield
    except SensoriumError:
        raise
    except _BROKEN as error:
        raise DataError(
            f"a truncated or damaged picture ({str(error) or type(error).__name__})",
            where=where(source),
            fix="Copy it anew, or leave it out",
        ) from error


def _upright(image: Image.Image) -> Image.Image:
    """Turn a picture as its EXIF data says. Damaged EXIF data is no reason to refuse the pixels."""
    with suppress(*_BROKEN):
        if image.getexif().get(_ORIENTATION, 1) != 1:
            return ImageOps.exif_transpose(image)
    return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith(_DEEP):
        return _shallow(image).convert("RGB")
    if "A" in image.getbands() or "a" in image.getbands() or image.info.get("transparency") is not None:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _shallow(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, or of floats, to 8 bits."""
    values: NDArray[np.float64] = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it holds numbers that are not finite")
    least, greatest = float(values.min()), float(values.max())
    if image.mode == "F":
        known = next((top for top in (1.0, 255.0) if least >= 0 and greatest <= top), None)
    else:
        known = 65535.0 if least >= 0 and greatest <= 65535 else None
    low, span = (0.0, known) if known is not None else (least, max(greatest - least, 1e-12))
    return Image.fromarray(np.rint((values - low) * (255 / span)).astype(np.uint8))
