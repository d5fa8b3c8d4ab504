"""A decoder that sees: hidden states of a tower of pictures, projected, take the place of tokens' embeddings (LLaVA:
Liu et al. 2023; the two-layer projector is LLaVA-1.5's, Liu et al. 2024).

Unusual: a text has one placeholder token for each vector of its pictures, so that lengths, positions and the cache are
those of a text; that there are as many of them as vectors is checked, for a wrong count would shift what is seen.
Pictures are looked at in two steps: `look` asks the tower, whose answer may be kept where it is not trained, and
`project` brings it into the decoder's space.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sensorium.core.attend import Backend
from sensorium.core.cache import KVCache
from sensorium.core.capture import Capture
from sensorium.core.config import Activation, ModelConfig
from sensorium.core.count import parameters, training_flops
from sensorium.core.count_senses import sense_parameters
from sensorium.core.feedforward import ACTIVATIONS
from sensorium.core.linear import Linear
from sensorium.core.model import Decoder
from sensorium.core.resampler import Resampler, ResamplerConfig
from sensorium.core.senses import PatchEmbedConfig, SenseConfig
from sensorium.core.stack import Hidden, Ids
from sensorium.core.tower import Tower, TowerConfig
from sensorium.errors import ConfigError, InputError

Pictures = Float[Tensor, "pictures channels height width"]
Features = Float[Tensor, "pictures tokens read"]
Seen = Float[Tensor, "pictures features dim"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SeeingConfig:
    """A tower of pictures, a projector, a decoder."""

    tower: TowerConfig
    text: ModelConfig
    image_id: int
    """The placeholder: the token in whose places the vectors of pictures stand."""
    layers: tuple[int, ...] = (-2,)
    """The tower's hidden states that are read, side by side: 0 is what the first block reads, -1 what the last one
    gives, before a final norm."""
    drop_first: bool = True
    """Leave out the first vector: the class vector, where there is one."""
    activation: Activation = "gelu"
    """Between the projector's two maps."""
    bias: bool = True
    """Of the projector."""
    resampler: ResamplerConfig | None = None
    """In place of the projector of two maps: fewer vectors a picture."""

    def __post_init__(self) -> None:
        stack, depth = self.tower.stack, len(self.tower.stack.blocks)
        if not isinstance(stack, SenseConfig) or not isinstance(stack.embed, PatchEmbedConfig):
            raise ConfigError("a decoder sees by a tower that reads patches of pictures")
        if self.tower.time is not None or len(stack.embed.size) != 2:
            raise ConfigError("a decoder sees pictures, not clips")
        if not self.text.stack.causal or self.text.language is None:
            raise ConfigError("only a causal model with a language head can tell what it sees")
        if self.text.stack.embed.scale != 1.0:
            raise ConfigError("a decoder that scales its embeddings would scale what is seen")
        if not self.layers or not all(-depth - 1 <= layer <= depth for layer in self.layers):
            raise ConfigError(f"layers={self.layers}: the tower has hidden states {-depth - 1} to {depth}")
        if not 0 <= self.image_id < self.text.stack.embed.vocab_size:
            raise ConfigError(
                f"the placeholder {self.image_id} is none of the {self.text.stack.embed.vocab_size} tokens"
            )

    @property
    def patches(self) -> PatchEmbedConfig:
        """What the tower reads."""
        embed = getattr(self.tower.stack, "embed", None)
        if not isinstance(embed, PatchEmbedConfig):
            raise ConfigError("a decoder sees by a tower that reads patches of pictures")
        return embed

    @property
    def width(self) -> int:
        """Of the vectors that the projector reads."""
        return self.tower.stack.dim * len(self.layers)

    @property
    def tokens(self) -> int:
        """Vectors that the projector reads, of one picture."""
        return self.patches.tokens - self.drop_first

    @property
    def features(self) -> int:
        """Vectors that stand for one picture in a text: so many placeholders does it take."""
        return self.tokens if self.resampler is None else self.resampler.queries


class Projector(nn.Module):
    """linear · activation · linear."""

    def __init__(self, config: SeeingConfig) -> None:
        super().__init__()
        dim = config.text.stack.dim
        self.first = Linear(config.width, dim, bias=config.bias)
        self.second = Linear(dim, dim, bias=config.bias)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, features: Features) -> Seen:
        return self.second(self.activation(self.first(features)))  # type: ignore[no-any-return]


