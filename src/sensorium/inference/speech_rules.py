"""Which tokens may come next when speech is written down: Whisper's rules for times (Radford et al. 2023, section 4.5
and their published decoder), and what is never written.

Unusual: the rules look at the logits of all rows at once; where the times together are likelier than any single token
of text, a time comes next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sensorium.inference.speech_facts import SpeechFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRules:
    """What a text may hold.

    Times come in pairs, the end of one piece of text and the begin of the next, but for the first, which begins the
    text, and the last, which may end it; and they do not go back.
    """

    suppressed: tuple[int, ...] = ()
    suppressed_first: tuple[int, ...] = ()
    """At the begin of a text."""
    no_timestamps: int | None = None
    """Where times are written: the token before that of time 0. None: no rule holds for times."""
    text_end: int = 0
    """The end token: all before it is text."""
    latest_start: int | None = None
    """The greatest time to begin with."""

    @classmethod
    def of(cls, facts: SpeechFacts, *, timestamps: bool) -> SpeechRules:
        """The rules of a model."""
        return cls(
            suppressed=facts.writing.suppressed,
            suppressed_first=facts.suppressed_first,
            no_timestamps=facts.no_timestamps if timestamps else None,
            text_end=facts.text_end,
            latest_start=facts.latest_start,
        )

    def allowed(
        self, logits: Float[Tensor, "rows vocab"], tokens: Int[Tensor, "rows length"]
    ) -> Float[Tensor, "rows vocab"]:
        """A copy of the logits, minus infinity for what may not come next.

        Args:
            logits: of the next token of every row.
            tokens: what each row has written so far, without its prompt.
        """
        logits = logits.clone()
        if tokens.shape[1] == 0:
            logits[:, list(self.suppressed_first)] = -math.inf
        logits[:, list(self.suppressed)] = -math.inf
        return logits if self.no_timestamps is None else self._in_time(logits, tokens, self.no_timestamps)

    def _in_time(
        self, logits: Float[Tensor, "rows vocab"], tokens: Int[Tensor, "rows length"], no_timestamps: int
    ) -> Float[Tensor, "rows vocab"]:
        first, length = no_timestamps + 1, tokens.shape[1]
        logits[:, no_timestamps] = -math.inf
        ids = torch.arange(logits.shape[1], device=logits.device)
        if length == 0:
            banned = ids < first
            if self.latest_start is not None:
                banned = banned | (ids > first + self.latest_start)
            logits = logits.masked_fill(banned, -math.inf)
        else:
            timed = tokens >= first
            last = timed[:, -1:]
            before = timed[:, -2:-1] if length > 1 else torch.ones_like(last)
            single = last & ~before
            """One time stands alone: another one must follow, or the end."""
            latest = torch.where(timed, torch.arange(length, device=tokens.device), -1).amax(1, keepdim=True)
            times = tokens.gather(1, latest.clamp(min=0))
            least = torch.where(single, times, times + 1).masked_fill(latest < 0, first)
            banned = (last & before & (ids >= first)) | (single & (ids < self.text_end))
            banned = banned | ((ids >= first) & (ids < least))
            logits = logits.masked_fill(banned, -math.inf)
        likelier = logits[:, first:].logsumexp(-1) > logits[:, :first].amax(-1)
        return logits.masked_fill(likelier[:, None] & (ids < first), -math.inf)
