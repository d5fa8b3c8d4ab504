"""The text of a window cut into pieces by its times, and how far the next window moves on.

As in Whisper's own decoder and Hugging Face's `generate`: two times in a row end a piece and begin the next. Where the
text breaks off in a piece, that piece is heard again in the next window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FRAMES = 2
"""Log-mel frames from one time to the next."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens, and the frames of the window that they were heard in."""

    start: int
    end: int
    token_ids: tuple[int, ...]


def pieces(ids: Sequence[int], first_time: int | None, frames: int) -> tuple[list[Piece], int]:
    """The pieces of a window's text, and by how many frames to move on, at least one.

    Args:
        ids: what was written, at least one token.
        first_time: the token of time 0; None where no times were asked for: all is one piece.
        frames: of the window's sound.
    """
    ids = tuple(ids)
    if first_time is None:
        return [Piece(0, frames, ids)], frames
    timed = [id >= first_time for id in ids]
    cuts = [i + 1 for i in range(len(ids) - 1) if timed[i] and timed[i + 1]]
    single_end = timed[-2:] == [False, True]
    if not cuts:
        last = next((id - first_time for id in reversed(ids) if id >= first_time), 0)
        return [Piece(0, FRAMES * last if last else frames, ids)], frames
    if single_end:
        cuts.append(len(ids))
    else:
        cuts[-1] += 1  # the second of the two last times stays, as a sign that the text did not end there
    found, begin = [], 0
    for number, cut in enumerate(cuts):
        part = ids[begin:cut]
        end = part[-1 if number < len(cuts) - 1 or single_end else -2]
        found.append(Piece(FRAMES * (part[0] - first_time), FRAMES * (end - first_time), part))
        begin = cut
    moved = frames if single_end else FRAMES * (ids[begin - 2] - first_time)
    return found, moved if moved > 0 else frames
