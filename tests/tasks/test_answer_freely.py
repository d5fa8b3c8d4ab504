"""Answers that a model writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers as hf

from sensorium.errors import InputError
from sensorium.results import Generation, Usage
from sensorium.tasks import answer_freely
from sensorium.tasks.answer_freely import TEMPLATES, filled
from sensorium.tasks.model import LanguageModel, load
from tests.inference.folders import CONTEXT, VOCAB, saved


def test_braces_in_a_text_are_text() -> None:
    assert filled("{question}|{context}|{x}", "{question}", "{context}") == "{context}|{question}|{x}"


def test_a_causal_model_continues_the_prompt(causal: LanguageModel) -> None:
    template = "{context} {question}:"
    answer = causal.answer("ran?", context="a bat", method="generate", template=template, max_answer_tokens=6)
    plain = causal.generate("a bat ran?:", max_new_tokens=6, stop="\n")
    assert answer.text == plain.text.strip()
    assert 0 < answer.score <= 1
    assert (answer.start is None) == (answer.text not in "a bat" or not answer.text)


def test_what_does_not_fit_is_cut_to_the_passages_of_the_question(causal: LanguageModel) -> None:
    text = "the sun is up. " * 40 + "a bat ran. " + "the sun is up. " * 40
    template = "{context}|{question}"
    one = causal.answer("bat?", context=text, method="generate", template=template, max_answer_tokens=4)
    assert one.score > 0
    with pytest.raises(InputError, match="left for the context"):
        causal.answer("b" * CONTEXT, context=text, method="generate", template=template)
    with pytest.raises(InputError, match=r"no \{question\}"):
        causal.answer("bat?", context=text, method="generate", template="{context}")


def test_the_word_for_no_answer_is_the_empty_answer(causal: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    written = [" Unanswerable ", "unanswerable", "unanswerable questions"]
    made = [Generation(text, (1,), (-0.5,), "stop", Usage(1, 1)) for text in written]
    monkeypatch.setattr(answer_freely, "generate_all", lambda *_, **__: made)
    context = "some are unanswerable questions"
    found = causal.answer(["which?"] * 3, context=context, method="generate", template="{context}|{question}")
    assert [one.text for one in found] == ["", "", "unanswerable questions"]
    assert [(one.start, one.end) for one in found] == [(None, None), (None, None), (9, 31)]


def test_an_encoder_decoder_reads_the_prompt_that_t5_learned(tmp_path: Path) -> None:
    config = hf.T5Config(
        vocab_size=VOCAB, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, n_positions=256,
        pad_token_id=0, eos_token_id=6, decoder_start_token_id=0,
    )  # fmt: skip
    stock = saved(hf.T5ForConditionalGeneration(config), tmp_path / "t5", "seq2seq")
    lm = load(tmp_path / "t5")
    answer = lm.answer("who ran?", context="a bat ran", method="generate", max_answer_tokens=5)
    prompt = filled(TEMPLATES["seq2seq"], "a bat ran", "who ran?")
    import torch

    ids = torch.tensor([lm.tokenizer.encode(prompt)])
    expected = stock.generate(ids, do_sample=False, num_beams=1, max_new_tokens=5)[0]
    assert answer.text == lm.tokenizer.decode(expected.tolist()).split("\n")[0].strip()
