"""The books of a beam search: which hypotheses run, which are finished, when a source is done. No model in sight.

The rules are those of Hugging Face's `generate`, to the letter, so that both find the same hypotheses with the same
scores: 2 · beams candidates a source (more with several end tokens), of which those among the first `beams` that end
are finished, with their log-probability divided by length ** length_penalty; the best that do not end go on. A source
is done as `early_stopping` says:

- True: as soon as `beams` hypotheses are finished;
- False: once the best running one, scored as if it ended now, is no better than the worst finished one;
- "never": once it could not be better even at the best length that is left to it.

Unusual: sources that are done leave, and the last ones take their places, so that a cache moves only those rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sensorium.errors import InputError
from sensorium.inference.logits import Number, check_number, check_whole
from sensorium.inference.seq2seq_facts import EarlyStopping

_NEVER = -1e9
"""Added to the score of what may not be chosen, as `generate` does."""

Scores = Float[Tensor, "sources k"]
Indices = Int[Tensor, "sources k"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How texts are searched for. One beam is greedy.

    Raises:
        InputError: a value is out of range.
    """

    max_new_tokens: int
    beams: int = 1
    n_best: int = 1
    length_penalty: Number = 1.0
    """Above 0 favours long texts, below 0 short ones."""
    early_stopping: EarlyStopping = False
    min_new_tokens: int = 0
    eos_ids: frozenset[int] = frozenset()
    forced_bos: int | None = None
    forced_eos: int | None = None
    suppressed: tuple[int, ...] = ()
    no_repeat_ngram: int = 0
    renormalize: bool = False
    """What is suppressed, or may not come yet or again, has no part in the probabilities."""

    def __post_init__(self) -> None:
        check_whole("max_new_tokens", self.max_new_tokens, "1 or more", lambda x: x >= 1)
        check_whole("beams", self.beams, "1 or more", lambda x: x >= 1)
        check_whole("n_best", self.n_best, f"from 1 to the number of beams ({self.beams})", self._n_best_fits)
        check_number("length_penalty", self.length_penalty, "a finite number", math.isfinite)
        check_whole("min_new_tokens", self.min_new_tokens, "0 or more", lambda x: x >= 0)
        check_whole("no_repeat_ngram", self.no_repeat_ngram, "0 or more", lambda x: x >= 0)
        if self.early_stopping not in (True, False, "never"):
            raise InputError(f"early_stopping={self.early_stopping!r} is unknown", fix="Use True, False or 'never'")

    def check_beams(self, vocabulary: int) -> None:
        """Refuse more beams than a vocabulary has tokens: each begins with another one.

        Raises:
            InputError: there are more.
        """
        check_whole("beams", self.beams, f"at most {vocabulary}, the model's tokens", lambda x: x <= vocabulary)

    def _n_best_fits(self, count: int) -> bool:
        return 1 <= count <= self.beams

    @property
    def candidates(self) -> int:
        """How many a source are looked at in every step."""
        return max(2, 1 + len(self.eos_ids)) * self.beams


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A finished sequence."""

    token_ids: tuple[int, ...]
    """With the end token, where it ends with one."""
    logprobs: tuple[float, ...]
    score: float
    """The sum of the log-probabilities over length ** length_penalty."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Continuations of every source, best first."""

    scores: Scores
    """Log-probability of the whole sequence."""
    parents: Indices
    """Which of the source's beams each continues."""
    tokens: Indices
    logprobs: Scores
    """Of the new token."""

    def where(self, chosen: Bool[Tensor, "sources 1"], other: Candidates) -> Candidates:
        """These for the chosen sources, `other` for the rest."""
        return Candidates(
            scores=torch.where(chosen, self.scores, other.scores),
            parents=torch.where(chosen, self.parents, other.parents),
            tokens=torch.where(chosen, self.tokens, other.tokens),
            logprobs=torch.where(chosen, self.logprobs, other.logprobs),
        )


