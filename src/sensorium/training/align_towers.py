"""Towers to align: fresh ones of the recipe's sizes, or given ones, and the tokenizer of the texts.

Pictures and texts from scratch are a CLIP (or, for its loss, a SigLIP). A given ViT is joined by a BERT, and a given
BERT by CLIP's pictures, since that is what stock `transformers` can hold as one model. All else is a ViT's tower for
each of pictures, sounds (of spectrograms, one channel) and frames, and CLIP's of texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sensorium.core.config import ModelConfig, StackConfig
from sensorium.core.fresh import fresh_std, initialise_senses
from sensorium.core.senses import PatchEmbedConfig, SenseConfig
from sensorium.core.tower import CLIP_SCALE, Aligned, AlignedConfig, Tower, TowerConfig
from sensorium.data.captions import between_ends
from sensorium.data.decoded import ClipSpec, Spec
from sensorium.data.sense_table import Kind, SenseTable
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.data.tokens.train import TokenizerSpec, train_tokenizer
from sensorium.errors import CapabilityError, ConfigError, InputError
from sensorium.families import bert, clip, dual, siglip, vit
from sensorium.families.aligned import is_aligned, is_stock, read_aligned, read_tower, time_stack
from sensorium.families.senses import read_preprocessor
from sensorium.files import StrPath
from sensorium.modalities.mel import MelSpec
from sensorium.modalities.pixels import ImageSpec
from sensorium.training.align_recipe import AlignRecipe, SizeRecipe

_HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True, kw_only=True, eq=False)
class GivenTowers:
    """What a run starts from."""

    towers: Mapping[Kind, Tower]
    tokenizer: Tokenizer | None = None
    """Of the given tower of texts."""
    image: ImageSpec | None = None
    """How pictures are made for the given tower."""
    whole: Aligned | None = None
    """Where both towers are of one folder: its model, which is trained on as it is."""


def open_given(
    *, image_from: StrPath | None, text_from: StrPath | None, loss: str, kinds: tuple[Kind, ...]
) -> GivenTowers:
    """Open the towers that a run is to start from.

    Raises:
        InputError: there is no model in a folder, or the table has no such sense.
        CheckpointError: it is corrupt.
        CapabilityError: it holds no such tower.
    """
    given: dict[Kind, StrPath] = {}
    if image_from is not None:
        given["image"] = image_from
    if text_from is not None:
        given["text"] = text_from
    for kind in given:
        if kind not in kinds:
            raise InputError(
                f"--{kind}-from is given, and the table has no column of {kind}s", fix="Leave it out, or add one"
            )
    towers: dict[Kind, Tower] = {kind: read_tower(folder, kind) for kind, folder in given.items()}
    tokenizer = None if text_from is None else Tokenizer.from_folder(text_from)
    settings = None if image_from is None else read_preprocessor(image_from)
    if image_from is not None and settings is None:
        settings = _usual(towers["image"]).to_dict()
    whole = None
    if (
        image_from is not None
        and image_from == text_from
        and set(kinds) == {"image", "text"}
        and is_aligned(image_from)
    ):
        model = read_aligned(image_from)[0]
        whole = model if (model.bias is not None) == (loss == "siglip") else None
    return GivenTowers(
        towers=towers,
        tokenizer=tokenizer,
        image=None if settings is None else ImageSpec.from_dict(settings),
        whole=whole,
    )


def specs_of(recipe: AlignRecipe, kinds: tuple[Kind, ...], given: GivenTowers) -> dict[Kind, Spec]:
    """How each sense but texts is brought to one size."""
    specs: dict[Kind, Spec] = {}
    if "image" in kinds:
        size = recipe.image.size
        specs["image"] = given.image or ImageSpec(
            processor="CLIPImageProcessor", resize=size, crop=(size, size), resample="bicubic", mean=_HALF, std=_HALF
        )
    if "audio" in kinds:
        specs["audio"] = MelSpec(mels=recipe.audio.mels, seconds=recipe.audio.seconds)
    if "video" in kinds:
        specs["video"] = ClipSpec(frames=recipe.video.frames, size=recipe.video.size)
    return specs


def fresh_tokenizer(table: SenseTable, recipe: AlignRecipe, *, encoder: bool) -> Tokenizer:
    """A byte-level BPE tokenizer of a table's texts.

    Raises:
        DataError: they support none.
    """
    texts = [cell for column in table.columns if column.kind == "text" for cell in column.cells if cell is not None]

    def each() -> Iterator[str]:
        return iter(texts)

    if recipe.text.vocab < _LEAST_VOCAB:
        raise ConfigError(f"text.vocab={recipe.text.vocab} is less than {_LEAST_VOCAB}", fix="Raise text.vocab")
    tokenizer = train_tokenizer(each, TokenizerSpec("bpe", recipe.text.vocab), exact=False)
    return tokenizer.for_kind("encoder", types=False) if encoder else between_ends(tokenizer)


_LEAST_VOCAB = 263
"""Bytes and special tokens."""


def build_aligned(
    recipe: AlignRecipe,
    kinds: tuple[Kind, ...],
    *,
    given: GivenTowers,
    tokenizer: Tokenizer | None,
    specs: Mapping[Kind, Spec],
) -> Aligned:
    """The model to train; what is fresh is drawn with PyTorch's global generator.

    Raises:
        ConfigError: sizes do not fit each other.
    """
    if given.whole is not None:
        return given.whole.train()
    model = Aligned(_config(recipe, kinds, given, tokenizer, specs))
    for name, config in model.config.towers:
        initialise_senses(model.towers[name], std=fresh_std(config.stack.dim))
    for kind, tower in given.towers.items():
        own = model.towers[kind]
        state = {name: p for name, p in tower.state_dict().items() if not name.startswith(("projection.", "time."))}
        found = own.load_state_dict(state, strict=False)
        if found.unexpected_keys or not all(name.startswith(_FRESH) for name in found.missing_keys):
            raise CapabilityError(f"the given tower of {kind}s is of a kind that cannot be aligned here")
    return model


_FRESH = ("projection.", "pooler.")
"""What a given tower may lack."""


def wants_encoder(recipe: AlignRecipe, kinds: tuple[Kind, ...], given: GivenTowers) -> bool:
    """Whether a fresh tower of texts is a BERT's, whose tokenizer frames texts by [CLS] and [SEP]."""
    return set(kinds) == {"image", "text"} and recipe.loss == "clip" and _is_vit(given.towers.get("image"))


