"""What a folder says about decoding."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.errors import CapabilityError, CheckpointError, SensoriumError
from sensorium.inference.seq2seq_facts import Seq2SeqFacts, read_facts

CONFIG = {"decoder_start_token_id": 7, "eos_token_id": 2, "num_beams": 6, "max_length": 512}


def test_settings_of_generation_come_before_those_of_the_model(tmp_path) -> None:
    generation = {"num_beams": 3, "bad_words_ids": [[7], [9]], "forced_eos_token_id": [2], "early_stopping": "never"}
    (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    settings = {"source_lang": "en", "target_lang": "zh"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    facts = read_facts({**CONFIG, "pad_token_id": 7, "length_penalty": 0.6}, tmp_path)
    assert facts == Seq2SeqFacts(
        start=7, eos_ids=frozenset({2}), pad_id=7, forced_eos=2, suppressed=(7, 9), beams=3, length_penalty=0.6,
        early_stopping="never", max_length=512, languages=("en", "zh"),
    )  # fmt: skip


def test_t5_tells_its_tasks() -> None:
    tasks = {"translation_en_to_de": {"prefix": "translate English to German: "}, "summarization": {"num_beams": 4}}
    facts = read_facts({**CONFIG, "task_specific_params": tasks, "eos_token_id": [1, 2]})
    assert facts.prefixes == {"translation_en_to_de": "translate English to German: "}
    assert facts.eos_ids == {1, 2}


def test_what_is_said_of_new_tokens_counts_more_than_a_length_with_the_first() -> None:
    said = {"min_length": 3, "min_new_tokens": 5, "max_new_tokens": 9}
    assert (facts := read_facts({**CONFIG, **said})).min_length == 6
    assert facts.max_length == 10
    assert read_facts({**CONFIG, "min_length": 3}).min_length == 3


def test_a_model_may_say_nothing_of_its_beams() -> None:
    assert read_facts({"decoder_start_token_id": 7}).beams is None
    assert read_facts(CONFIG).beams == 6


def test_padding_is_left_out_of_the_probabilities_where_the_model_says_so() -> None:
    facts = read_facts({**CONFIG, "bad_words_ids": [[7], [2]], "renormalize_logits": True})
    assert facts.renormalize
    assert facts.suppressed == (7,)  # as in `generate`, the end token cannot be a bad word


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"decoder_start_token_id": None}, "first token"),
        ({"decoder_start_token_id": "7"}, "decoder_start_token_id='7' .* is not one token id"),
        ({"early_stopping": "soon"}, "early_stopping='soon'"),
        ({"early_stopping": 1}, "early_stopping=1"),
        ({"num_beams": "x"}, "num_beams='x' .* is not a whole number from 1 on"),
        ({"num_beams": 0}, "num_beams=0"),
        ({"length_penalty": [1]}, r"length_penalty=\[1\] .* is not a finite number"),
        ({"length_penalty": math.nan}, "length_penalty=nan"),
        ({"bad_words_ids": [5]}, r"bad_words_ids=\[5\] .* is not a list of lists"),
        ({"eos_token_id": [[1]]}, "eos_token_id"),
        ({"eos_token_id": "1"}, "eos_token_id='1'"),
        ({"suppress_tokens": "7"}, "suppress_tokens='7'"),
        ({"suppress_tokens": [100], "vocab_size": 100}, r"suppress_tokens=\[100\]"),
        ({"forced_bos_token_id": 100, "vocab_size": 200, "decoder_vocab_size": 100}, "forced_bos_token_id=100"),
        ({"pad_token_id": -1}, "pad_token_id=-1"),
        ({"max_length": "9"}, "max_length='9'"),
        ({"min_length": 1.5}, "min_length=1.5"),
        ({"no_repeat_ngram_size": True}, "no_repeat_ngram_size=True"),
        ({"renormalize_logits": "yes"}, "renormalize_logits='yes' .* is not true or false"),
    ],
)
def test_what_cannot_be_read_is_named(said, complaint) -> None:
    with pytest.raises(CheckpointError, match=complaint) as raised:
        read_facts({**CONFIG, **said})
    assert raised.value.fix


@pytest.mark.parametrize(
    "said",
    [
        {"bad_words_ids": [[1, 2]]},
        {"guidance_scale": 2.0},
        {"exponential_decay_length_penalty": [5, 1.2]},
        {"repetition_penalty": 1.3},
        {"do_sample": True},
        {"forced_decoder_ids": [[1, 5]]},
        {"num_beam_groups": 2},
    ],
)
def test_what_would_change_the_texts_and_is_not_supported_is_refused(said) -> None:
    with pytest.raises(CapabilityError, match=next(iter(said))):
        read_facts({**CONFIG, **said})


def test_settings_that_change_nothing_are_no_obstacle() -> None:
    """Files of older days state every default."""
    said = {"do_sample": False, "num_beam_groups": 1, "repetition_penalty": 1.0, "diversity_penalty": 0.0, "top_k": 50}
    assert read_facts({**CONFIG, **said, "sequence_bias": None, "begin_suppress_tokens": []}) == read_facts(CONFIG)


KEYS = (
    "decoder_start_token_id", "eos_token_id", "pad_token_id", "forced_bos_token_id", "forced_eos_token_id",
    "bad_words_ids", "suppress_tokens", "renormalize_logits", "num_beams", "length_penalty", "early_stopping",
    "max_length", "min_length", "min_new_tokens", "no_repeat_ngram_size", "repetition_penalty", "do_sample",
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=300, derandomize=True)
@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=3))
def test_damaged_settings_are_read_or_refused_whatever_they_are(said) -> None:
    try:
        facts = read_facts({**CONFIG, **said, "vocab_size": 100})
    except SensoriumError:
        return
    ids = [facts.start, *facts.eos_ids, *facts.suppressed, facts.pad_id, facts.forced_bos, facts.forced_eos]
    assert all(id is None or 0 <= id < 100 for id in ids)
    assert math.isfinite(facts.length_penalty)
    assert facts.beams is None or facts.beams >= 1
