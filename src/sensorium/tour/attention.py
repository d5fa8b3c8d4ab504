"""Where the encoder looks: the attention probabilities of one forward pass, as tables of coloured cells."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sensorium.core.capture import Capture
from sensorium.core.model import Encoder
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError
from sensorium.inference.native import NativeEngine
from sensorium.reports.blocks import Block, Columns, HeatMap, Text
from sensorium.tour.trip import Trip

Matrix = Float[Tensor, "queries keys"]


def attention_maps(trip: Trip) -> Sequence[Block]:
    """The most decided head of every layer, for one text of each language."""
    engine = NativeEngine.open(trip.folder / "encoder")
    texts = [trip.plan.masks[0], trip.plan.masks[-1]]
    maps = [heat for text in dict.fromkeys(texts) for heat in _maps(engine, text)]
    return [
        Text(
            "Each row is a token and shows where it looks: the darker a cell, the more of the row's attention goes to "
            "that column. A layer has several heads; shown is the one that looks most decidedly (of the lowest "
            "entropy). The row of `[MASK]` shows what the guess at the gap rests on."
        ),
        Columns(maps),
    ]


@torch.inference_mode()
def attention(engine: NativeEngine, ids: Sequence[int]) -> list[Float[Tensor, "heads queries keys"]]:
    """The attention probabilities of every layer for one sequence.

    Raises:
        CapabilityError: the model is no encoder.
    """
    if not isinstance(engine.model, Encoder):
        raise CapabilityError("attention maps are drawn of an encoder", where=engine.source)
    capture = Capture(hidden=False)
    engine.model(torch.tensor([list(ids)], device=engine.device), capture=capture)
    return [layer[0].float().cpu() for layer in capture.attention]


def most_decided(heads: Float[Tensor, "heads queries keys"]) -> int:
    """The head whose rows have the lowest entropy on average."""
    entropy = -(heads * heads.clamp_min(1e-12).log()).sum(-1).mean(-1)
    return int(entropy.argmin())


def _maps(engine: NativeEngine, text: str) -> list[HeatMap]:
    ids = engine.tokenizer.encode(text)
    labels = [label(engine.tokenizer, id) for id in ids]
    found = []
    for layer, heads in enumerate(attention(engine, ids), 1):
        head = most_decided(heads)
        rows: list[list[float]] = heads[head].tolist()
        found.append(HeatMap(labels, labels, rows, title=f"Layer {layer}, head {head + 1} of {len(heads)}"))
    return found


def label(tokenizer: Tokenizer, id: int) -> str:
    """A token as a reader knows it; as the vocabulary writes it where it is only a part of a character."""
    text = tokenizer.decode([id], skip_special=False)
    return tokenizer.token(id) if "\ufffd" in text else text.strip() or "␣"
