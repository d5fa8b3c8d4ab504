"""Beam search for texts that must hold given phrases (Post & Vilar 2018, dynamic beam allocation).

Hypotheses are told apart by how many tokens of their phrases they have written. The beams are dealt out over these
banks, best ones first, so that a hypothesis that has begun a phrase is not driven out by fluent ones that have not.
Candidates are the likeliest continuations and, of every hypothesis, those that bring a phrase forward. Only a text
that is accepted as a whole may end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sensorium.inference.beam import Steps
from sensorium.inference.beams import Beams, Candidates, Hypothesis, Search
from sensorium.inference.best_tokens import Banned, Best
from sensorium.inference.engine import Ids, Seq2SeqEngine
from sensorium.inference.phrases import Phrase, Progress

_NONE = -1e30
"""The score of a beam without a hypothesis."""
_LEAST = -1e8
"""No hypothesis scores less."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of the text of one source.

    Args:
        phrases: what it must hold.
        accepts: says of its tokens, the end token among them, whether the text may end so.
    """

    phrases: tuple[Phrase, ...]
    accepts: Callable[[Sequence[int]], bool]


@dataclass(frozen=True, slots=True)
class _Choice:
    """One continuation of one of a source's beams."""

    score: float
    parent: int
    token: int
    logprob: float
    progress: Progress


