"""The encoders of a fused model and how their modalities are read: fresh ones by the recipe, or given folders.

Unusual: a fresh spectrogram's length is chosen from the sounds' own, and filled up to a whole number of patches, since
what is left over at the end is not read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from sensorium.core.fresh import fresh_std, initialise_senses
from sensorium.core.model import Encoder, initialise
from sensorium.core.sense_encoder import SenseModelConfig
from sensorium.core.senses import PatchEmbedConfig, SenseConfig
from sensorium.core.tower import Aligned
from sensorium.data.decoded import ClipSpec
from sensorium.data.tables.cells import text_of, words_of
from sensorium.data.tables.numbers import NumbersSpec
from sensorium.data.tables.schema import Sense, TableSchema
from sensorium.data.tables.specs import SenseSpec, clip_seconds, sound_seconds
from sensorium.data.tables.table import Table
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.data.tokens.train import TokenizerSpec, train_tokenizer
from sensorium.errors import CapabilityError, InputError
from sensorium.families import bert, vit
from sensorium.families.checkpoint import read_config, read_model, read_speech
from sensorium.families.senses import read_preprocessor, read_senses
from sensorium.files import StrPath
from sensorium.fusion.features.base import FusionConfig
from sensorium.fusion.model import FusedConfig, FusedModel, ModalityConfig
from sensorium.fusion.model_encoders import (
    ClipEncoder,
    NumbersConfig,
    NumbersEncoder,
    PatchEncoder,
    TextEncoder,
    TimeConfig,
)
from sensorium.modalities.mel import MelSpec
from sensorium.modalities.pixels import ImageSpec
from sensorium.training.fuse_recipe import FuseRecipe
from sensorium.training.typed import record

_ATTENDING = ("cross", "bottleneck", "shared")
_TOKENS = 8
_RATE, _FFT, _HOP = 16_000, 400, 160
_SHARE = 0.95
"""Of the sounds that fit whole into what a spectrogram holds."""
Weights = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Planned:
    """One modality, before the model is built.

    Args:
        spec: how it is read.
        config: its part of the model.
        weights: of its encoder, where they are given.
    """

    spec: SenseSpec
    config: ModalityConfig
    weights: Weights | None = None


def plan_modality(
    sense: Sense, table: Table, schema: TableSchema, recipe: FuseRecipe, start: Mapping[str, StrPath]
) -> Planned:
    """Decide how a modality is read and encoded.

    Args:
        sense: the modality.
        table: the rows that are learned from.
        schema: what its columns are.
        recipe: sizes.
        start: folders to start from, by kind: image, text, audio.

    Raises:
        InputError: a folder is none.
        CapabilityError: a folder holds another kind of model; an extra is not installed.
        CheckpointError: a folder is damaged.
        DataError: no tokenizer can be trained on the texts.
    """
    match sense.kind:
        case "numbers":
            return _numbers(sense, table, schema, recipe)
        case "text":
            return _text(sense, table, recipe, start.get("text"))
        case "image":
            return _picture(sense, recipe, start.get("image"))
        case "audio":
            return _sound(sense, table, recipe, start.get("audio"))
        case "video":
            return _clip(sense, recipe, start.get("image"))


def fused_config(planned: list[Planned], recipe: FuseRecipe, outputs: int) -> FusedConfig:
    """The model that a recipe and its modalities describe."""
    fusion = recipe.fusion
    return FusedConfig(
        modalities=tuple(one.config for one in planned),
        outputs=outputs,
        level=recipe.level,
        fusion=FusionConfig(
            kind=fusion.kind, dim=fusion.dim, heads=fusion.heads, layers=fusion.layers, rank=fusion.rank,
            bottlenecks=fusion.bottlenecks, dropout=fusion.dropout,
        ),
        dropout=fusion.modality_dropout,
    )  # fmt: skip


def start_model(config: FusedConfig, planned: list[Planned]) -> FusedModel:
    """The model with fresh weights, from PyTorch's global generator, or those that are given."""
    model = FusedModel(config)
    for one in planned:
        if one.config.name not in model.names:
            continue
        encoder = model.encoder(one.config.name)
        match encoder:
            case TextEncoder():
                initialise(encoder.model, std=fresh_std(encoder.model.config.stack.dim))
            case PatchEncoder() | ClipEncoder():
                initialise_senses(encoder, std=fresh_std(encoder.model.config.tower.stack.dim))
        if one.weights is not None and not isinstance(encoder, NumbersEncoder):
            encoder.model.load_state_dict(one.weights)
    return model


