"""Clips: frames chosen by time, and the sound track, by PyAV.

Unusual: a frame is chosen by its time stamp, never by its number, so that clips of variable frame rate are sampled
evenly in time; and the time is that of the packets that are there, not the header's, so that what is left of a
damaged clip is sampled evenly, too. Between frames that lie far apart, what no chosen frame needs is not decoded.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from sensorium.errors import DataError, InputError, require
from sensorium.files import StrPath
from sensorium.modalities.audio import MAX_SECONDS, refuse_long, refuse_not_finite, resampled
from sensorium.modalities.image import MAX_PIXELS
from sensorium.modalities.kinds import looks_like
from sensorium.modalities.source import opened, where

_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,mxf,h264,hevc,m4v"
"""Those that hold all that they show: a playlist would make FFmpeg open other files, or the network."""
_COVER = 0x400
"""FFmpeg's mark of a stream that is one attached picture."""
_STEPS_BACK = (0.0, 2.0, 10.0)
"""Seconds before a time that are jumped to: some containers find a key frame that is shown later than asked."""
_RATE = 25.0
"""Frames a second of a clip that says nothing about time."""
_TURNS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
_Frame = tuple[float, Any]
_Picture = tuple[float, Image.Image]


@dataclass(frozen=True, kw_only=True, eq=False)
class Video:
    """What was read of a clip.

    Args:
        frames: chosen frames as RGB, 0 to 255.
        times: when each is shown first, in seconds from the clip's first frame.
        sound: the sound track as one channel, if there is one and it was asked for.
        sound_rate: its samples a second.
        duration: seconds of the clip that could be decoded.
    """

    frames: UInt8[Tensor, "time 3 height width"]
    times: Float[Tensor, " time"]
    sound: Float[Tensor, " samples"] | None
    sound_rate: int | None
    duration: float


def read_video(
    source: StrPath | bytes,
    *,
    frames: int = 8,
    size: int | None = None,
    max_seconds: float = MAX_SECONDS,
    sound_rate: int | None = 16_000,
    max_pixels: int = MAX_PIXELS,
) -> Video:
    """Frames of a clip, evenly over its duration, and its sound.

    The duration is cut into `frames` equal slices, and the frame that is shown in the middle of each is taken; a clip
    of fewer frames repeats them.

    Args:
        source: a path or the file's bytes.
        frames: how many.
        size: the shorter edge is brought to this and the middle square is taken; None leaves the frames as they are.
        max_seconds: the longest clip that is read.
        sound_rate: samples a second of the sound track; None leaves it out.
        max_pixels: the most pixels that a frame may have.

    Raises:
        InputError: there is no such file, it cannot be opened, or a number is not above 0.
        DataError: it is empty, too long or too large, holds no moving picture, or none that can be decoded.
        CapabilityError: the extra `video`, or `audio` for a sound track at another rate, is not installed.
    """
    if min(frames, size or 1, sound_rate or 1) < 1:
        raise InputError("frames, size and sound_rate must be above 0", where=where(source))
    av = require("av", extra="video", purpose="reading video")
    with _container(av, source) as container:
        stream = _moving(container, source)
        width, height = int(stream.codec_context.width), int(stream.codec_context.height)
        if width * height > max_pixels:
            raise DataError(
                f"frames of {width:,} × {height:,} pixels are larger than the limit of {max_pixels:,}",
                where=where(source),
                fix="Make them smaller, or raise the limit",
            )
        refuse_long(_told_seconds(container, stream), max_seconds, where(source))
    extent = _extent(av, source)
    refuse_long(extent.duration, max_seconds, where(source))
    picked = list(_chosen(av, source, extent, count=frames, size=size))
    if not picked:
        raise DataError("no frame of it can be decoded", where=where(source), fix="Copy it anew, or leave it out")
    if len({image.size for _, image in picked}) > 1:
        raise DataError("its frames change their size", where=where(source), fix="Give a size")
    pixels = torch.from_numpy(np.stack([np.asarray(image) for _, image in picked]))
    sound = None if sound_rate is None else _sound(av, source, sound_rate, most=max_seconds)
    return Video(
        frames=pixels.permute(0, 3, 1, 2).contiguous(),
        times=torch.tensor([time - extent.start for time, _ in picked]),
        sound=sound,
        sound_rate=None if sound is None else sound_rate,
        duration=extent.duration,
    )


@contextmanager
def _container(av: Any, source: StrPath | bytes) -> Iterator[Any]:
    """A clip, opened through a file of ours, so that its name is never taken for an address."""
    options = {"format_whitelist": _CONTAINERS}
    with opened(source) as file:
        try:
            container = av.open(file, metadata_errors="ignore", options=options)
        except av.FFmpegError as error:
            looks = looks_like(source, meant="video")
            raise DataError(
                f"not a clip that can be read{looks} ({error.strerror})", where=where(source), fix="Save it as MP4"
            ) from error
        with container:
            yield container


def _moving(container: Any, source: StrPath | bytes) -> Any:
    """The first stream of moving pictures; the cover of a piece of music is none."""
    for stream in container.streams.video:
        if not stream.disposition.value & _COVER and stream.codec_context is not None:
            return stream
    has = "sound alone; read it as a sound" if container.streams.audio else "no pictures"
    raise DataError(f"there is no moving picture in it: it holds {has}", where=where(source), fix="Leave it out")


def _told_seconds(container: Any, stream: Any) -> float:
    """The duration by the header; 0 if it says none."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return float(max(container.duration or 0, 0) / 1e6)


@dataclass(frozen=True, kw_only=True)
class _Extent:
    """When a clip's packets are shown, in seconds."""

    start: float
    duration: float
    key_frames: int


