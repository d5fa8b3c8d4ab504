"""Transcriptions as subtitles: SubRip (.srt) and WebVTT (.vtt) files, a cue for each segment."""

from __future__ import annotations

from sensorium.results import Segment, Transcription


def srt(found: Transcription) -> str:
    """A SubRip file."""
    cues = enumerate(_spoken(found), 1)
    return "\n".join(f"{number}\n{_span(segment, ',')}\n{_lines(segment)}\n" for number, segment in cues)


def vtt(found: Transcription) -> str:
    """A WebVTT file."""
    cues = (f"{_span(segment, '.')}\n{_escaped(_lines(segment))}\n" for segment in _spoken(found))
    return "\n".join(("WEBVTT\n", *cues))


def clock(seconds: float, mark: str = ".") -> str:
    """Hours, minutes, seconds and thousandths: `00:01:02.500`."""
    thousandths = max(0, round(seconds * 1000))
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{mark}{rest % 1000:03}"


def _spoken(found: Transcription) -> list[Segment]:
    return [segment for segment in found.segments if segment.text]


def _span(segment: Segment, mark: str) -> str:
    return f"{clock(segment.start, mark)} --> {clock(max(segment.end, segment.start), mark)}"


def _lines(segment: Segment) -> str:
    """The text on lines none of which is empty: an empty one would end the cue."""
    return "\n".join(line for line in segment.text.splitlines() if line.strip())


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