@torch.inference_mode()
def constrained_search(
    engine: Seq2SeqEngine,
    sources: Sequence[Ids],
    demands: Sequence[Demand],
    search: Search,
    *,
    limits: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """The best sequences for every source that meet its demand, best first; none where the search found none.

    Args:
        engine: writes with an encoder–decoder.
        sources: token ids, none of them empty.
        demands: one a source.
        search: how; its beams are dealt out over the banks.
        limits: see `beam_search`.

    Raises:
        EngineError: the model gives logits that are not numbers.
    """
    limits = [search.max_new_tokens] * len(sources) if limits is None else limits
    rules = replace(search, n_best=1)
    state, logits = engine.read(sources, max(limits), search.beams)
    beams = Beams(limits, rules, logits.device, finals=search.n_best)
    dealer = _Dealer(demands, rules, engine.facts.start, logits.device)
    while True:
        found, acceptable = dealer.candidates(beams, logits)
        order = torch.arange(search.beams, device=logits.device).expand(len(beams.sources), -1)
        rows = beams.advance(found, order=order, acceptable=acceptable)
        if rows is None:
            return beams.results()
        state.keep(rows)
        logits = state.step(beams.tokens[..., -1].flatten())


class _Dealer:
    """Finds the candidates of every source and deals out its beams."""

    def __init__(self, demands: Sequence[Demand], search: Search, start: int, device: torch.device) -> None:
        self._demands, self._search, self._device = demands, search, device
        self._steps = Steps(search, start, device)
        self._progress = [[Progress.start(demand.phrases)] * search.beams for demand in demands]

    def candidates(self, beams: Beams, logits: Float[Tensor, "rows vocab"]) -> tuple[Candidates, Tensor]:
        """Those that go on, one a beam, and after them those that end; and which of them may be finished."""
        count = len(beams.sources)
        width = len(logits) // count
        forced = self._search.forced_bos if beams.length == 0 else None
        k = min(self._search.candidates, logits.shape[1])
        best = self._steps.best(beams, logits, k, self._banned(beams, width))
        total = logits.gather(1, best[1][:, :1]).float() - best[0][:, :1]
        scores = beams.scores.tolist()
        going, ending = list[list[_Choice]](), list[list[_Choice]]()
        for row, source in enumerate(beams.sources):
            choices = list[_Choice]()
            for beam in range(width):
                if scores[row][beam] <= _LEAST:
                    continue
                if forced is not None:
                    tokens = {forced: 0.0}
                else:
                    tokens = self._tokens(source, beam, row * width + beam, best, logits, total)
                choices += self._choices(source, beam, scores[row][beam], tokens)
            ends = self._ends(beams, row, choices)
            last = int(beams.limits[row]) == beams.length + 1
            open_ = [] if last else [choice for choice in choices if choice.token not in self._search.eos_ids]
            going.append(self._dealt(source, open_))
            ending.append(ends)
        for source, chosen in zip(beams.sources, going, strict=True):
            states = [choice.progress for choice in chosen]
            self._progress[source] = states + self._progress[source][:1] * (self._search.beams - len(states))
        return self._table(going, ending)

    def _banned(self, beams: Beams, width: int) -> Banned | None:
        pairs = [
            (row * width + beam, token)
            for row, source in enumerate(beams.sources)
            for beam in range(width)
            for token in self._progress[source][beam].forbidden(self._demands[source].phrases)
        ]
        if not pairs:
            return None
        rows, tokens = torch.tensor(pairs, device=self._device).unbind(1)
        return rows, tokens

    def _tokens(self, source: int, beam: int, at: int, best: Best, logits: Tensor, total: Tensor) -> dict[int, float]:
        """The likeliest tokens of a row and those that bring a phrase forward, or the end where all are written, with
        their log-probabilities."""
        found = dict(zip(best[1][at].tolist(), best[0][at].tolist(), strict=True))
        wanted = self._progress[source][beam].wanted(self._demands[source].phrases) or sorted(self._search.eos_ids)
        values = logits[at, torch.tensor(wanted, dtype=torch.long, device=self._device)].float() - total[at]
        found |= dict(zip(wanted, values.tolist(), strict=True))
        return {token: logprob for token, logprob in found.items() if logprob > -torch.inf}

    def _choices(self, source: int, beam: int, score: float, tokens: dict[int, float]) -> list[_Choice]:
        progress, phrases = self._progress[source][beam], self._demands[source].phrases
        return [
            _Choice(score + logprob, beam, token, logprob, progress.after(token, phrases))
            for token, logprob in tokens.items()
        ]

    def _ends(self, beams: Beams, row: int, choices: Sequence[_Choice]) -> list[_Choice]:
        """The best continuations that end the text and are accepted."""
        last = int(beams.limits[row]) == beams.length + 1
        ends = [choice for choice in choices if last or choice.token in self._search.eos_ids]
        ends.sort(key=lambda choice: (sum(choice.progress.left), -choice.score))
        accepts = self._demands[beams.sources[row]].accepts
        tokens = beams.tokens[row].tolist()
        return [c for c in ends[: self._search.candidates] if accepts([*tokens[c.parent], c.token])]

    def _dealt(self, source: int, choices: Sequence[_Choice]) -> list[_Choice]:
        """One choice a beam: the best of every bank, then the second best, and so on; full banks first."""
        phrases = self._demands[source].phrases
        banks = dict[int, list[_Choice]]()
        for choice in sorted(choices, key=lambda choice: -choice.score):
            banks.setdefault(choice.progress.written(phrases), []).append(choice)
        ranked = [(rank, -bank, choice) for bank, chosen in banks.items() for rank, choice in enumerate(chosen)]
        ranked.sort(key=lambda entry: entry[:2])
        return [choice for _, _, choice in ranked[: self._search.beams]]

    def _table(self, going: Sequence[list[_Choice]], ending: Sequence[list[_Choice]]) -> tuple[Candidates, Tensor]:
        beams = self._search.beams
        width = beams + max(map(len, ending))
        none = _Choice(_NONE, 0, 0, 0.0, Progress(()))
        rows = [
            [*chosen, *[none] * (beams - len(chosen)), *ends, *[none] * (width - beams - len(ends))]
            for chosen, ends in zip(going, ending, strict=True)
        ]
        acceptable = [[False] * beams + [True] * len(ends) + [False] * (width - beams - len(ends)) for ends in ending]

        def table(values: Sequence[Sequence[float | int]], dtype: torch.dtype) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=self._device)

        found = Candidates(
            scores=table([[c.score for c in row] for row in rows], torch.float32),
            parents=table([[c.parent for c in row] for row in rows], torch.long),
            tokens=table([[c.token for c in row] for row in rows], torch.long),
            logprobs=table([[c.logprob for c in row] for row in rows], torch.float32),
        )
        return found, table(acceptable, torch.bool)
