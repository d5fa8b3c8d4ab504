"""Between encoders and fusion: sequences of any length to a few tokens, and stand-ins for modalities that are absent.

What an absent modality's input holds (zeros, garbage, NaN) reaches neither a result nor a gradient of these modules.

An encoder that ran on such an input is another matter: its own backward pass multiplies the zero gradient that it gets
by what it kept, and 0 · NaN is NaN. Run it on the rows that are present, or give it finite placeholders.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sensorium.core.linear import Linear
from sensorium.errors import CapabilityError, ConfigError
from sensorium.fusion.features.base import Features, check_rate, in_order, sorted_tokens

Present = dict[str, Bool[Tensor, " batch"]]
"""By modality: in which rows it is there."""
_STD = 0.02
"""Of learned tokens and positions, as ViT's begin."""


class Align(nn.Module):
    """One modality's encoder output to `tokens` vectors of the common width.

    The valid tokens of a row are cut into `tokens` equal segments, each averaged; then LayerNorm (encoders differ in
    scale), a linear map, and a learned position that is this modality's own.

    Args:
        width: of the encoder's output.
        dim: the common width.
        tokens: how many vectors are given; 1 is the mean over all valid tokens.

    Raises:
        ConfigError: `tokens` is less than 1.
    """

    def __init__(self, width: int, dim: int, *, tokens: int = 1) -> None:
        super().__init__()
        if tokens < 1:
            raise ConfigError(f"tokens={tokens} must be at least 1", where="Align")
        self.tokens = tokens
        self.norm = nn.LayerNorm(width)
        self.linear = Linear(width, dim)
        self.positions = nn.Parameter(torch.empty(tokens, dim).normal_(0.0, _STD))

    def forward(
        self, x: Float[Tensor, "batch seq width"], valid: Bool[Tensor, "batch seq"] | None = None
    ) -> Float[Tensor, "batch tokens dim"]:
        """Align.

        Args:
            x: an encoder's output; what it holds where not valid does not matter.
            valid: False at padding, and all over a row in which the modality is absent. Such a row gives a constant,
                which `Absent` replaces. None where all is valid.
        """
        return self.linear(self.norm(segment_means(x, valid, self.tokens))) + self.positions  # type: ignore[no-any-return]


class Absent(nn.Module):
    """Learned tokens in the place of modalities that a row lacks, and modality dropout in training.

    Each modality of a row is dropped with the probability `dropout`, which teaches a model to do without it (ModDrop,
    Neverova et al. 2016; they set the inputs to zero, here learned tokens take their place). See `drop_modalities`.

    Args:
        tokens: how many tokens each modality has.
        dim: the common width.
        dropout: of modalities, in training.

    Raises:
        ConfigError: there is no modality, one without tokens, or `dropout` is not in [0, 1).
    """

    def __init__(self, tokens: Mapping[str, int], dim: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        check_rate(dropout, "dropout", where="Absent")
        counts = sorted_tokens(tokens)
        self.names = tuple(counts)
        self.p = dropout
        self.stand_ins = nn.ParameterList(torch.empty(count, dim).normal_(0.0, _STD) for count in counts.values())

    def forward(self, features: Features, present: Present) -> Features:
        """The features, with stand-ins where a modality is absent or was dropped.

        Args:
            features: tokens of each modality; what they hold where absent does not matter, and gets a gradient of
                exactly zero.
            present: where each modality is there. A row may lack all of them.

        Raises:
            CapabilityError: a modality is missing or foreign in one of the two, or has another shape.
        """
        ordered = in_order(features, self.names)
        kept = torch.stack(in_order(present, self.names), dim=1)
        if self.training and self.p:
            kept = drop_modalities(kept, self.p)
        out = {}
        for name, x, stand_in, here in zip(self.names, ordered, self.stand_ins, kept.unbind(1), strict=True):
            if x.shape != (len(kept), *stand_in.shape):
                raise CapabilityError(
                    f"features of shape {tuple(x.shape)}; expected {(len(kept), *stand_in.shape)}",
                    where=name,
                    fix="Give each modality its rows, its number of tokens and the common width",
                )
            out[name] = torch.where(here[:, None, None], x, stand_in.to(x.dtype))
        return out


def drop_modalities(present: Bool[Tensor, "batch modalities"], p: float) -> Bool[Tensor, "batch modalities"]:
    """Drop each modality of a row with probability `p`, but never all that the row has.

    Where all would go, one is kept, each as likely as the others. So of n that are present each is dropped with
    probability p - pⁿ / n. Drawn from PyTorch's global CPU generator, whatever the device: a seeded run repeats itself.
    """
    drawn = torch.rand(present.shape).to(present.device).masked_fill(~present, -1.0)
    largest = drawn.max(1, keepdim=True).values
    return present & ((drawn >= p) | (drawn == largest))


def segment_means(
    x: Float[Tensor, "batch seq width"], valid: Bool[Tensor, "batch seq"] | None, segments: int
) -> Float[Tensor, "batch segments width"]:
    """Means over `segments` equal segments of each row's valid tokens, in their order; zeros where none is valid.

    Segment s of n valid tokens holds those from ⌊s n / segments⌋ to before ⌈(s + 1) n / segments⌉, as in PyTorch's
    adaptive average pooling: where they do not divide evenly, neighbours share a token, and none is empty.
    """
    batch, seq, _ = x.shape
    if valid is None:
        valid = torch.ones(batch, seq, dtype=torch.bool, device=x.device)
    place = valid.cumsum(1)[:, None, :] - 1
    count = valid.sum(1)[:, None, None]
    segment = torch.arange(segments, device=x.device)[None, :, None]
    start = segment * count // segments
    end = -(-(segment + 1) * count // segments)
    inside = valid[:, None, :] & (place >= start) & (place < end)
    weights = inside.to(x.dtype) / (end - start).clamp(min=1).to(x.dtype)
    # A weight of zero does not undo a NaN; neither does its gradient.
    return weights @ x.masked_fill(~valid[..., None], 0.0)
