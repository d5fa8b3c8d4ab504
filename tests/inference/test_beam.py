"""Greedy and beam search, held token by token and score by score to stock `generate`."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sensorium.errors import EngineError, InputError
from sensorium.inference.beam import beam_search
from sensorium.inference.beams import Search
from sensorium.inference.native_seq2seq import NativeSeq2SeqEngine
from sensorium.inference.transformers_engine import TransformersEngine
from tests.inference.folders import VOCAB
from tests.inference.seq2seq import EOS, FAMILIES, saved, sources

TOKENS = 14
OPENERS = {"native": NativeSeq2SeqEngine.open, "transformers": TransformersEngine.open}
SETTINGS: list[dict[str, Any]] = [
    dict(beams=1),
    dict(beams=1, min_new_tokens=5, no_repeat_ngram=2),
    dict(beams=2, early_stopping=True),
    dict(beams=3, length_penalty=0.0),
    dict(beams=4),
    dict(beams=4, length_penalty=2.0, early_stopping="never"),
    dict(beams=4, length_penalty=-1.0, early_stopping=True, min_new_tokens=4),
    dict(beams=5, length_penalty=0.6, no_repeat_ngram=2),
    dict(beams=5, length_penalty=-0.5, early_stopping="never"),
    dict(beams=4, renormalize=True, min_new_tokens=4, no_repeat_ngram=2),
]


@pytest.fixture(scope="module", params=[(name, seed) for name in FAMILIES for seed in range(3)], ids=str)
def pair(request, tmp_path_factory):
    name, seed = request.param
    folder = tmp_path_factory.mktemp("beam") / f"{name}{seed}"
    return saved(FAMILIES[name](), folder, seed=seed, ending=3.5 * seed), folder, seed


def stock(model: Any, given: list[list[int]], setting: dict[str, Any]) -> list[list[tuple[list[int], float]]]:
    """What `generate` finds: the tokens after the first with their padding, and the score."""
    longest, beams = max(map(len, given)), setting["beams"]
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in given])
    options = dict(
        max_new_tokens=TOKENS, num_beams=beams, num_return_sequences=beams, do_sample=False,
        min_new_tokens=setting.get("min_new_tokens"), no_repeat_ngram_size=setting.get("no_repeat_ngram"),
        renormalize_logits=setting.get("renormalize"),
        return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    if beams > 1:
        options |= dict(
            length_penalty=setting.get("length_penalty", 1.0), early_stopping=setting.get("early_stopping", False)
        )
    out = model.generate(ids, attention_mask=(ids != 0).long(), **options)
    scores = out.sequences_scores.tolist() if beams > 1 else [float("nan")] * len(given)
    rows = list(zip(out.sequences[:, 1:].tolist(), scores, strict=True))
    return [rows[i * beams : (i + 1) * beams] for i in range(len(given))]


def search(engine: Any, setting: dict[str, Any]) -> Search:
    facts = engine.facts
    return Search(
        max_new_tokens=TOKENS, n_best=setting["beams"], eos_ids=facts.eos_ids, forced_bos=facts.forced_bos,
        forced_eos=facts.forced_eos, suppressed=facts.suppressed,
        **dict(early_stopping=True) | setting if setting["beams"] == 1 else setting,
    )  # fmt: skip


@pytest.mark.parametrize("engine", OPENERS)
def test_searches_find_what_generate_finds(pair, engine, untyped) -> None:
    model, folder, seed = pair
    opened, given = OPENERS[engine](folder), sources(5, seed=1)
    lengths = set()
    for setting in SETTINGS:
        found = beam_search(opened, given, search(opened, setting))
        for hypotheses, expected in zip(found, stock(model, given, setting), strict=True):
            assert len(hypotheses) == setting["beams"]
            for hypothesis, (tokens, score) in zip(hypotheses, expected, strict=True):
                length = len(hypothesis.token_ids)
                assert list(hypothesis.token_ids) == tokens[:length], setting
                assert set(tokens[length:]) <= {0, EOS}
                lengths.add(length)
                if setting["beams"] > 1:
                    assert hypothesis.score == pytest.approx(score, rel=2e-5, abs=1e-5), setting
                penalty = setting.get("length_penalty", 1.0)
                assert hypothesis.score == pytest.approx(sum(hypothesis.logprobs) / length**penalty, rel=1e-4)
    assert len(lengths) > 1 or seed == 0


def test_a_source_is_searched_the_same_alone_and_in_a_batch(pair) -> None:
    engine, given = NativeSeq2SeqEngine.open(pair[1]), sources(5, seed=2)
    wanted = search(engine, SETTINGS[4])
    together = beam_search(engine, given, wanted)
    for row, expected in zip(given, together, strict=True):
        alone = beam_search(engine, [row], wanted)[0]
        assert [h.token_ids for h in alone] == [h.token_ids for h in expected]
        assert [h.score for h in alone] == pytest.approx([h.score for h in expected], rel=1e-4)


def test_each_source_may_have_a_limit_of_its_own(pair) -> None:
    engine, given = NativeSeq2SeqEngine.open(pair[1]), sources(3, seed=3)
    wanted = search(engine, SETTINGS[4])
    found = beam_search(engine, given, wanted, limits=[3, 9, 6])
    for row, limit, hypotheses in zip(given, [3, 9, 6], found, strict=True):
        assert max(len(h.token_ids) for h in hypotheses) <= limit
        alone = beam_search(engine, [row], wanted, limits=[limit])[0]
        assert [h.token_ids for h in alone] == [h.token_ids for h in hypotheses]


def test_long_texts_outgrow_the_first_cache_and_lose_dead_branches(tmp_path) -> None:
    from tests.inference.seq2seq import t5

    model = saved(t5(), tmp_path)
    engine, given = NativeSeq2SeqEngine.open(tmp_path), sources(3, seed=4)
    ids = torch.tensor([[*row, *[0] * (14 - len(row))] for row in given])
    options = dict(max_new_tokens=90, min_new_tokens=90, num_beams=4, num_return_sequences=1, length_penalty=1.0)
    out = model.generate(ids, attention_mask=(ids != 0).long(), **options)
    wanted = Search(max_new_tokens=90, min_new_tokens=90, beams=4, eos_ids=engine.facts.eos_ids)
    found = beam_search(engine, given, wanted)
    assert [list(hypotheses[0].token_ids) for hypotheses in found] == out[:, 1:].tolist()


def test_more_beams_than_tokens_are_refused(tmp_path) -> None:
    saved(FAMILIES["marian"](), tmp_path)
    engine = NativeSeq2SeqEngine.open(tmp_path)
    assert len(beam_search(engine, sources(1), search(engine, dict(beams=VOCAB)))[0]) > 1
    with pytest.raises(InputError, match=f"beams={VOCAB + 1} .* at most {VOCAB}"):
        beam_search(engine, sources(1), search(engine, dict(beams=VOCAB + 1)))


def test_weights_that_are_no_numbers_are_an_error(tmp_path) -> None:
    model = FAMILIES["marian"]()
    saved(model, tmp_path)
    engine = NativeSeq2SeqEngine.open(tmp_path)
    engine.model.encoder.embed.tokens.weight.fill_(float("nan"))
    with pytest.raises(EngineError, match="not finite"):
        beam_search(engine, sources(2), search(engine, SETTINGS[4]))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (dict(beams=0), "beams=0"),
        (dict(beams=2, n_best=3), "n_best=3"),
        (dict(beams=True, n_best=0), "n_best=0"),
        (dict(length_penalty=float("inf")), "length_penalty"),
        (dict(early_stopping="soon"), "early_stopping"),
        (dict(max_new_tokens=0), "max_new_tokens"),
        (dict(min_new_tokens=-1), "min_new_tokens"),
    ],
)
def test_rules_out_of_range_are_refused(wrong, complaint, untyped) -> None:
    with pytest.raises(InputError, match=complaint):
        Search(**dict(max_new_tokens=5) | wrong)
