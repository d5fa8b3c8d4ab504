"""Pictures and clips that the tests make: smooth textures, moving squares."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image


def texture(height: int, width: int, *, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Soft blotches, as photographs have them."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (max(2, height // 9), max(2, width // 9), channels), dtype=np.uint8)
    planes = [
        np.asarray(Image.fromarray(small[..., index]).resize((width, height), Image.Resampling.BICUBIC))
        for index in range(channels)
    ]
    return np.stack(planes, axis=-1)


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def picture(height: int = 60, width: int = 80, format: str = "PNG", *, seed: int = 0, **options: Any) -> bytes:
    return encoded(Image.fromarray(texture(height, width, seed=seed)), format, **options)


def tone(seconds: float, rate: int, hertz: float = 440.0) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def sound(samples: NDArray[Any], rate: int, format: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format, subtype=subtype)
    return buffer.getvalue()


def clip(
    path: Path,
    stamps: list[int],
    *,
    levels: list[int] | None = None,
    audio: NDArray[np.float32] | None = None,
    audio_rate: int = 16_000,
    size: tuple[int, int] = (48, 64),
    codec: str = "libx264",
    last: int = 100,
    key_frames: int = 12,
) -> Path:
    """A clip of flat grey frames at times in milliseconds; the grey of a frame tells which it is."""
    greys = levels if levels is not None else [20 + 5 * index for index in range(len(stamps))]
    with av.open(path, "w") as container:
        stream: Any = container.add_stream(codec, rate=10, options={"g": str(key_frames)})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        track: Any = None
        if audio is not None:
            track = container.add_stream("aac", rate=audio_rate, layout="mono")
        for index, (stamp, grey) in enumerate(zip(stamps, greys, strict=True)):
            frame = av.VideoFrame.from_ndarray(np.full((*size, 3), grey, np.uint8), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            frame.duration = (stamps[index + 1] if index + 1 < len(stamps) else stamp + last) - stamp
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio is not None:
            for start in range(0, len(audio), 1024):
                block = av.AudioFrame.from_ndarray(audio[None, start : start + 1024], format="fltp", layout="mono")
                block.sample_rate, block.pts, block.time_base = audio_rate, start, Fraction(1, audio_rate)
                container.mux(track.encode(block))
            container.mux(track.encode())
    return path
