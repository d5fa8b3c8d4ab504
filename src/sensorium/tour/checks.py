"""Does what was saved compute what was trained? Both folders against the fixtures saved with them."""

from __future__ import annotations

from collections.abc import Sequence

from sensorium.inference.fixtures import verify
from sensorium.reports.blocks import Block, Table, Text
from sensorium.tour.trip import Trip


def verify_models(trip: Trip) -> Sequence[Block]:
    """`sensorium verify` of the encoder and of the decoder."""
    found = {name: verify(trip.folder / name) for name in ("encoder", "decoder")}
    trip.numbers["verified"] = float(all(one.passed for one in found.values()))
    rows = [
        [name, check.name, "ok" if check.passed else "FAILED", check.detail]
        for name, one in found.items()
        for check in one.checks
    ]
    return [
        Text(
            "Each model folder keeps what the model computed when it was saved. `sensorium verify` computes it again "
            "from the files alone: token ids, logits, the likeliest fills and continuations. The folders are Hugging "
            "Face's format; `sensorium verify --engine transformers` holds stock `transformers` to the same."
        ),
        Table(["model", "what", "", "how close"], rows),
    ]
