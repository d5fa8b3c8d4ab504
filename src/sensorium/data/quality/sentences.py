"""How many sentences documents have, counted by their marks for a whole batch at once.

It counts; it does not cut (`sensorium.data.segment` does). A stop ends a sentence where white space, a closing quote or
the end of the line follows; one of Chinese always does. A full stop after a title, an initial or a common abbreviation
ends none, nor does an ellipsis. What stands after the last stop of a line is a sentence too.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int64

from sensorium.data.quality import letters
from sensorium.data.quality.lines import Lines, is_closer
from sensorium.data.quality.words import Words, hash_of, is_stop, sums

_SHORT = """
    Mr Mrs Ms Dr Prof Rev Hon St Gen Col Capt Lt Sgt Gov Sen Rep Jr Sr vs No Vol pp Fig Inc Ltd Co Corp e.g i.e cf etc
    approx Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec
"""
_ABBREVIATIONS = np.array(sorted(map(hash_of, _SHORT.split())), np.uint64)


def sentence_counts(lines: Lines) -> Int64[np.ndarray, " documents"]:
    """Sentences of each document."""
    words = lines.words
    ends = sentence_ends(words, lines)
    rest = _last(ends, lines.bounds) < _last(words.real, lines.bounds)
    total: Int64[np.ndarray, " documents"] = words.totals(ends) + sums(lines.offsets, rest)
    return total


def sentence_ends(words: Words, lines: Lines) -> Bool[np.ndarray, " words"]:
    """Which marks end a sentence."""
    codes = words.codes
    at = np.flatnonzero(is_stop(codes))
    ends = np.zeros(len(codes), np.bool_)
    if not len(at):
        return ends
    spaced = np.append(words.spaced, True)
    following = np.append(codes, np.uint8(letters.SPACE))
    final = np.zeros(len(codes) + 1, np.bool_)
    final[lines.bounds] = True  # the word there begins a line: what stands before it ends one
    after = at + 1
    again = ~spaced[after] & is_stop(following[after])
    for _ in range(3):
        after = after + (~spaced[after] & is_closer(following[after]))
    full = codes[at] == letters.ascii_code(".")
    dots = full & (words.ends[at] - words.starts[at] > 1)
    parted = spaced[after] | (codes[at] == letters.STOP)
    before = np.maximum(at - 1, 0)
    short = full & ~words.spaced[at] & (at > 0) & ~final[after]
    initial = (words.lengths[before] == 1) & (codes[before] == letters.LETTER)
    short &= initial | np.isin(words.hashes_at(before), _ABBREVIATIONS)
    ends[at] = parted & ~again & ~dots & ~short
    return ends


def _last(
    chosen: Bool[np.ndarray, " words"], bounds: Int64[np.ndarray, " lines_and_end"]
) -> Int64[np.ndarray, " lines"]:
    """The last chosen word of each line; one before its first if there is none."""
    if len(bounds) < 2:
        return np.zeros(0, np.int64)
    places = np.where(chosen, np.arange(len(chosen)), -1)
    last: Int64[np.ndarray, " lines"] = np.maximum(np.maximum.reduceat(places, bounds[:-1]), bounds[:-1] - 1)
    return last
