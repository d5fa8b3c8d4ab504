"""The parts of a language model that gets eyes: a decoder, a tower of pictures, what is new between them.

Unusual: the whole is itself while it learns (`LearningEyes`), but its state is only what is trained, so that a run's
states are as small as its projector; and a frozen part stays in evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend
from torch import Tensor, nn

from sensorium.core.eyes import SeeingConfig, SeeingDecoder
from sensorium.core.fresh import initialise_senses
from sensorium.core.model import Decoder
from sensorium.core.resampler import ResamplerConfig
from sensorium.core.senses import PatchEmbedConfig, SenseConfig
from sensorium.core.tower import Tower, TowerConfig
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, CheckpointError, ConfigError
from sensorium.families import SEEING, SENSES, SPEECH, clip, llava
from sensorium.families.checkpoint import family_among, read_config, read_model
from sensorium.families.hf_config import HFConfig
from sensorium.families.senses import read_senses
from sensorium.files import StrPath
from sensorium.inference.open import locate
from sensorium.modalities.pixels import ImageSpec
from sensorium.training.caption_recipe import CaptionRecipe, FreshTower
from sensorium.training.lora import add_lora

IMAGE_TOKEN = "<image>"
PLAIN_TEMPLATE = (
    "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% endfor %}"
)
"""Of a language model that has no chat template: what is said, one after another, as in training."""


class LearningEyes(SeeingDecoder):
    """A decoder that sees, while some of it is trained."""

    def trained(self) -> set[str]:
        """Names of the parameters that are trained."""
        return {name for name, parameter in self.named_parameters() if parameter.requires_grad}

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """What is trained."""
        kept = self.trained()
        return {name: value for name, value in super().state_dict(*args, **kwargs).items() if name in kept}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take over what is trained; the rest stays.

        Raises:
            RuntimeError: the state is not of what is trained here.
        """
        if strict and state_dict.keys() != self.trained():
            raise RuntimeError("the state holds other parameters than those that are trained")
        return super().load_state_dict(state_dict, strict=False, assign=assign)

    def train(self, mode: bool = True) -> LearningEyes:
        """Only what is trained drops out."""
        super().train(mode)
        for part in (self.tower, self.text):
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self


@dataclass(frozen=True, eq=False)
class Vision:
    """A tower of pictures, and how they are made ready for it."""

    tower: Tower
    spec: ImageSpec
    preprocessor: HFConfig
    source: str
    fresh: bool


def open_language(language: StrPath) -> tuple[Decoder, Tokenizer]:
    """A decoder and its tokenizer, of a folder, a .gguf file or a bundled name.

    Raises:
        InputError: there is no such model.
        CheckpointError: it cannot be read, or its tokenizer does not fit it.
        CapabilityError: it is no decoder of a family that is given eyes.
    """
    path = locate(language)[-1]
    if path.suffix == ".gguf" and path.is_file():
        from sensorium.families.gguf import read_gguf

        file = read_gguf(path)
        model, tokenizer = file.model, Tokenizer(file.tokenizer, file.special, file.chat_template)
    else:
        if family_among((*SENSES, *SPEECH, *SEEING), read_config(path)) is not None:
            raise _no_language(language)
        model, tokenizer = read_model(path).model, Tokenizer.from_folder(path)
    if not isinstance(model, Decoder) or model.language is None or model.config.stack.rotary is None:
        raise _no_language(language)
    if tokenizer.eos_id is None:
        raise CapabilityError("the tokenizer has no end token", where=str(language), fix="Give a model that has one")
    if tokenizer.vocab_size > model.config.stack.embed.vocab_size:
        raise CheckpointError(
            "the tokenizer has more tokens than the model",
            where=str(language),
            fix="Put the tokenizer files that belong to this model into the folder",
        )
    return model, tokenizer


def _no_language(language: StrPath) -> CapabilityError:
    return CapabilityError(
        "is no language model that can be given eyes",
        where=str(language),
        fix="Give a decoder like Llama, SmolLM2, Mistral, Qwen2 or Qwen3",
    )


def open_vision(vision: StrPath | None, fresh: FreshTower) -> Vision:
    """The tower of pictures of a folder: of a ViT, a CLIP, a SigLIP, or what `sensorium align` made; or a new one.

    Raises:
        InputError: there is no such model.
        CheckpointError: it cannot be read, or does not say how pictures are made ready for it.
        CapabilityError: it has no tower of pictures.
    """
    if vision is None:
        config = clip.image_tower(
            size=(fresh.size, fresh.size), patch=(fresh.patch, fresh.patch), dim=fresh.dim, layers=fresh.layers,
            heads=fresh.heads, feedforward=fresh.feedforward, projection=None,
        )  # fmt: skip
        tower = Tower(config)
        initialise_senses(tower)
        spec = ImageSpec(processor="CLIPImageProcessor", resize=(fresh.size, fresh.size), resample="bicubic")
        return Vision(tower, spec, spec.to_dict(), "a new tower", fresh=True)
    loaded = read_senses(vision)
    towers = getattr(loaded.model, "towers", None)
    if towers is not None and "image" not in towers:
        raise CapabilityError("has no tower of pictures", where=str(vision), fix="Give one that reads pictures")
    given = loaded.encoder.tower if towers is None else towers["image"]
    if not isinstance(given, Tower) or not _reads_pictures(given.config):
        raise CapabilityError("reads no pictures", where=str(vision), fix="Give a ViT, a CLIP or a SigLIP")
    if loaded.preprocessor is None:
        raise CheckpointError(
            "does not say how pictures are made ready for it: preprocessor_config.json is missing",
            where=str(vision),
            fix="Put the one that belongs to this model into the folder",
        )
    return Vision(
        _without_projection(given),
        ImageSpec.from_dict(loaded.preprocessor),
        loaded.preprocessor,
        str(vision),
        fresh=False,
    )


