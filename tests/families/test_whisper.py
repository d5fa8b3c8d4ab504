"""The Whisper family writes what its format can say, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from sensorium.core.config import LanguageHeadConfig, NormConfig
from sensorium.core.model import build
from sensorium.core.senses import PatchEmbedConfig
from sensorium.core.speech import SpeechConfig, SpeechToText
from sensorium.errors import CapabilityError, CheckpointError, ConfigError
from sensorium.families import whisper
from sensorium.families.checkpoint import family_for, read_speech, write_model

SIZE: dict[str, Any] = dict(vocab_size=50, dim=24, layers=2, heads=4, feedforward=32, mels=6, tokens=10, context=20)
OURS = whisper.sized(**SIZE)
HF_CONFIG = whisper.to_hf(OURS)
NAMES = [f"tensor {number}" for number in range(100)]


def without_format(config: SpeechConfig) -> None:
    with pytest.raises(CheckpointError, match="no Hugging Face format"):
        family_for(config)


def test_what_no_setting_says_must_be_as_in_their_code() -> None:
    block = OURS.decoder.blocks[0]
    assert family_for(OURS) is whisper
    for other in (
        replace(block, attention=replace(block.attention, scale=0.3)),
        replace(block, attention=replace(block.attention, k_bias=True)),
        replace(block, norm=NormConfig(kind="layernorm", eps=1e-2)),
        replace(block, placement="post"),
    ):
        without_format(replace(OURS, decoder=replace(OURS.decoder, blocks=(other,) * 2)))
    without_format(replace(OURS, language=LanguageHeadConfig(tied=False, bias=False)))
    mel = replace(OURS.mel, trained_positions=True)
    without_format(replace(OURS, encoder=replace(OURS.encoder, embed=mel)))


def test_the_configuration_comes_back_from_theirs() -> None:
    other = whisper.sized(**SIZE, decoder_layers=3, decoder_heads=2, decoder_feedforward=20, dropout=0.1)
    for config in (OURS, other):
        assert whisper.to_config(whisper.to_hf(config), "WhisperForConditionalGeneration", NAMES) == config


@pytest.mark.parametrize(
    ("change", "error", "complaint"),
    [
        ({"num_mel_bins": None}, CheckpointError, "lacks num_mel_bins"),
        ({"tie_word_embeddings": False}, CapabilityError, "tie_word_embeddings=False"),
        ({"scale_embedding": True}, CapabilityError, "scale_embedding=True"),
        ({"activation_function": "mish"}, CapabilityError, "mish"),
        ({"encoder_layers": 1000}, CheckpointError, "encoder_layers=1000"),
        ({"d_model": 25}, CheckpointError, "not a multiple"),
    ],
)
def test_settings_that_cannot_be_used_are_named(change: dict[str, Any], error: type, complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        whisper.to_config(HF_CONFIG | change, "WhisperForConditionalGeneration", NAMES)


@pytest.mark.parametrize("change", [{"max_source_positions": 0}, {"num_mel_bins": "80"}, {"d_model": True}])
def test_settings_of_another_kind_are_named(change: dict[str, Any], tmp_path: Path) -> None:
    write_model(tmp_path, build(OURS))
    (tmp_path / "config.json").write_text(json.dumps(HF_CONFIG | change))
    with pytest.raises(CheckpointError, match=f"{next(iter(change))}=.* is not a whole number above 0"):
        read_speech(tmp_path)


def test_a_model_of_ones_own_is_opened_by_stock(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build(OURS).eval()
    write_model(tmp_path, model, special={"eos": 3, "start": 4})
    stock, info = hf.WhisperForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    config = stock.config
    assert (config.eos_token_id, config.pad_token_id, config.decoder_start_token_id) == (3, 3, 4)
    assert config.begin_suppress_tokens is None
    assert stock.generation_config.max_length == 20
    mel, ids = torch.randn(2, 6, 20), torch.tensor([[4, 5, 6], [4, 7, 8]])
    with torch.inference_mode():
        expected = stock(input_features=mel, decoder_input_ids=ids).logits
        torch.testing.assert_close(model.logits(model(mel, ids)), expected, atol=1e-4, rtol=1e-5)


def test_a_model_of_speech_is_an_encoder_of_sound_and_a_causal_reader() -> None:
    assert isinstance(build(OURS), SpeechToText)
    assert OURS.frames == 20
    picture = PatchEmbedConfig(channels=3, size=(8, 8), patch=(4, 4), bias=True, cls=True)
    free = replace(OURS.decoder, blocks=tuple(replace(block, cross=None) for block in OURS.decoder.blocks))
    wrong = [
        (dict(encoder=replace(OURS.encoder, embed=picture)), "log-mel frames"),
        (dict(decoder=replace(OURS.decoder, causal=False)), "bidirectional stack and a causal one"),
        (dict(decoder=free), "no cross-attention"),
        (dict(encoder=replace(OURS.encoder, dim=32)), "width is 32"),
    ]
    for change, complaint in wrong:
        with pytest.raises(ConfigError, match=complaint):
            replace(OURS, **change)
