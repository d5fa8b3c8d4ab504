"""Generation as users ask for it."""

from __future__ import annotations

import pytest
import torch

from sensorium.errors import CapabilityError, InputError
from sensorium.tasks.model import load
from tests.inference import seq2seq
from tests.inference.folders import CONTEXT, TOKENIZER, llama, saved

PROMPT = "the banana"


def test_greedy_equals_stock_generate(decoder, causal) -> None:
    model, _ = decoder
    ids = causal.tokenizer.encode(PROMPT)
    out = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=12)[0, len(ids) :].tolist()
    found = causal.generate(PROMPT, max_new_tokens=12)
    assert list(found.token_ids) == out
    assert found.text == causal.tokenizer.decode(out)
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (len(ids), len(out))
    assert len(found.logprobs) == len(out)
    with torch.no_grad():
        logits = model(torch.tensor([[*ids, *out]])).logits[0].log_softmax(-1)
    expected = [float(logits[len(ids) - 1 + i, token]) for i, token in enumerate(out)]
    assert found.logprobs == pytest.approx(expected, abs=1e-4)


def test_penalties_equal_stock_generate(decoder, causal) -> None:
    model, _ = decoder
    ids = causal.tokenizer.encode(PROMPT)
    out = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=12, repetition_penalty=1.5)
    found = causal.generate(PROMPT, max_new_tokens=12, repetition_penalty=1.5)
    assert list(found.token_ids) == out[0, len(ids) :].tolist()
    varied = causal.generate(PROMPT, max_new_tokens=20, temperature=0, presence_penalty=100.0, ignore_eos=True)
    assert len(set(varied.token_ids)) == 20


@pytest.mark.parametrize(
    "options", [{}, {"seed": 5, "top_p": 0.9}, {"seed": 1, "temperature": 2.0, "stop": ["a", "b"]}]
)
def test_a_stream_joins_to_the_generation(causal, options) -> None:
    for prompt in (PROMPT, "春眠不觉"):
        whole = causal.generate(prompt, max_new_tokens=25, **options)
        chunks = list(causal.stream(prompt, max_new_tokens=25, **options))
        assert "".join(chunk.text for chunk in chunks) == whole.text
        assert tuple(chunk.token_id for chunk in chunks) == whole.token_ids
        assert tuple(chunk.logprob for chunk in chunks) == whole.logprobs
        assert chunks[-1].finish_reason == whole.finish_reason
        assert not any(stop in whole.text for stop in options.get("stop", ()))


def test_a_list_gives_what_its_prompts_give_alone(causal) -> None:
    prompts = ["the", "a longer prompt of some words", "春", "b"]
    for options in ({}, {"seed": 3, "temperature": 0.8, "top_k": 20}):
        together = causal.generate(prompts, max_new_tokens=10, **options)
        for prompt, found in zip(prompts, together, strict=True):
            alone = causal.generate(prompt, max_new_tokens=10, **options)
            assert (found.text, found.token_ids, found.finish_reason) == (
                alone.text,
                alone.token_ids,
                alone.finish_reason,
            )
            assert found.logprobs == pytest.approx(alone.logprobs, abs=1e-4)
    assert causal.generate([]) == []


def test_a_sampling_option_asks_for_sampling(causal) -> None:
    greedy = causal.generate(PROMPT, max_new_tokens=15, ignore_eos=True).token_ids
    assert causal.generate(PROMPT, max_new_tokens=15, ignore_eos=True, temperature=0, seed=1).token_ids == greedy
    assert causal.generate(PROMPT, max_new_tokens=15, ignore_eos=True, top_k=1).token_ids == greedy
    sampled = causal.generate(PROMPT, max_new_tokens=15, ignore_eos=True, seed=1)
    assert sampled.token_ids != greedy
    assert causal.generate(PROMPT, max_new_tokens=15, ignore_eos=True, seed=1) == sampled


def test_the_context_bounds_prompt_and_continuation(causal) -> None:
    prompt = "x" * (CONTEXT - 5)
    found = causal.generate(prompt, max_new_tokens=100, ignore_eos=True)
    assert found.usage.total_tokens == CONTEXT
    assert found.finish_reason == "length"
    with pytest.raises(InputError, match=rf"{CONTEXT + 3} tokens long.*holds {CONTEXT}"):
        causal.generate("x" * (CONTEXT + 2))
    with pytest.raises(InputError, match="prompt 2"):
        causal.generate(["a", "x" * CONTEXT])
    with pytest.raises(InputError, match="tokens long"):
        causal.stream("x" * CONTEXT)


def test_an_empty_prompt_begins_from_the_begin_token(causal, tmp_path) -> None:
    assert causal.generate("", max_new_tokens=3).usage.prompt_tokens == 1
    saved(llama(), tmp_path, "decoder")
    without = load(tmp_path)
    without.tokenizer.special.pop("bos")
    without.engines[0].tokenizer = without.tokenizer.for_kind("decoder")
    without.tokenizer.backend.post_processor = TOKENIZER.backend.post_processor or _nothing()
    with pytest.raises(InputError, match="prompt is empty"):
        without.generate("")


def _nothing():
    from tokenizers.processors import ByteLevel

    return ByteLevel(trim_offsets=False)


def test_numbers_out_of_range_are_refused(causal) -> None:
    for options in ({"max_new_tokens": 0}, {"temperature": -1}, {"top_p": 2.0}, {"stop": [""]}):
        with pytest.raises(InputError):
            causal.generate("a", **options)


def test_a_masked_model_says_that_it_cannot_generate(masked, causal) -> None:
    with pytest.raises(CapabilityError, match=r"cannot generate; it can: fill_mask, score.*causal language model"):
        masked.generate("a")
    with pytest.raises(CapabilityError, match=r"cannot fill mask; it can: generate, score.*masked language model"):
        causal.fill_mask("a [MASK]")


@pytest.mark.parametrize("family", ["marian", "bart"])
def test_a_text_of_an_encoder_decoder_keeps_to_its_generation_settings(family, tmp_path) -> None:
    torch.manual_seed(0)  # which test came before must not matter
    options = {"min_length": 9, "no_repeat_ngram_size": 2, "num_beams": 1, "early_stopping": False}
    model = seq2seq.saved(seq2seq.FAMILIES[family](**options), tmp_path / family, ending=8.0)
    lm = load(tmp_path / family)
    model.generation_config.min_length = 0
    free = model.generate(torch.tensor([lm.tokenizer.encode("ab")]), max_new_tokens=24, do_sample=False)
    assert free.shape[1] < 9  # so that the least length has something to forbid
    model.generation_config.min_length = 9
    for prompt in ("the cat sat", "a dog and a cat on the mat", "ab"):
        ids = torch.tensor([lm.tokenizer.encode(prompt)])
        expected = model.generate(ids, max_new_tokens=24, do_sample=False)[0, 1:].tolist()
        assert list(lm.generate(prompt, max_new_tokens=24).token_ids) == expected


def test_a_drawn_translation_keeps_to_the_generation_settings(tmp_path) -> None:
    seq2seq.saved(seq2seq.FAMILIES["marian"](min_length=7, no_repeat_ngram_size=1), tmp_path / "model", ending=6.0)
    lm = load(tmp_path / "model")
    for seed in range(20):
        tokens = lm.translate("the cat sat on the mat", temperature=1.0, seed=seed).tokens
        assert len(set(tokens)) == len(tokens) >= 6
