"""Beam search with an encoder–decoder (Sutskever et al. 2014): token by token what Hugging Face's `generate` finds.

`beams` keeps the books; this file asks the model. Log-probabilities are those of the whole vocabulary, computed for
the candidates alone; forbidden tokens keep their part in it unless the model says otherwise (`Search.renormalize`), and
forced ones have log-probability 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sensorium.errors import EngineError
from sensorium.inference.beams import Beams, Candidates, Hypothesis, Search
from sensorium.inference.best_tokens import Banned, Best, best_tokens
from sensorium.inference.engine import Ids, Seq2SeqEngine


@torch.inference_mode()
def beam_search(
    engine: Seq2SeqEngine, sources: Sequence[Ids], search: Search, *, limits: Sequence[int] | None = None
) -> list[list[Hypothesis]]:
    """The best sequences for every source, best first; all sources are one batch.

    Args:
        engine: writes with an encoder–decoder.
        sources: token ids, none of them empty.
        search: how.
        limits: the most tokens for each source; `search.max_new_tokens` for all by default.

    Raises:
        InputError: there are more beams than tokens to begin with.
        EngineError: the model gives logits that are not numbers.
    """
    limits = [search.max_new_tokens] * len(sources) if limits is None else limits
    state, logits = engine.read(sources, max(limits), search.beams)
    search.check_beams(logits.shape[1])
    beams = Beams(limits, search, logits.device)
    step = Steps(search, engine.facts.start, logits.device)
    while True:
        rows = beams.advance(step.candidates(beams, logits))
        if rows is None:
            return beams.results()
        state.keep(rows)
        logits = state.step(beams.tokens[..., -1].flatten())


class Steps:
    """From logits to candidates."""

    def __init__(self, search: Search, start: int, device: torch.device) -> None:
        self._search = search
        self._start = start
        early = sorted({*search.suppressed, *search.eos_ids})
        self._suppressed = torch.tensor(search.suppressed, dtype=torch.long, device=device)
        self._suppressed_early = torch.tensor(early, dtype=torch.long, device=device)

    def candidates(self, beams: Beams, logits: Float[Tensor, "rows vocab"]) -> Candidates:
        """The best continuations of every source. Before the first token there is one row a source, after it one a
        beam."""
        if beams.length == 0 and self._search.forced_bos is not None:
            return _forced(beams, self._search.forced_bos)
        values, ids = self.best(beams, logits, min(self._search.candidates, logits.shape[1]))
        count = len(beams.sources)
        k = values.shape[1]
        values, ids = values.view(count, -1, k), ids.view(count, -1, k)
        scores = beams.scores[:, : values.shape[1], None] + values
        best = scores.flatten(1).topk(k)
        found = Candidates(
            scores=best.values,
            parents=best.indices // k,
            tokens=ids.flatten(1).gather(1, best.indices),
            logprobs=values.flatten(1).gather(1, best.indices),
        )
        return self._end_in_time(beams, found)

    def best(self, beams: Beams, logits: Float[Tensor, "rows vocab"], k: int, banned: Banned | None = None) -> Best:
        """The k likeliest tokens of every row that may be taken.

        Raises:
            EngineError: a row's logits are not numbers.
        """
        early = beams.length < self._search.min_new_tokens
        suppressed = self._suppressed_early if early else self._suppressed
        if self._search.no_repeat_ngram:
            repeated = self._repeated(beams, len(logits))
            banned = repeated if banned is None else _joined(banned, repeated)
        values, ids = best_tokens(
            logits,
            k,
            suppressed=suppressed if len(suppressed) else None,
            banned=banned,
            renormalize=self._search.renormalize,
        )
        if bool(values.isnan().any()):
            raise EngineError(
                "the model gave logits that are not finite numbers",
                fix="Check the weights with `sensorium verify`, or load with dtype='float32'",
            )
        return values, ids

    def _end_in_time(self, beams: Beams, found: Candidates) -> Candidates:
        """Where the next token is the last that the limit allows, every beam takes the forced end token."""
        last = beams.limits == beams.length + 1
        if self._search.forced_eos is None or not bool(last.any()):
            return found
        forced = _forced(beams, self._search.forced_eos, width=found.scores.shape[1])
        return forced.where(last[:, None], found)

    def _repeated(self, beams: Beams, rows: int) -> Banned:
        """Tokens that would complete a run of tokens for the second time (Paulus et al. 2018)."""
        size = self._search.no_repeat_ngram
        tokens = beams.tokens[:, : rows // len(beams.sources)].flatten(0, 1)
        tokens = torch.nn.functional.pad(tokens, (1, 0), value=self._start)
        if tokens.shape[1] < size:
            return (empty := tokens.new_zeros(0)), empty
        windows = tokens.unfold(1, size, 1)
        ends = tokens[:, None, tokens.shape[1] - size + 1 :]
        found, places = (windows[..., :-1] == ends).all(-1).nonzero(as_tuple=True)
        return found, windows[found, places, -1]


def _joined(a: Banned, b: Banned) -> Banned:
    return torch.cat((a[0], b[0])), torch.cat((a[1], b[1]))


def _forced(beams: Beams, token: int, width: int | None = None) -> Candidates:
    """Every beam goes on with one token, for certain."""
    count, n = beams.scores.shape
    width = n if width is None else width
    scores, parents = beams.scores.sort(1, descending=True)
    spare = width - n
    return Candidates(
        scores=torch.nn.functional.pad(scores, (0, spare), value=-torch.inf)[:, :width],
        parents=torch.nn.functional.pad(parents, (0, spare))[:, :width],
        tokens=parents.new_full((count, width), token),
        logprobs=scores.new_zeros(count, width),
    )