def _config(
    recipe: AlignRecipe,
    kinds: tuple[Kind, ...],
    given: GivenTowers,
    tokenizer: Tokenizer | None,
    specs: Mapping[Kind, Spec],
) -> AlignedConfig:
    pair = set(kinds) == {"image", "text"}
    if pair and recipe.loss == "siglip" and not given.towers:
        return siglip.sized(
            image=siglip.image_tower(**_pictures(recipe)),
            text=siglip.text_tower(**_texts(recipe, tokenizer), projection=recipe.image.dim),
        )
    towers: dict[str, TowerConfig] = {}
    for kind in kinds:
        own = given.towers.get(kind)
        towers[kind] = _fresh(recipe, kind, tokenizer, specs, given, pair) if own is None else own.config
        towers[kind] = replace(towers[kind], projection=recipe.width, projection_bias=False)
    scale, bias = (siglip.SCALE, siglip.BIAS) if recipe.loss == "siglip" else (CLIP_SCALE, None)
    with_poolers = AlignedConfig(
        towers=tuple((name, _pooled(tower)) for name, tower in towers.items()), scale=scale, bias=bias
    )
    if pair and is_stock(with_poolers):
        return with_poolers
    return AlignedConfig(towers=tuple(towers.items()), scale=scale, bias=bias)


def _pooled(tower: TowerConfig) -> TowerConfig:
    """A ViT's or an encoder of text's tower with its pooler, as a `VisionTextDualEncoder` wants it."""
    if isinstance(tower.stack, StackConfig) and tower.pool.kind != "first":
        return tower
    if isinstance(tower.stack, SenseConfig) and not _vit_like(tower):
        return tower
    return replace(tower, pool=replace(tower.pool, pooler=True))