class Beams:
    """Hypotheses of several sources, all of one length.

    Args:
        limits: the most tokens of each source's hypotheses.
        search: the rules.
        device: where the scores lie.
        finals: finished hypotheses that are kept of each source, and waited for; as many as beams by default.
    """

    def __init__(
        self, limits: Sequence[int], search: Search, device: torch.device, *, finals: int | None = None
    ) -> None:
        count, beams = len(limits), search.beams
        self.search = search
        self.length = 0
        self.sources = list(range(count))
        """Of the rows that are left, in their order."""
        self.limits = torch.tensor(limits, device=device)
        self.scores = torch.zeros(count, beams, device=device)
        self.scores[:, 1:] = _NEVER
        self.tokens = torch.zeros(count, beams, 0, dtype=torch.long, device=device)
        self.logprobs = torch.zeros(count, beams, 0, device=device)
        self._eos = torch.tensor(sorted(search.eos_ids), dtype=torch.long, device=device)
        self._final = _Finished(count, beams if finals is None else finals, device)
        self._results: list[list[Hypothesis]] = [[] for _ in limits]

    def ends(self, tokens: Indices) -> Bool[Tensor, "sources k"]:
        """Which tokens end a sequence: end tokens, and whatever comes last where the limit is reached."""
        ended = (self.limits <= self.length + 1)[:, None].expand_as(tokens)
        for eos in self._eos:
            ended = ended | (tokens == eos)
        return ended

    def advance(
        self,
        found: Candidates,
        *,
        order: Int[Tensor, "sources beams"] | None = None,
        acceptable: Bool[Tensor, "sources k"] | None = None,
    ) -> Int[Tensor, " rows"] | None:
        """Take one step: finish, go on, and let the sources go that are done.

        Args:
            found: candidates, best first.
            order: places of the candidates that go on, one a beam; by default the best that do not end.
            acceptable: candidates that may be finished; by default all.

        Returns:
            For every row that goes on (source after source, its beams adjacent), which row before it continues; None
            if all sources are done. The tokens to append are `self.tokens[..., -1]`.
        """
        ended = self.ends(found.tokens)
        self.length += 1
        if order is None:
            order = (found.scores + ended * _NEVER).topk(self.search.beams).indices
        finishing = ended.clone()
        finishing[:, self.search.beams :] = False
        if acceptable is not None:
            finishing = ended & acceptable
        if bool(finishing.any()):
            self._finish(found, finishing)
        parents = found.parents.gather(1, order)
        # Where too few candidates can go on, one that ends fills the place; it counts as one that never wins.
        self.scores = (found.scores + ended * _NEVER).gather(1, order)
        self.tokens = _extended(self.tokens, parents, found.tokens.gather(1, order))
        self.logprobs = _extended(self.logprobs, parents, found.logprobs.gather(1, order))
        rows = self._leave()
        if not len(rows):
            return None
        return (rows[:, None] * self.search.beams + parents[rows]).flatten()

    def results(self) -> list[list[Hypothesis]]:
        """The finished hypotheses of every source, best first, at most `n_best`."""
        return self._results

    def _finish(self, found: Candidates, finishing: Bool[Tensor, "sources k"]) -> None:
        scores = found.scores / self.length**self.search.length_penalty + ~finishing * _NEVER
        tokens = _extended(self.tokens, found.parents, found.tokens)
        logprobs = _extended(self.logprobs, found.parents, found.logprobs)
        self._final.merge(scores, tokens, logprobs, finishing)

    def _leave(self) -> Int[Tensor, " kept"]:
        """Let the sources go that are done; which rows are left, the last ones in the places of those that left."""
        done = self._done()
        count = len(done)
        if not bool(done.any()):
            return torch.arange(count, device=done.device)
        for row in done.nonzero()[:, 0].tolist():
            self._results[self.sources[row]] = self._final.hypotheses(row, self.search.n_best)
        left = (~done).nonzero()[:, 0]
        kept = torch.arange(len(left), device=done.device)
        kept[done[: len(left)]] = left[left >= len(left)]
        self.sources = [self.sources[row] for row in kept.tolist()]
        self.limits, self.scores = self.limits[kept], self.scores[kept]
        self.tokens, self.logprobs = self.tokens[kept], self.logprobs[kept]
        self._final.keep(kept)
        return kept

    def _done(self) -> Bool[Tensor, " sources"]:
        early, penalty = self.search.early_stopping, self.search.length_penalty
        best = self.scores.amax(1)
        best = best / (self.limits**penalty if early == "never" and penalty > 0.0 else self.length**penalty)
        worst = torch.where(self._final.done, self._final.scores.amin(1, keepdim=True), _NEVER)
        done = (best[:, None] <= worst).all(1) | (self.limits <= self.length)
        return done | self._final.done.all(1) if early is True else done


class _Finished:
    """The best finished hypotheses of every source; a place that none has taken has the score of no hypothesis."""

    def __init__(self, count: int, beams: int, device: torch.device) -> None:
        self.scores = torch.full((count, beams), _NEVER, device=device)
        self.done = torch.zeros(count, beams, dtype=torch.bool, device=device)
        self._lengths = torch.zeros(count, beams, dtype=torch.long, device=device)
        self._tokens = torch.zeros(count, beams, 0, dtype=torch.long, device=device)
        self._logprobs = torch.zeros(count, beams, 0, device=device)

    def merge(
        self,
        scores: Scores,
        tokens: Int[Tensor, "sources k length"],
        logprobs: Float[Tensor, "sources k length"],
        done: Bool[Tensor, "sources k"],
    ) -> None:
        """Keep the best of those kept before and the new ones."""
        beams, length = self.scores.shape[1], tokens.shape[2]
        self.scores, chosen = torch.cat((self.scores, scores), 1).topk(beams)
        self.done = torch.cat((self.done, done), 1).gather(1, chosen)
        self._lengths = torch.cat((self._lengths, torch.full_like(done, length, dtype=torch.long)), 1).gather(1, chosen)
        places = chosen[..., None].expand(-1, -1, length)
        self._tokens = torch.cat((_padded(self._tokens, length), tokens), 1).gather(1, places)
        self._logprobs = torch.cat((_padded(self._logprobs, length), logprobs), 1).gather(1, places)

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        self.scores, self.done, self._lengths = self.scores[rows], self.done[rows], self._lengths[rows]
        self._tokens, self._logprobs = self._tokens[rows], self._logprobs[rows]

    def hypotheses(self, row: int, count: int) -> list[Hypothesis]:
        """The best ones of a source."""
        done, scores, lengths = (x[row].tolist() for x in (self.done, self.scores, self._lengths))
        tokens, logprobs = self._tokens[row].tolist(), self._logprobs[row].tolist()
        places = [i for i, finished in enumerate(done) if finished and scores[i] > _NEVER / 2]
        return [
            Hypothesis(tuple(tokens[i][: lengths[i]]), tuple(logprobs[i][: lengths[i]]), scores[i])
            for i in places[:count]
        ]


def _extended(sequences: Tensor, parents: Indices, last: Tensor) -> Tensor:
    """Each parent's sequence with one more entry: `[sources, k, length + 1]`."""
    places = parents[..., None].expand(-1, -1, sequences.shape[2])
    return torch.cat((sequences.gather(1, places), last[..., None]), dim=2)


def _padded(sequences: Tensor, length: int) -> Tensor:
    return torch.nn.functional.pad(sequences, (0, length - sequences.shape[2]))