def _reads_pictures(config: TowerConfig) -> bool:
    stack = config.stack
    return (
        config.time is None
        and isinstance(stack, SenseConfig)
        and isinstance(stack.embed, PatchEmbedConfig)
        and len(stack.embed.size) == 2
        and stack.embed.channels == 3
    )


def _without_projection(tower: Tower) -> Tower:
    """The tower before its vectors are brought into a shared space."""
    with torch.device("meta"):
        bare = Tower(replace(tower.config, projection=None, projection_bias=False))
    kept = {name: value for name, value in tower.state_dict().items() if not name.startswith("projection.")}
    bare.load_state_dict(kept, assign=True)
    return bare


def with_image_token(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with a placeholder for pictures, behind its others if it has none, and with a chat template."""
    template = tokenizer.chat_template or PLAIN_TEMPLATE
    if tokenizer.id(IMAGE_TOKEN) is not None and tokenizer.id(IMAGE_TOKEN) in tokenizer.special_ids:
        return Tokenizer(tokenizer.backend, dict(tokenizer.special), template)
    backend = Backend.from_str(tokenizer.backend.to_str())
    backend.add_special_tokens([AddedToken(IMAGE_TOKEN, special=True, normalized=False)])
    return Tokenizer(backend, dict(tokenizer.special), template)


def put_together(decoder: Decoder, vision: Vision, tokenizer: Tokenizer, recipe: CaptionRecipe) -> LearningEyes:
    """The model that is to be trained: its projector is new, and what is trained takes gradients.

    Args:
        decoder: becomes part of the model.
        vision: likewise.
        tokenizer: has the placeholder.
        recipe: what is trained.

    Raises:
        ConfigError: parts and recipe do not fit each other.
        CapabilityError: no format holds the model.
    """
    eyes, image_id = recipe.eyes, tokenizer.id(IMAGE_TOKEN)
    if image_id is None:
        raise ConfigError(f"the tokenizer has no {IMAGE_TOKEN}")
    decoder = grown(decoder, max(tokenizer.vocab_size, decoder.config.stack.embed.vocab_size))
    embed = vision.tower.config.stack.embed
    config = SeeingConfig(
        tower=vision.tower.config,
        text=decoder.config,
        image_id=image_id,
        layers=(max(eyes.read, -len(vision.tower.config.stack.blocks) - 1),),
        drop_first=isinstance(embed, PatchEmbedConfig) and embed.cls,
        resampler=ResamplerConfig(queries=eyes.queries, layers=eyes.layers, heads=eyes.heads)
        if eyes.projector == "resampler"
        else None,
    )
    if not llava.expresses(config):
        raise CapabilityError(
            "no format holds this pair of tower and language model",
            where=vision.source,
            fix="Take the tower of a CLIP, a SigLIP or a ViT, and a decoder like Llama",
        )
    with torch.device("meta"):
        model = LearningEyes(config)
    model.tower, model.text = vision.tower, decoder
    model.projector.to_empty(device="cpu")
    initialise_senses(model.projector)
    model.requires_grad_(False)
    model.projector.requires_grad_(True)
    if eyes.tower == "trained" or vision.fresh:
        model.tower.requires_grad_(True)
    if eyes.language == "full":
        model.text.requires_grad_(True)
    elif eyes.language == "lora":
        add_lora(model.text, rank=eyes.rank, alpha=eyes.alpha)
    return model


@torch.no_grad()
def grown(decoder: Decoder, vocabulary: int) -> Decoder:
    """The decoder with rows for more tokens, each the mean of those that there are (Hewitt 2021): itself if there are
    as many already."""
    stack = decoder.config.stack
    more = vocabulary - stack.embed.vocab_size
    if more <= 0:
        return decoder
    config = replace(decoder.config, stack=replace(stack, embed=replace(stack.embed, vocab_size=vocabulary)))
    with torch.device("meta"):
        larger = Decoder(config)
    state = {
        name: _more_rows(value, more) if name in ("stack.embed.tokens.weight", "language.output.weight") else value
        for name, value in decoder.state_dict().items()
    }
    larger.load_state_dict(state, assign=True)
    return larger


def _more_rows(table: Tensor, more: int) -> nn.Parameter:
    return nn.Parameter(torch.cat((table, table.mean(0, keepdim=True).expand(more, -1))))