def _tokens(recipe: FuseRecipe, most: int) -> int:
    chosen = recipe.fusion.tokens or (_TOKENS if recipe.fusion.kind in _ATTENDING else 1)
    return min(chosen, most)


def _numbers(sense: Sense, table: Table, schema: TableSchema, recipe: FuseRecipe) -> Planned:
    kinds = {column.name: column.kind for column in schema.columns}
    cells = {name: table.column(name) for name in sense.columns}
    spec = NumbersSpec.fit(
        {name: column for name, column in cells.items() if kinds[name] == "numeric"},
        {name: column for name, column in cells.items() if kinds[name] == "category"},
    )
    dim = recipe.fusion.dim
    encoder = NumbersConfig(numbers=len(spec.numbers), categories=spec.sizes, dim=dim, hidden=2 * dim)
    return Planned(SenseSpec(sense=sense, numbers=spec), ModalityConfig(name=sense.name, encoder=encoder, width=dim))


def _text(sense: Sense, table: Table, recipe: FuseRecipe, folder: StrPath | None) -> Planned:
    size = recipe.text
    weights: Weights | None = None
    if folder is None:
        texts = [text for cell in table.column(sense.columns[0]) if (text := words_of(cell)) is not None]
        tokenizer = train_tokenizer(lambda: iter(texts), TokenizerSpec("bpe", size.vocab), exact=False)
        length = size.length
        config = replace(
            bert.sized(
                vocab_size=tokenizer.vocab_size, dim=size.dim, layers=size.layers, heads=size.heads,
                feedforward=size.feedforward, context=length, dropout=size.dropout, attention_dropout=size.dropout,
                language=False,
            ),
            pooler=False,
        )  # fmt: skip
    else:
        loaded = read_model(folder)
        if not isinstance(loaded.model, Encoder):
            raise CapabilityError("is no encoder of texts", where=str(folder), fix="Give the folder of a BERT")
        tokenizer = Tokenizer.from_folder(folder)
        given = loaded.model.config
        config = replace(
            given, language=None, pooler=False, n_pair_classes=0, spans=False, n_tags=0, classes=None, labels=()
        )
        length = min(size.length, given.stack.context or size.length)
        weights = {name: value for name, value in loaded.model.state_dict().items() if name.startswith("stack.")}
    modality = ModalityConfig(
        name=sense.name, encoder=config, width=config.stack.dim, tokens=_tokens(recipe, length), length=length
    )
    return Planned(SenseSpec(sense=sense, tokenizer=tokenizer, length=length), modality, weights)


def _picture(sense: Sense, recipe: FuseRecipe, folder: StrPath | None) -> Planned:
    config, image, weights = _vit(recipe, folder)
    modality = ModalityConfig(
        name=sense.name, encoder=config, width=config.tower.stack.dim, tokens=_tokens(recipe, _patches(config))
    )
    return Planned(SenseSpec(sense=sense, image=image), modality, weights)


def _clip(sense: Sense, recipe: FuseRecipe, folder: StrPath | None) -> Planned:
    config, image, weights = _vit(recipe, folder)
    frames, dim = recipe.clip.frames, config.tower.stack.dim
    heads = recipe.picture.heads if dim % recipe.picture.heads == 0 else 1
    modality = ModalityConfig(
        name=sense.name, encoder=config, width=dim, tokens=_tokens(recipe, frames),
        time=TimeConfig(dim=dim, heads=heads, layers=recipe.clip.layers, frames=frames),
    )  # fmt: skip
    return Planned(
        SenseSpec(sense=sense, image=image, clip=ClipSpec(frames=frames, size=image.size[0])), modality, weights
    )


def _vit(recipe: FuseRecipe, folder: StrPath | None) -> tuple[SenseModelConfig, ImageSpec, Weights | None]:
    """A fresh ViT, or the tower of pictures of a folder without its classes."""
    if folder is None:
        size = recipe.picture
        config = vit.sized(
            size=(size.size, size.size), patch=(size.patch, size.patch), dim=size.dim, layers=size.layers,
            heads=size.heads, feedforward=size.feedforward, dropout=size.dropout,
        )  # fmt: skip
        return config, ImageSpec(resize=(size.size, size.size)), None
    loaded = read_senses(folder)
    tower = loaded.model.towers["image"] if isinstance(loaded.model, Aligned) else loaded.encoder.tower
    weights = {f"tower.{name}": value for name, value in tower.state_dict().items()}
    config = SenseModelConfig(tower=tower.config)  # type: ignore[arg-type]
    image = ImageSpec.from_dict(loaded.preprocessor or {"image_processor_type": "ViTImageProcessor"})
    _check_patches(config, folder, channels=3, size=image.size)
    return config, image, weights


