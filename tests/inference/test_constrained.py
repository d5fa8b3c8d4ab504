"""Texts that must hold phrases."""

from __future__ import annotations

import math

import pytest
import torch

from sensorium.inference.beams import Search
from sensorium.inference.constrained import Demand, constrained_search
from sensorium.inference.native_seq2seq import NativeSeq2SeqEngine
from sensorium.inference.phrases import Phrase, Progress, forms_of
from tests.inference.folders import TOKENIZER
from tests.inference.mock import MockSeq2SeqEngine, byte_tokenizer, copying
from tests.inference.seq2seq import FAMILIES, saved, sources

BYTES = byte_tokenizer()


def written(engine, tokens) -> str:
    return engine.tokenizer.decode(tokens)


def demand(engine, *phrases: Phrase) -> Demand:
    def accepts(tokens) -> bool:
        text = written(engine, tokens)
        return all(text.count(p.text) == p.count if p.exact else text.count(p.text) >= p.count for p in phrases)

    return Demand(phrases, accepts)


def phrase(text: str, count: int = 1, *, exact: bool = False, tokenizer=TOKENIZER) -> Phrase:
    return Phrase(text, forms_of(tokenizer, text), count, exact)


def search(engine, **options) -> Search:
    facts = engine.facts
    return Search(
        **dict(max_new_tokens=40, beams=8) | options, eos_ids=facts.eos_ids, forced_bos=facts.forced_bos,
        suppressed=facts.suppressed,
    )  # fmt: skip


def test_a_phrase_is_written_in_several_ways() -> None:
    assert {TOKENIZER.decode(form) for form in forms_of(TOKENIZER, "the")} == {"the", " the"}
    assert forms_of(BYTES, "%s") == ((BYTES.id("%"), BYTES.id("s")), (BYTES.id("Ġ"), BYTES.id("%"), BYTES.id("s")))


def test_what_the_vocabulary_lacks_has_no_form() -> None:
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers

    from sensorium.data.tokens.tokenizer import Tokenizer

    backend = Backend(models.WordLevel({"[UNK]": 0, "a": 1, "cat": 2, "(": 3}, unk_token="[UNK]"))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Whitespace(), decoders.WordPiece()
    tokenizer = Tokenizer(backend, {"unk": "[UNK]"})
    assert forms_of(tokenizer, "cat") == ((2,),)
    assert forms_of(tokenizer, "dog") == ()


def test_progress_follows_begun_broken_and_complete_phrases() -> None:
    phrases = [Phrase("ab", ((1, 2),), 2, exact=True), Phrase("abc", ((1, 3),))]
    progress = Progress.start(phrases)
    assert progress.wanted(phrases) == [1]
    progress = progress.after(1, phrases)
    assert progress.written(phrases) == 1
    assert set(progress.wanted(phrases)) == {1, 2, 3}
    broken = progress.after(9, phrases)
    assert (broken.left, broken.begun, broken.written(phrases)) == ((2, 1), (), 0)
    once = progress.after(2, phrases)
    assert (once.left, once.written(phrases)) == ((1, 1), 2)
    twice = once.after(1, phrases).after(2, phrases)
    assert twice.left == (0, 1)
    assert twice.forbidden(phrases) == []
    assert twice.after(1, phrases).forbidden(phrases) == [2]
    assert twice.after(1, phrases).after(3, phrases).left == (0, 0)


def test_a_phrase_begins_again_inside_itself() -> None:
    phrases = [Phrase("aab", ((1, 1, 2),))]
    progress = Progress.start(phrases)
    for token in (1, 1, 1, 2):
        progress = progress.after(token, phrases)
    assert progress.left == (0,)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_text_holds_its_phrases(family, tmp_path) -> None:
    saved(FAMILIES[family](), tmp_path, ending=3.0)
    engine = NativeSeq2SeqEngine.open(tmp_path)
    given = sources(4, seed=5)
    wanted = [
        demand(engine, phrase("the")),
        demand(engine, phrase("%s", 2, exact=True), phrase("{name}", exact=True)),
        demand(engine, phrase("文件")),
        demand(engine),
    ]
    found = constrained_search(engine, given, wanted, search(engine, n_best=2))
    for source, asked, hypotheses in zip(given, wanted, found, strict=True):
        assert hypotheses
        for hypothesis in hypotheses:
            assert asked.accepts(hypothesis.token_ids)
            assert hypothesis.score == pytest.approx(score(engine, source, hypothesis.token_ids), abs=1e-4)


def score(engine, source, tokens) -> float:
    with torch.inference_mode():
        hidden = engine.model(torch.tensor([source]), torch.tensor([[engine.facts.start, *tokens[:-1]]]))
        logprobs = engine.model.logits(hidden)[0].log_softmax(-1)
    values = [float(row[token]) for row, token in zip(logprobs, tokens, strict=True)]
    if engine.facts.forced_bos is not None:
        values[0] = 0.0
    return math.fsum(values) / len(values)


def test_a_phrase_is_not_written_once_too_often() -> None:
    """A model that is sure of three `%s` writes the two that are asked for."""
    engine = MockSeq2SeqEngine(BYTES, copying(BYTES))
    source = BYTES.encode("a%sb%sc%sd")
    asked = demand(engine, phrase("%s", 2, exact=True, tokenizer=BYTES))
    found = constrained_search(engine, [source], [asked], search(engine))
    assert written(engine, found[0][0].token_ids).count("%s") == 2


def test_a_phrase_is_put_where_it_costs_least() -> None:
    engine = MockSeq2SeqEngine(BYTES, copying(BYTES, x="y"))
    asked = demand(engine, phrase("x", tokenizer=BYTES))
    found = constrained_search(engine, [BYTES.encode("abxcd")], [asked], search(engine))
    assert written(engine, found[0][0].token_ids) == "abxcd"


def test_what_cannot_be_written_in_time_is_found_nowhere() -> None:
    engine = MockSeq2SeqEngine(BYTES, copying(BYTES))
    asked = demand(engine, phrase("too long a phrase", tokenizer=BYTES))
    assert constrained_search(engine, [BYTES.encode("ab")], [asked], search(engine, max_new_tokens=8)) == [[]]
