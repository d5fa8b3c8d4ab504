"""A recipe refuses what would do nothing."""

from __future__ import annotations

import pytest

from sensorium.errors import ConfigError
from sensorium.training.recipe import load_recipe


@pytest.mark.parametrize(
    ("recipe", "override", "message"),
    [
        ("bert-mini", "model.kv_heads=1", "model.kv_heads=1 does nothing in model.family='bert'"),
        ("gpt2-mini", "model.kv_heads=2", "model.kv_heads=2 does nothing in model.family='gpt2'"),
        ("llama-mini", "objective.mask_rate=0.3", "objective.mask_rate=0.3 does nothing with objective.kind='causal'"),
        ("gpt2-mini", "objective.masking=word", "objective.masking='word' does nothing.*set it to token"),
        ("bert-mini", "model.decoder_layers=3", "model.decoder_layers=3 does nothing in model.family='bert'"),
        ("llama-mini", "objective.label_smoothing=0.1", "label_smoothing=0.1 does nothing.*It is for seq2seq"),
        ("translate-tiny", "objective.mask_rate=0.3", "does nothing.*masked and span_corruption and infilling"),
        ("t5-mini", "objective.permute=false", "permute=False does nothing.*It is for infilling"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(recipe: str, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(recipe, [override])


@pytest.mark.parametrize(
    ("recipe", "override"),
    [
        ("bert-mini", "model.family=marian"),
        ("translate-tiny", "model.family=gpt2"),
        ("t5-mini", "model.family=roberta"),
    ],
)
def test_a_family_that_the_objective_does_not_train_is_refused(recipe: str, override: str) -> None:
    with pytest.raises(ConfigError, match=r"does not fit model\.family.*marian and bart and t5 by seq2seq"):
        load_recipe(recipe, [override])


def test_a_setting_that_says_what_holds_anyway_is_taken() -> None:
    heads = load_recipe("gpt2-mini").model.heads
    assert load_recipe("gpt2-mini", [f"model.kv_heads={heads}", "objective.mask_rate=0.15"]).model.kv_heads == heads


def test_a_field_without_its_section_is_named_in_full() -> None:
    with pytest.raises(ConfigError, match=r"unknown key steps; did you mean run\.steps\?"):
        load_recipe("bert-tiny", ["steps=3"])
