"""The encoder-decoder families write what their formats can say, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from sensorium.core.config import BlockConfig, EncoderDecoderConfig, NormConfig
from sensorium.errors import CheckpointError
from sensorium.families import bart, marian, t5
from sensorium.families.checkpoint import family_for

SIZE: dict[str, Any] = dict(vocab_size=50, dim=24, layers=2, heads=4, feedforward=32)
OURS: dict[str, tuple[ModuleType, EncoderDecoderConfig]] = {
    "bart": (bart, bart.sized(**SIZE, context=20)),
    "mbart": (bart, bart.sized(**SIZE, context=20, pre_norm=True)),
    "marian": (marian, marian.sized(**SIZE, context=20)),
    "marian, two vocabularies": (marian, marian.sized(**SIZE, context=20, decoder_vocab_size=40, tied=False)),
    "t5": (t5, t5.sized(**SIZE)),
}


def with_block(config: EncoderDecoderConfig, block: BlockConfig) -> EncoderDecoderConfig:
    return replace(config, decoder=replace(config.decoder, blocks=(block,) * len(config.decoder.blocks)))


def without_format(config: EncoderDecoderConfig) -> None:
    with pytest.raises(CheckpointError, match="no Hugging Face format"):
        family_for(config)


@pytest.mark.parametrize("name", OURS)
def test_what_no_setting_says_must_be_as_in_their_code(name: str) -> None:
    module, config = OURS[name]
    block = config.decoder.blocks[0]
    assert family_for(config) is module
    without_format(with_block(config, replace(block, attention=replace(block.attention, scale=0.3))))
    without_format(with_block(config, replace(block, norm=NormConfig(kind="layernorm", eps=1e-2))))


def test_a_marian_whose_shared_matrix_is_not_the_output_has_no_format() -> None:
    without_format(marian.sized(**SIZE, context=20, tied=False))