class SeeingDecoder(nn.Module):
    """A tower, a projector, and a decoder that reads both tokens and what was seen."""

    def __init__(self, config: SeeingConfig) -> None:
        super().__init__()
        self.config = config
        self.tower = Tower(config.tower)
        self.projector: nn.Module = (
            Projector(config)
            if config.resampler is None
            else Resampler(config.resampler, config.width, config.text.stack.dim)
        )
        self.text = Decoder(config.text)

    def look(self, pictures: Pictures, *, backend: Backend = "auto") -> Features:
        """The tower's hidden states that the projector reads.

        Raises:
            ConfigError: the pictures have another size than the tower reads.
        """
        states = len(self.config.tower.stack.blocks) + 1
        layers = [layer % states for layer in self.config.layers]
        capture = Capture(probabilities=False, depth=max(layers))  # the blocks beyond are of no use here
        self.tower.hidden(pictures, backend=backend, capture=capture)
        found = torch.cat([capture.states[layer] for layer in layers], dim=-1)
        return found[:, 1:] if self.config.drop_first else found

    def project(self, features: Features) -> Seen:
        """What `look` gave, as vectors among those of a text."""
        return self.projector(features)  # type: ignore[no-any-return]

    def see(self, pictures: Pictures, *, backend: Backend = "auto") -> Seen:
        """Pictures as vectors among those of a text."""
        return self.project(self.look(pictures, backend=backend))

    def vectors(self, ids: Ids, seen: Seen | None = None) -> Hidden:
        """Embeddings of tokens, with what was seen at the placeholders: picture by picture, in the order of the rows.

        Raises:
            InputError: there are more or fewer placeholders than vectors of pictures.
        """
        embedded: Tensor = self.text.stack.embed.tokens(ids)
        if seen is None:
            return embedded
        places = ids == self.config.image_id
        wanted, given = int(places.sum()), seen.shape[0] * seen.shape[1]
        if wanted != given:
            raise InputError(
                f"the text has {wanted} placeholders for pictures, and {len(seen)} pictures give {given} vectors",
                fix=f"Write {self.config.features} placeholders (token {self.config.image_id}) for each picture",
            )
        return embedded.masked_scatter(places[..., None], seen.to(embedded.dtype))

    def forward(
        self,
        ids: Ids,
        pictures: Pictures | None = None,
        *,
        seen: Seen | None = None,
        positions: Ids | None = None,
        valid: Bool[Tensor, "batch keys"] | None = None,
        lengths: tuple[int, ...] | None = None,
        cache: KVCache | None = None,
        backend: Backend = "auto",
        capture: Capture | None = None,
    ) -> Hidden:
        """Hidden states of the decoder.

        Args:
            ids: tokens, `features` placeholders among them for each picture.
            pictures: what the tower reads, in the order of their placeholders.
            seen: what `see` gave of them, in place of the pictures.
            positions: see `Stack.forward`, as all that follow.
            valid: False at padding.
            lengths: of documents in one row.
            cache: the past.
            backend: see `attend`.
            capture: filled from the decoder.

        Raises:
            InputError: there are more or fewer placeholders than vectors of pictures.
            ConfigError: the pictures have another size than the tower reads.
        """
        if pictures is not None:
            seen = self.see(pictures, backend=backend)
        return self.text.stack(  # type: ignore[no-any-return]
            self.vectors(ids, seen),
            positions=positions,
            valid=valid,
            lengths=lengths,
            cache=cache,
            backend=backend,
            capture=capture,
        )

    def logits(self, hidden: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows vocab"]:
        """Next-token logits of the hidden states handed in."""
        return self.text.logits(hidden)


def seeing_parameters(config: SeeingConfig) -> int:
    """Numbers in the model; tied matrices count once."""
    with torch.device("meta"):
        projector = (
            Projector(config)
            if config.resampler is None
            else Resampler(config.resampler, config.width, config.text.stack.dim)
        )
    own = sum(parameter.numel() for parameter in projector.parameters())
    return own + sense_parameters(config.tower) + parameters(config.text)


def seeing_flops(config: SeeingConfig, *, length: int, logits: float) -> float:
    """Floating-point operations of training the decoder, a token, in texts of `length` tokens with their pictures'
    placeholders, for a share of which logits are computed; see `training_flops`. The tower is not counted: what it
    says is computed once where it is not trained."""
    return training_flops(config.text, length=length, logits=logits)
