"""How texts are to be translated: the options of `LanguageModel.translate`, checked and completed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

from sensorium.data.codes import base, find_code
from sensorium.errors import InputError
from sensorium.inference.beams import Search
from sensorium.inference.engine import Ids, Seq2SeqEngine
from sensorium.inference.logits import Number, Sampling, check_whole
from sensorium.inference.seq2seq_facts import EarlyStopping
from sensorium.tasks.direction import Direction, find_direction
from sensorium.tasks.generate import sampling_of
from sensorium.tasks.kept import Glossary

_BEAMS = 4
"""Where the model does not say."""
_LONGEST = 512
"""Tokens of a translation where nothing sets a limit."""
_UNSPACED = frozenset({"zh", "ja", "th", "lo", "km", "my", "bo"})
"""Languages without a space between sentences."""


class TranslateOptions(TypedDict, total=False):
    """The options of `LanguageModel.translate`."""

    source: str | None
    """Language of the text, a code such as "en"; needed only where the model must be told."""
    target: str | None
    """Language to translate into; needed only where the model knows several."""
    beam: int | None
    """Hypotheses that are followed at once; by default as many as the model says, and 4 where it says nothing. 1 takes
    the likeliest token each time."""
    n_best: int
    """How many translations are given: all but the best as its `alternatives`."""
    length_penalty: Number | None
    """Above 0 favours long translations, below 0 short ones; what the model says, by default."""
    early_stopping: EarlyStopping | None
    """When a search is done, as in Hugging Face's `generate`: True, False or "never"; what the model says, by
    default."""
    max_new_tokens: int | None
    """Of a translation, at most; by default what the length of the text makes plausible."""
    glossary: Mapping[str, str] | None
    """Terms and the translations that must stand for them, written exactly so."""
    keep_placeholders: bool
    """`%s`, `{name}`, `$VAR`, tags, entities and addresses of the text stand in its translation as they are and as
    often; on by default."""
    align: bool
    """Find out which words translate which."""
    temperature: Number | None
    """Above 0 draws the tokens instead of searching; 1 if one of the next four is given."""
    top_k: int | None
    top_p: Number | None
    min_p: Number | None
    seed: int | None
    """The same seed gives a text the same translation, alone or in a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How texts are to be translated.

    Args:
        direction: how the model is told the languages.
        search: how each text is searched for.
        sampling: draws the tokens instead, where given.
        seed: of the draws.
        limit: the most tokens of a translation; None: what its length makes plausible.
        glossary: what must stand for which terms.
        keep_placeholders: placeholders and addresses must come through.
        aligned: find out which words translate which.
        joint: what stands between sentences that are translated one by one.
    """

    direction: Direction
    search: Search
    sampling: Sampling | None = None
    seed: int | None = None
    limit: int | None = None
    glossary: Glossary | None = None
    keep_placeholders: bool = True
    aligned: bool = False
    joint: str = " "

    def score(self, logprobs: Sequence[float]) -> float:
        """Of a translation, by its tokens' log-probabilities."""
        return math.fsum(logprobs) / math.pow(max(1, len(logprobs)), float(self.search.length_penalty))

    def longest(self, engine: Seq2SeqEngine, ids: Ids, extra: int = 0) -> int:
        """The most tokens of a source's translation. A model that has lost its way repeats itself without end, so by
        default no translation is much longer than its source."""
        room = _LONGEST if engine.target_context is None else engine.target_context - 1
        if self.limit is not None:
            return self.limit if engine.target_context is None else min(self.limit, room)
        if engine.facts.max_length is not None:
            room = min(room, max(1, engine.facts.max_length - 1))
        return min(room, max(3 * len(ids) + 32 + extra, engine.facts.min_length))


def wish_of(engine: Seq2SeqEngine, **options: Unpack[TranslateOptions]) -> Wish:
    """The options, checked and completed from what the model says of itself.

    Raises:
        InputError: an option is out of range or does not go with another, a language is not known, or a glossary's
            translation cannot be produced.
    """
    facts = engine.facts
    direction = find_direction(engine, options.get("source"), options.get("target"))
    seed, glossary, beam = options.get("seed"), options.get("glossary"), options.get("beam")
    sampling = sampling_of(
        options.get("temperature"), options.get("top_k"), options.get("top_p"), options.get("min_p"), seed
    )
    if seed is not None:
        check_whole("seed", seed, "from 0 to 2**63 - 1", lambda x: 0 <= x < 1 << 63)
    n_best = options.get("n_best", 1)
    if not sampling.greedy and (n_best != 1 or beam not in (None, 1) or glossary):
        raise InputError(
            "sampling draws one text; beams, n_best and a glossary need a search",
            fix="Leave out temperature, top_k, top_p, min_p and seed, or beam, n_best and glossary",
        )
    if beam is None:
        beam = (facts.beams or _BEAMS) if sampling.greedy else 1
        beam = max(beam, n_best) if isinstance(n_best, int) else beam
    early, penalty = options.get("early_stopping"), options.get("length_penalty")
    early = facts.early_stopping if early is None else early
    limit = options.get("max_new_tokens")
    search = Search(
        max_new_tokens=_LONGEST if limit is None else limit,
        beams=beam,
        n_best=n_best,
        length_penalty=facts.length_penalty if penalty is None else penalty,
        early_stopping=True if beam == 1 else early,
        min_new_tokens=max(0, facts.min_length - 1),
        eos_ids=facts.eos_ids,
        forced_bos=direction.forced_bos,
        forced_eos=facts.forced_eos,
        suppressed=facts.suppressed,
        no_repeat_ngram=facts.no_repeat_ngram,
        renormalize=facts.renormalize,
    )
    search.check_beams(engine.tokenizer.target.vocab_size)
    target = options.get("target") or facts.languages[1] or ""
    return Wish(
        direction=direction,
        search=search,
        sampling=None if sampling.greedy else sampling,
        seed=seed,
        limit=limit,
        glossary=None if glossary is None else Glossary(glossary, engine.tokenizer.target),
        keep_placeholders=options.get("keep_placeholders", True),
        aligned=options.get("align", False),
        joint="" if base(find_code(target) or target) in _UNSPACED else " ",
    )
