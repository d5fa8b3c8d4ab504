"""The three rules of FineWeb (Penedo et al. 2024, "The FineWeb Datasets", the section on additional heuristic filters),
and the one about lists that its code (datatrove) adds.

The paper drops documents of whose characters a tenth is in repeated lines; datatrove's own default is a hundredth. The
default here is the paper's, which FineWeb2 went back to; `FineWeb(max_repeated_characters=0.01)` is the other.

For Chinese the limits are FineWeb2's (Penedo et al. 2025; `configs/cmn_Hani.yml`), which leaves out the rule about
short lines: thirty characters of Chinese say as much as fifty of English. A full stop is that of any script; quotes and
brackets may close it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sensorium.data.quality.lines import lines_of
from sensorium.data.quality.verdicts import CHINESE as IN_CHINESE
from sensorium.data.quality.verdicts import ELSEWHERE as IN_OTHERS
from sensorium.data.quality.verdicts import ENGLISH as IN_ENGLISH
from sensorium.data.quality.verdicts import Verdicts, judged
from sensorium.data.quality.words import Words

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class FineWebLimits:
    """The limits for one language; None switches a rule off.

    Args:
        min_stopped_lines: share of lines that end as a sentence does.
        max_short_lines: share of short lines.
        short_line: characters of a line that is short.
        max_repeated_characters: share of the characters that are in lines that were there before.
        max_lines_a_word: line breaks a word or mark; lists have many.
    """

    min_stopped_lines: float | None = 0.12
    max_short_lines: float | None = 0.67
    short_line: int = 30
    max_repeated_characters: float | None = 0.1
    max_lines_a_word: float | None = 0.3


CHINESE = FineWebLimits(min_stopped_lines=0.106, max_short_lines=None, max_lines_a_word=0.178)
"""FineWeb2's."""
ELSEWHERE = FineWebLimits(min_stopped_lines=None, max_short_lines=None)
"""Of any language: the marks that end a line are not sure in all."""


@dataclass(frozen=True, kw_only=True)
class FineWeb(FineWebLimits):
    """Drops documents that break a rule of FineWeb. The limits given by name are those for English; the language is
    told as in `Gopher`.

    Args:
        chinese: limits for Chinese.
        elsewhere: limits for all other languages.
        name: of the stage.
    """

    chinese: FineWebLimits = CHINESE
    elsewhere: FineWebLimits = ELSEWHERE
    name: str = field(default="fineweb")

    def judge(self, batch: pa.RecordBatch) -> pa.Array:
        """Of each document the first rule that it breaks, or null."""
        return judged(batch, self.reasons)

    def reasons(self, words: Words, languages: list[str]) -> list[str | None]:
        """The same of documents whose words are known."""
        verdicts = Verdicts("fineweb", words)
        language = np.array(languages)
        lines = lines_of(words)
        feeds = _feeds(words)
        verdicts.holding("empty", lines.counts == 0)
        for limits, spoken in ((self, IN_ENGLISH), (self.chinese, IN_CHINESE), (self.elsewhere, IN_OTHERS)):
            among = language == spoken
            if not among.any():
                continue
            stopped = lines.share(lines.ends_in_stop())
            verdicts.below("lines that end in a stop", stopped, limits.min_stopped_lines, among)
            short = lines.share(lines.characters <= limits.short_line)
            verdicts.above("short lines", short, limits.max_short_lines, among)
            if limits.max_repeated_characters is not None:
                share = lines.repeated[1] / np.maximum(words.characters - feeds, 1)
                verdicts.above("characters in repeated lines", share, limits.max_repeated_characters, among)
            density = feeds / np.maximum(words.totals(words.weights), 1)
            verdicts.above("lines a word", density, limits.max_lines_a_word, among)
        return verdicts.reasons


def _feeds(words: Words) -> np.ndarray:
    """Line breaks of each document."""
    feeds = np.flatnonzero(words.data[: words.begins[-1]] == ord("\n"))
    counts: np.ndarray = np.diff(np.searchsorted(feeds, words.begins)) - 1
    return counts
