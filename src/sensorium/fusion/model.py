"""A fused model: an encoder of each modality, their tokens brought to one width, fused, and told as labels.

Each modality has a head of its own besides: what it tells alone is an expert of decision-level fusion, and shows who
dominates. Unusual: encoders run on the rows in which their modality is there, and on no others; modalities are held in
the sorted order of their names, which may be any text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sensorium.core.config import ModelConfig
from sensorium.core.count import trunk_flops
from sensorium.core.count_senses import tower_flops
from sensorium.core.linear import Linear
from sensorium.core.sense_encoder import SenseModelConfig
from sensorium.core.speech import SpeechConfig
from sensorium.core.tower import PoolConfig, TowerConfig
from sensorium.data.tables.batch import Inputs, SenseInput
from sensorium.errors import ConfigError
from sensorium.fusion.features.base import Features, FusionConfig, in_order
from sensorium.fusion.features.build import build_fusion
from sensorium.fusion.missing import Absent, Align, Present
from sensorium.fusion.model_encoders import AnyEncoder, EncoderConfig, NumbersConfig, TimeConfig, build_encoder

Level = Literal["feature", "decision", "both"]
Logits = Float[Tensor, "batch outputs"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModalityConfig:
    """A modality of a fused model.

    Args:
        name: what its features go by.
        encoder: of texts a `ModelConfig`; of pictures, sounds and frames of clips a `SenseModelConfig`; of sounds also
            a Whisper's.
        width: of the encoder's hidden states.
        tokens: vectors that the fusion reads of it.
        length: tokens of a text, or vectors of a sound that Whisper reads: for the count of operations alone.
        time: of clips: what reads the vectors of the frames.
    """

    name: str
    encoder: EncoderConfig
    width: int
    tokens: int = 1
    length: int | None = None
    time: TimeConfig | None = None

    def flops(self) -> float:
        """Floating-point operations of a forward pass of one row."""
        match self.encoder:
            case ModelConfig():
                length = self.length or 1
                return trunk_flops(self.encoder.stack, length) * length
            case SenseModelConfig():
                frames = 1 if self.time is None else self.time.frames
                return frames * tower_flops(self.encoder.tower)
            case SpeechConfig():
                heard = TowerConfig(stack=self.encoder.encoder, pool=PoolConfig(kind="mean"), projection=None)
                return tower_flops(heard, length=self.length)
            case NumbersConfig():
                return 2.0 * self.encoder.hidden * (self.encoder.inputs + self.encoder.dim)


@dataclass(frozen=True, kw_only=True, slots=True)
class FusedConfig:
    """A fused model.

    Args:
        modalities: one or more, of different names.
        outputs: numbers that are told of a row.
        level: `decision` has no fusion of features.
        fusion: how features are fused; its `dim` is the common width.
        dropout: of modalities, in training.

    Raises:
        ConfigError: names come twice, or there is none.
    """

    modalities: tuple[ModalityConfig, ...]
    outputs: int
    level: Level
    fusion: FusionConfig
    dropout: float = 0.1

    def __post_init__(self) -> None:
        names = [one.name for one in self.modalities]
        if not names or len(set(names)) < len(names) or self.outputs < 1:
            raise ConfigError(
                f"{self.outputs} outputs of the modalities {names}", fix="Give different names, and outputs"
            )

    def flops(self) -> float:
        """Floating-point operations of a forward pass of one row, but for those of the fusion, which are few."""
        return sum(one.flops() for one in self.modalities)


class FusedModel(nn.Module):
    """Several modalities to one label.

    Args:
        config: the settings; weights are fresh, from PyTorch's global generator.
    """

    def __init__(self, config: FusedConfig) -> None:
        super().__init__()
        self.config = config
        ordered = sorted(config.modalities, key=lambda one: one.name)
        self.names = tuple(one.name for one in ordered)
        dim = config.fusion.dim
        self.encoders = nn.ModuleList(build_encoder(one.encoder, one.time) for one in ordered)
        self.aligns = nn.ModuleList(Align(one.width, dim, tokens=one.tokens) for one in ordered)
        self.heads = nn.ModuleList(Linear(dim, config.outputs) for _ in ordered)
        self.tokens = {one.name: one.tokens for one in ordered}
        joined = config.level != "decision"
        self.absent = Absent(self.tokens, dim, dropout=config.dropout) if joined else None
        self.fusion = build_fusion(config.fusion, self.tokens) if joined else None
        self.head = Linear(dim, config.outputs) if joined else None

    def features(self, inputs: Inputs) -> tuple[Features, Present]:
        """Encode what is there.

        Args:
            inputs: every modality, also one that no row has; others than the model's are passed over.

        Returns:
            Tokens of each modality "batch tokens dim", zeros where it is absent; and where it is there.

        Raises:
            CapabilityError: a modality is missing.
        """
        own = {name: one for name, one in inputs.items() if name in self.tokens}
        given = dict(zip(self.names, in_order(own, self.names), strict=True))
        features = {name: self.encode(name, one) for name, one in given.items()}
        return features, {name: one.present for name, one in given.items()}

    def encode(self, name: str, given: SenseInput) -> Float[Tensor, "batch tokens dim"]:
        """Tokens of one modality, zeros in rows where it is absent."""
        place = self.names.index(name)
        rows = given.present.nonzero()[:, 0]
        whole = torch.zeros(len(given.present), self.tokens[name], self.config.fusion.dim, device=given.present.device)
        if len(rows):
            found = self.aligns[place](self.encoders[place](given.values, valid=given.valid), given.valid)
            whole = whole.to(found.dtype).index_copy(0, rows, found)
        return whole

    def experts(self, features: Features) -> dict[str, Logits]:
        """What each modality tells alone; where it is absent, nothing of meaning."""
        return {
            name: head(x.mean(1))
            for name, head, x in zip(self.names, self.heads, in_order(features, self.names), strict=True)
        }

    def fused(self, features: Features, present: Present) -> Logits:
        """What all modalities tell together.

        Raises:
            ConfigError: the model fuses decisions alone.
        """
        if self.absent is None or self.fusion is None or self.head is None:
            raise ConfigError("the model was trained for decisions alone", fix="Train one of level='feature'")
        return self.head(self.fusion(self.absent(features, present)))  # type: ignore[no-any-return]

    def forward(self, inputs: Inputs) -> tuple[Logits | None, dict[str, Logits], dict[str, Bool[Tensor, " batch"]]]:
        """The fused logits, if there are such; those of each modality alone; and where each is there."""
        features, present = self.features(inputs)
        fused = None if self.fusion is None else self.fused(features, present)
        return fused, self.experts(features), present

    def encoder(self, name: str) -> AnyEncoder:
        """The encoder of a modality."""
        found: AnyEncoder = self.encoders[self.names.index(name)]  # type: ignore[assignment]
        return found

    def encoder_parameters(self) -> dict[str, list[nn.Parameter]]:
        """By modality: what only it uses, but for its head; see `fusion.modulation`."""
        return {
            name: [*encoder.parameters(), *align.parameters()]
            for name, encoder, align in zip(self.names, self.encoders, self.aligns, strict=True)
        }
