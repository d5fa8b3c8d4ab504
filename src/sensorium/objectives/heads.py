"""An encoder with a head, as the objectives of labelled examples read with it."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from sensorium.core.model import Encoder, Transformer
from sensorium.core.pack import Packed
from sensorium.errors import ConfigError


def encoded(
    model: Transformer, packed: Packed, types: Int[Tensor, "1 total"]
) -> tuple[Encoder, Float[Tensor, "1 total dim"]]:
    """The model as an encoder, and the hidden states of sequences laid end to end.

    Args:
        model: an encoder.
        packed: the sequences.
        types: segments of their tokens, for a model that tells segments apart.

    Raises:
        ConfigError: the model is no encoder.
    """
    if not isinstance(model, Encoder):
        raise ConfigError("labelled examples are learned by an encoder", fix="Give one by --init")
    known = types if model.config.stack.embed.n_types > 1 else None
    return model, model(packed.ids, types=known, lengths=packed.lengths)