def _extent(av: Any, source: StrPath | bytes) -> _Extent:
    """From where to where a clip goes. Packets are looked at and none is decoded: headers are wrong about clips that
    were cut short, and about some of variable frame rate."""
    shown: list[tuple[float, float]] = []
    packets, keys = 0, 0
    with _container(av, source) as container:
        stream = _moving(container, source)
        rate = float(stream.average_rate or _RATE)
        with suppress(av.FFmpegError, ValueError):
            for packet in container.demux(stream):
                packets += packet.size > 0
                keys += packet.is_keyframe and packet.size > 0
                if (stamp := packet.dts if packet.pts is None else packet.pts) is not None:
                    unit = float(packet.time_base)
                    shown.append((stamp * unit, (packet.duration or 0) * unit))
    if not shown:
        return _Extent(start=0.0, duration=packets / rate, key_frames=0)
    start, (last, length) = min(shown)[0], max(shown)
    if not length:  # not every container says how long a frame is shown
        length = (last - start) / (len(shown) - 1) if last > start else 1 / rate
    return _Extent(start=start, duration=last + length - start, key_frames=keys)


def _chosen(av: Any, source: StrPath | bytes, extent: _Extent, *, count: int, size: int | None) -> Iterator[_Picture]:
    """The frames that are shown in the middle of each of some equal slices, and when each begins."""
    targets = [extent.start + extent.duration * (index + 0.5) / count for index in range(count)]
    found = _by_jumps(av, source, targets) if extent.key_frames > count else None
    last: _Picture | None = None
    for time, frame in found or _in_order(av, source, targets):
        if last is None or last[0] != time:
            last = time, _rgb(frame, size)
        yield last


def _in_order(av: Any, source: StrPath | bytes, targets: Sequence[float]) -> Iterator[_Frame]:
    """Decode a clip from its beginning."""
    with _container(av, source) as container:
        stream = _moving(container, source)
        stream.thread_type = "AUTO"
        yield from _shown(_decoded(av, container, stream), targets)


def _by_jumps(av: Any, source: StrPath | bytes, targets: Sequence[float]) -> list[_Frame] | None:
    """Decode from the key frame before each time alone; None where the container finds none."""
    found: list[_Frame] = []
    with _container(av, source) as container:
        stream = _moving(container, source)
        for target in targets:
            for back in _STEPS_BACK:
                try:
                    container.seek(int((target - back) / stream.time_base), stream=stream)
                except (av.FFmpegError, ValueError):
                    return None
                frames = _decoded(av, container, stream)
                first = next(frames, None)
                if first is not None and first[0] <= target:
                    found += _shown(itertools.chain([first], frames), [target])
                    break
            else:
                return None
    return found


def _shown(frames: Iterable[_Frame], targets: Sequence[float]) -> Iterator[_Frame]:
    """For each time, the last frame that begins no later; the first of all if none does."""
    waiting = deque(targets)
    shown: _Frame | None = None
    for time, frame in frames:
        while waiting and time > waiting[0]:
            yield shown or (time, frame)
            waiting.popleft()
        if not waiting:
            return
        shown = time, frame
    if shown is not None:
        yield from [shown] * len(waiting)


def _decoded(av: Any, container: Any, stream: Any) -> Iterator[_Frame]:
    """The frames that can be decoded from here on, with the time of each in seconds."""
    rate = float(stream.average_rate or _RATE)
    for count, frame in enumerate(_unbroken(av, container, stream)):
        stamped = frame.pts is not None and frame.time_base
        yield (float(frame.pts * frame.time_base) if stamped else count / rate), frame


def _unbroken(av: Any, container: Any, stream: Any) -> Iterator[Any]:
    """What a stream decodes to, without the packets that are damaged."""
    try:
        for packet in container.demux(stream):
            try:
                yield from (frame for frame in packet.decode() if not frame.is_corrupt)
            except (av.FFmpegError, ValueError):
                continue
    except (av.FFmpegError, ValueError):  # the file ends here; the decoder may still hold frames
        with suppress(av.FFmpegError, ValueError, EOFError):
            yield from stream.codec_context.decode(None)


def _rgb(frame: Any, size: int | None) -> Image.Image:
    """A frame upright, in RGB."""
    image: Image.Image = frame.to_image()
    turned = round(getattr(frame, "rotation", 0)) % 360
    if turned in _TURNS:
        image = image.transpose(_TURNS[turned])
    if size is None:
        return image
    return ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)


def _sound(av: Any, source: StrPath | bytes, rate: int, *, most: float) -> Float[Tensor, " samples"] | None:
    """The first sound track as one channel; None if there is none, or none of it can be decoded."""
    with _container(av, source) as container:
        if not container.streams.audio or container.streams.audio[0].codec_context is None:
            return None
        stream = container.streams.audio[0]
        planes = av.AudioResampler(format="fltp")
        parts: list[NDArray[np.float32]] = []
        original, done = 0, 0
        for frame in _unbroken(av, container, stream):
            if original and frame.sample_rate != original:
                break
            original = int(frame.sample_rate)
            frame.pts = None  # a gap in the time stamps is no reason to fill or to drop samples
            for part in planes.resample(frame):
                block: NDArray[np.float32] = part.to_ndarray()
                refuse_not_finite(block.T, done, original, where(source))
                parts.append(block.mean(axis=0))
                done += block.shape[1]
            refuse_long(done / original, most, where(source))
    if not parts:
        return None
    return torch.from_numpy(resampled(np.concatenate(parts), original, rate, where(source)))