def _sound(sense: Sense, table: Table, recipe: FuseRecipe, folder: StrPath | None) -> Planned:
    size, paths = recipe.sound, [text_of(cell) for cell in table.column(sense.columns[0])]
    weights: Weights | None = None
    frames = _frames(recipe, clip_seconds(paths, table.root) if sense.track else sound_seconds(paths, table.root))
    if folder is not None and read_config(folder).get("model_type") == "whisper":
        return _whisper(sense, recipe, folder, frames)
    if folder is None:
        config = vit.sized(
            size=(size.mels, frames), patch=(size.patch, size.patch), channels=1, dim=size.dim, layers=size.layers,
            heads=size.heads, feedforward=size.feedforward, dropout=size.dropout,
        )  # fmt: skip
        mel = MelSpec(rate=_RATE, n_fft=_FFT, hop=_HOP, mels=size.mels, seconds=frames * _HOP / _RATE)
    else:
        loaded = read_senses(folder)
        if loaded.preprocessor is None or "mel" not in loaded.preprocessor:
            raise CapabilityError(
                "does not say what spectrograms it reads",
                where=str(folder),
                fix="Give an audio folder of a fused model",
            )
        config = SenseModelConfig(tower=loaded.encoder.config.tower)
        weights = {name: value for name, value in loaded.encoder.state_dict().items() if name.startswith("tower.")}
        mel = record(MelSpec, loaded.preprocessor["mel"], where=str(folder))
        _check_patches(config, folder, channels=1, size=(mel.mels, mel.frames(0)))
    modality = ModalityConfig(
        name=sense.name, encoder=config, width=config.tower.stack.dim, tokens=_tokens(recipe, _patches(config))
    )
    clip = ClipSpec(frames=recipe.clip.frames, size=recipe.picture.size, sound=mel) if sense.track else None
    return Planned(SenseSpec(sense=sense, mel=mel, clip=clip), modality, weights)


def _whisper(sense: Sense, recipe: FuseRecipe, folder: StrPath, frames: int) -> Planned:
    """Whisper's encoder, over as many frames as the sounds need, or as it has positions for."""
    speech = read_speech(folder).model
    config = speech.config
    frames = min(frames + frames % 2, config.frames)
    told = read_preprocessor(folder) or {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": config.mel.mels,
    }
    given = MelSpec.from_dict(told)
    mel = replace(given, seconds=frames * given.hop / given.rate)
    length = frames // 2
    modality = ModalityConfig(
        name=sense.name, encoder=config, width=config.encoder.dim, tokens=_tokens(recipe, length), length=length
    )
    clip = ClipSpec(frames=recipe.clip.frames, size=recipe.picture.size, sound=mel) if sense.track else None
    return Planned(SenseSpec(sense=sense, mel=mel, clip=clip), modality, speech.state_dict())


def _frames(recipe: FuseRecipe, seconds: list[float]) -> int:
    """Frames of a spectrogram: a whole number of patches."""
    size = recipe.sound
    wanted = size.seconds or min(size.most, float(np.quantile(seconds, _SHARE)) if seconds else size.most)
    return max(1, math.ceil(round(wanted * _RATE / _HOP) / size.patch)) * size.patch


def _patches(config: SenseModelConfig) -> int:
    stack = config.tower.stack
    return stack.embed.tokens if isinstance(stack, SenseConfig) else 1


def _check_patches(config: SenseModelConfig, folder: StrPath, *, channels: int, size: tuple[int, int]) -> None:
    """Refuse what reads something else than it is given.

    Raises:
        CapabilityError: it does.
    """
    stack = config.tower.stack
    embed = stack.embed if isinstance(stack, SenseConfig) else None
    if not isinstance(embed, PatchEmbedConfig) or embed.channels != channels or embed.size != size:
        raise CapabilityError(
            f"does not read {channels} channels of {size[0]} × {size[1]} in patches",
            where=str(folder),
            fix="Give the folder of a ViT with its preprocessor_config.json",
        )


def check_starts(schema: TableSchema, start: Mapping[str, StrPath]) -> None:
    """Refuse a folder for a modality that the table does not have.

    Raises:
        InputError: there is one, or the folder does not exist.
    """
    kinds = {sense.kind for sense in schema.senses} | (
        {"image"} if any(s.kind == "video" for s in schema.senses) else set()
    )
    for kind, folder in start.items():
        if kind not in kinds:
            raise InputError(
                f"--{kind}-from is given, and no column holds {kind}", fix="Leave it out, or use --columns"
            )
        if not Path(folder).is_dir():
            raise InputError("no such folder", where=str(folder), fix=f"Check --{kind}-from")
