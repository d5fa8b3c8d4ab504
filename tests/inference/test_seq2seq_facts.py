"""What a folder says about decoding."""

from __future__ import annotations

import json

import pytest

from sensorium.errors import CheckpointError
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


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"decoder_start_token_id": None}, "first token"),
        ({"decoder_start_token_id": "7"}, "decoder_start_token_id"),
        ({"bad_words_ids": [[1, 2]]}, "single tokens"),
        ({"early_stopping": "soon"}, "early_stopping"),
        ({"guidance_scale": 2.0}, "guidance_scale"),
        ({"exponential_decay_length_penalty": [5, 1.2]}, "exponential_decay"),
    ],
)
def test_what_cannot_be_followed_is_refused(settings, complaint) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        read_facts({**CONFIG, **settings})
