"""Words in five languages find pictures by the bundled aligned model, which has seen none of what they show.

Where the model is not there, the chapter says so.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence

import numpy as np

from sensorium.errors import CheckpointError
from sensorium.reports.blocks import Block, Columns, Exhibit, Medium, Text
from sensorium.tasks.aligned import AlignedModel
from sensorium.tasks.load import load
from sensorium.tour.trip import Trip, left_out

_SHOWN = 3
_QUERIES = 10
"""That are shown; all are asked."""


def find_pictures(trip: Trip) -> Sequence[Block]:
    """Every name of every picture is asked for; some of the answers are shown."""
    try:
        model = load(trip.plan.aligned)
    except CheckpointError as error:
        return left_out(error)
    assert isinstance(model, AlignedModel)
    with zipfile.ZipFile(trip.plan.pictures) as packed:
        names: dict[str, dict[str, str]] = json.loads(packed.read("names.json"))
        pictures = [packed.read(name) for name in names]
    asked = [(text, place, language) for place, told in enumerate(names.values()) for language, text in told.items()]
    scores = model.embed([text for text, _, _ in asked]) @ model.embed(images=pictures).T
    order = np.argsort(-scores, axis=1, kind="stable")
    rank = np.array([int(np.flatnonzero(row == place)[0]) + 1 for row, (_, place, _) in zip(order, asked, strict=True)])
    trip.numbers["pictures_first"] = float((rank == 1).mean())
    trip.numbers["pictures_among_five"] = float((rank <= 5).mean())
    every = max(1, len(asked) // _QUERIES)
    # A step that is no multiple of the languages' number comes by all of them.
    step = every + (every % max(1, len(next(iter(names.values())))) == 0)
    shown = [_exhibit(asked[row], order[row], int(rank[row]), pictures) for row in range(0, len(asked), step)]
    return [
        Text(
            f"`sensorium search {trip.plan.aligned}` finds pictures by words. The model was aligned on emoji and their "
            f"names in five languages; it has seen none of these {len(pictures)} in any language. Each of their "
            f"{len(asked)} names is asked for: the right picture comes first in {(rank == 1).mean():.0%}, and among "
            f"the first five in {(rank <= 5).mean():.0%}; blindly that would be {1 / len(pictures):.0%} and "
            f"{min(1.0, 5 / len(pictures)):.0%}. One name in {step} is shown, with what came first, second and third."
        ),
        Columns(shown),
    ]


def _exhibit(asked: tuple[str, int, str], order: np.ndarray, rank: int, pictures: Sequence[bytes]) -> Exhibit:
    text, place, language = asked
    media = [Medium("image", "image/png", pictures[int(one)], f"answer {n}") for n, one in enumerate(order[:_SHOWN], 1)]
    if rank <= _SHOWN:
        said = f"the right one is number {rank}"
    else:
        said = f"the right one, last here, is number {rank}"
        media.append(Medium("image", "image/png", pictures[place], "the right one"))
    return Exhibit(media, text, f"{language}: {said}.")