def _fresh(
    recipe: AlignRecipe,
    kind: Kind,
    tokenizer: Tokenizer | None,
    specs: Mapping[Kind, Spec],
    given: GivenTowers,
    pair: bool,
) -> TowerConfig:
    if kind == "text":
        if wants_encoder(recipe, ("image", "text") if pair else (kind,), given):
            return _bert(recipe, tokenizer)
        return clip.text_tower(
            **_texts(recipe, tokenizer), projection=None, eos_id=_eos(tokenizer), activation_name="gelu"
        )
    if kind == "image" and pair:
        return clip.image_tower(**_pictures(recipe), projection=None, activation_name="gelu")
    if kind == "image":
        return vit.sized(**_pictures(recipe)).tower
    if kind == "audio":
        mel = specs["audio"]
        if not isinstance(mel, MelSpec):
            raise ConfigError("sounds are read as spectrograms")
        patch = recipe.audio.patch, recipe.audio.patch
        return vit.sized(size=(mel.mels, mel.frames(0)), patch=patch, channels=1, **_blocks(recipe.audio)).tower
    video = recipe.video
    frame = vit.sized(size=(video.size, video.size), patch=(video.patch, video.patch), **_blocks(video)).tower
    time = time_stack(
        dim=video.dim, frames=video.frames, layers=video.time_layers, heads=video.heads, feedforward=video.feedforward
    )
    return replace(frame, time=time)


def _bert(recipe: AlignRecipe, tokenizer: Tokenizer | None) -> TowerConfig:
    config: ModelConfig = bert.sized(
        **_texts(recipe, tokenizer), types=2, eps=1e-12, activation_name="gelu", dropout=0.0, attention_dropout=0.0,
        language=False, pooler=True,
    )  # fmt: skip
    return dict(dual.sized(image=vit.sized(**_pictures(recipe), pooler=True).tower, text=config, projection=1).towers)[
        "text"
    ]


def _pictures(recipe: AlignRecipe) -> dict[str, Any]:
    image = recipe.image
    return {"size": (image.size, image.size), "patch": (image.patch, image.patch), **_blocks(image)}


def _texts(recipe: AlignRecipe, tokenizer: Tokenizer | None) -> dict[str, Any]:
    if tokenizer is None:
        raise ConfigError("texts need a tokenizer")
    return {"vocab_size": tokenizer.vocab_size, "context": recipe.text.context, **_blocks(recipe.text)}


def _blocks(size: SizeRecipe) -> dict[str, Any]:
    return {"dim": size.dim, "layers": size.layers, "heads": size.heads, "feedforward": size.feedforward}


def _eos(tokenizer: Tokenizer | None) -> int | None:
    return None if tokenizer is None else tokenizer.eos_id


def _is_vit(tower: Tower | None) -> bool:
    return tower is not None and _vit_like(tower.config)


def _vit_like(tower: TowerConfig) -> bool:
    """Whether a tower of pictures is a ViT's: normed after its blocks, not before them and after pooling as CLIP's."""
    stack = tower.stack
    return (
        isinstance(stack, SenseConfig) and isinstance(stack.embed, PatchEmbedConfig) and stack.embed.norm is None
        and tower.pool.kind == "first" and tower.pool.norm is None
    )  # fmt: skip


def _usual(tower: Tower) -> ImageSpec:
    """How pictures are made for a tower that does not say it."""
    stack = tower.config.stack
    if not isinstance(stack, SenseConfig) or not isinstance(stack.embed, PatchEmbedConfig):
        raise CapabilityError("the given tower reads no pictures")
    height, width = stack.embed.size
    return ImageSpec(resize=(height, width))


def reading(model: Aligned) -> tuple[int, bool]:
    """The longest text that the tower of texts reads, and whether all are padded to that.

    Raises:
        ConfigError: there is none, or it has no longest text.
    """
    tower = dict(model.config.towers).get("text")
    if tower is None or not isinstance(tower.stack, StackConfig) or tower.stack.context is None:
        raise ConfigError("the model has no tower of texts with a longest text")
    return tower.stack.context, tower.reads_padding
