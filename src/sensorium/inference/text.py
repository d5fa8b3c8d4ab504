"""Token ids to text while they arrive: never half a character, never the beginning of a stop string.

Decoding tokens one at a time loses the spaces that some tokenizers put between words and breaks characters that
span tokens. So a window of the last tokens is decoded as a whole, and what it adds to the text already given is
new. A trailing U+FFFD may still become a character; at most one stands for an unfinished one, so only the last is
held back.
"""

from __future__ import annotations

from collections.abc import Sequence

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import InputError

_WINDOW = 6
"""Tokens before a new one that its text may depend on."""
_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class TextStream:
    """The text of a growing sequence of tokens.

    Args:
        tokenizer: decodes; special tokens give no text.
        prompt: tokens before, whose text is not given but whose end decides whether a space follows.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._ids = list(prompt[-_WINDOW:])
        self._given = len(tokenizer.decode(self._ids))

    def push(self, id: int) -> str:
        """The text that became final with this token."""
        self._ids.append(id)
        text = self._tokenizer.decode(self._ids)
        unfinished = text.endswith(_UNFINISHED)
        final = len(text) - unfinished
        new = text[self._given : final]
        self._given = max(self._given, final)
        if not unfinished and len(self._ids) >= 2 * _WINDOW:
            self._ids = self._ids[-_WINDOW:]
            self._given = len(self._tokenizer.decode(self._ids))
        return new

    def flush(self) -> str:
        """What was held back, now that no token follows."""
        text = self._tokenizer.decode(self._ids)
        new = text[self._given :]
        self._given = len(text)
        return new


class StopStrings:
    """Ends a text before the first stop string to be completed, wherever the pieces of the text are cut.

    Raises:
        InputError: a stop string is empty.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        if "" in stops:
            raise InputError("a stop string is empty", fix="Leave it out")
        self._stops = tuple(stops)
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """The text that can no longer be part of a stop string."""
        if not self._stops:
            return text
        self._held += text
        ends = [(at + len(stop), at) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if ends:
            self.found = True
            new, self._held = self._held[: min(ends)[1]], ""
            return new
        cut = len(self._held) - max(self._overlap(stop) for stop in self._stops)
        new, self._held = self._held[:cut], self._held[cut:]
        return new

    def flush(self) -> str:
        """What was held back, now that no text follows."""
        new, self._held = self._held, ""
        return new

    def _overlap(self, stop: str) -> int:
        """Length of the longest end of the held text that begins `stop`."""
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)
