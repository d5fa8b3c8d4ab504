"""Whisper's encoder with classes over the whole sound (Radford et al. 2023): the language spoken, a word, a noise.

Unusual: the stock model projects each hidden state and takes their mean, ours takes the mean and projects that alone,
which is the same for a linear map.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sensorium.core.config import Problem
from sensorium.core.sense_encoder import SenseModelConfig
from sensorium.core.senses import MelEmbedConfig, SenseConfig
from sensorium.core.speech import SpeechConfig
from sensorium.core.tower import AlignedConfig, PoolConfig, TowerConfig
from sensorium.errors import CheckpointError
from sensorium.families import whisper
from sensorium.families.heads import label_names, named, problem_of
from sensorium.families.hf_config import HF_ACTIVATIONS, HFConfig, refuse, require
from sensorium.families.keymap import KeyMap, affine

MODEL_TYPES = whisper.MODEL_TYPES
ARCHITECTURES = ("WhisperForAudioClassification",)
tidy = whisper.tidy


def to_config(hf: HFConfig, architecture: str, names: Collection[str]) -> SenseModelConfig:
    """Our configuration of theirs.

    Args:
        hf: config.json.
        architecture: one of ARCHITECTURES.
        names: the checkpoint's tensors.
    """
    require(hf, ("classifier_proj_size",))
    refuse(hf, use_weighted_layer_sum=False)
    # The decoder's settings stand there too, and no decoder is built.
    alone = hf | {"decoder_layers": 1}
    return sized(
        whisper.to_config(alone, architecture, names).encoder,
        projection=hf["classifier_proj_size"],
        labels=label_names(hf),
        problem=problem_of(hf),
    )


def sized(
    encoder: SenseConfig, *, projection: int, labels: tuple[str, ...], problem: Problem | None = None
) -> SenseModelConfig:
    """Classes over a Whisper's encoder, as `whisper.sized` makes it."""
    tower = TowerConfig(stack=encoder, pool=PoolConfig(kind="mean"), projection=projection, projection_bias=True)
    return SenseModelConfig(tower=tower, n_classes=len(labels), labels=labels, problem=problem)


def expresses(config: AlignedConfig | SenseModelConfig) -> bool:
    """Whether this format can hold the model: whether it comes back the same."""
    if isinstance(config, AlignedConfig) or not config.n_classes or config.tower.projection is None:
        return False
    stack = config.tower.stack
    if not isinstance(stack, SenseConfig) or not isinstance(stack.embed, MelEmbedConfig):
        return False
    again = sized(stack, projection=config.tower.projection, labels=("",) * config.n_classes)
    return again.tower == config.tower and whisper.expresses(_speech(stack))


def to_hf(config: SenseModelConfig) -> HFConfig:
    """Their configuration of ours.

    Raises:
        CheckpointError: the tower is not Whisper's encoder.
    """
    stack = config.tower.stack
    if not isinstance(stack, SenseConfig):
        raise CheckpointError("the tower is not Whisper's encoder")
    return {
        **whisper.to_hf(_speech(stack)),
        "architectures": list(ARCHITECTURES),
        "is_encoder_decoder": True,
        "classifier_proj_size": config.tower.projection,
        "use_weighted_layer_sum": False,
        **named(config.labels, config.n_classes, config.problem),
    }


def keymap(config: SenseModelConfig, architecture: str) -> KeyMap:
    """Their names and ours."""
    theirs, ours = "model.encoder.", "encoder."
    rows = [
        replace(
            entry,
            theirs=entry.theirs.removeprefix("model."),
            ours=tuple(f"tower.stack.{name.removeprefix(ours)}" for name in entry.ours),
        )
        for entry in whisper.rows()
        if entry.theirs.startswith(theirs)
    ]
    rows += [*affine("projector", "tower.projection"), *affine("classifier", "classes")]
    return KeyMap(rows, layers=len(config.tower.stack.blocks))


def _speech(stack: SenseConfig) -> SpeechConfig:
    """A whole Whisper around the encoder, with a decoder of the smallest size."""
    block, embed = stack.blocks[0], stack.embed
    small = whisper.sized(
        vocab_size=1, dim=stack.dim, layers=len(stack.blocks), decoder_layers=1, heads=block.attention.n_heads,
        feedforward=block.feedforward.width, mels=embed.mels if isinstance(embed, MelEmbedConfig) else 1,
        activation_name=HF_ACTIVATIONS[block.feedforward.activation], context=1, dropout=block.dropout,
        attention_dropout=block.attention.dropout, activation_dropout=block.feedforward.dropout,
    )  # fmt: skip
    return replace(small, encoder=stack)
