"""The tour's page: its chapters, the numbers above them, and after them the time that each took and where to go on."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping, Sequence

import torch

from sensorium import __version__
from sensorium.reports.blocks import Bar, Block, Code, Fact, Ranking, Text
from sensorium.reports.numbers import Number, compact, duration
from sensorium.reports.page import Page, Section

_NEXT = """\
# your own texts: .txt, .md, .jsonl, .csv, .parquet, folders of them
sensorium prepare my-texts/ --out corpus
# a larger model and a longer run (all of them: sensorium recipes)
sensorium train corpus --recipe bert-mini --out runs/bert
sensorium train corpus --recipe llama-mini --out runs/llama
# what this tour made is yours to use, too
sensorium fill {out}/encoder "This is a [MASK] example."
sensorium generate {out}/decoder "Once upon a time"
# and the bundled models, which were trained for longer
sensorium generate default "Once upon a time"
"""


def compose(
    chapters: Mapping[str, Sequence[Block]], *, numbers: Mapping[str, Number], seconds: Mapping[str, float], out: str
) -> Page:
    """The page of a finished tour.

    Args:
        chapters: the blocks of each, by title.
        numbers: what the chapters measured.
        seconds: how long each took, by title.
        out: where the tour's folder lies, for the commands that the page shows.
    """
    total = sum(seconds.values())
    sections = [Section(title, blocks) for title, blocks in chapters.items()]
    longest = max(seconds.values())
    bars = [Bar(title, value / longest, f"{value:.1f} s") for title, value in seconds.items()]
    return Page(
        title="The Sensorium tour",
        lead="From raw text to two Transformers of your own, on this machine: what they learned, what they do, and how "
        "they compare with simply counting.",
        facts=_facts(numbers, total),
        sections=[
            *sections,
            Section("How long it took", [Ranking(f"{duration(total)} in all", bars)]),
            Section("Where to go on", [Text("The same steps work on your own text. On the command line:"), _next(out)]),
        ],
        footer=f"Made by Sensorium {__version__} on {datetime.date.today().isoformat()} with {_device()}, PyTorch "
        f"{torch.__version__}, Python {platform.python_version()}. This page holds everything that it shows; it "
        "fetches nothing.",
    )


def _facts(numbers: Mapping[str, Number], total: float) -> list[Fact]:
    """The numbers at the top; those of chapters that were not there are left out."""
    facts = [Fact("from raw text to this page", duration(total), "")]
    if "masked_accuracy_encoder" in numbers:
        left, both = numbers["masked_accuracy_bigram_left"], numbers["masked_accuracy_bigram_both"]
        note = f"bigram: {left:.1%} with the left neighbour, {both:.1%} with both"
        facts.append(Fact("masked tokens named rightly", f"{numbers['masked_accuracy_encoder']:.1%}", note))
    if "bits_per_byte_decoder" in numbers:
        note = f"unigram {numbers['bits_per_byte_unigram']:.2f}, bigram {numbers['bits_per_byte_bigram']:.2f}"
        facts.append(Fact("bits per byte", f"{numbers['bits_per_byte_decoder']:.2f}", note))
    sizes = [numbers[f"{name}_parameters"] for name in ("encoder", "decoder") if f"{name}_parameters" in numbers]
    if sizes:
        facts.append(Fact("parameters", " + ".join(map(compact, sizes)), "encoder + decoder"))
    return facts


def _next(out: str) -> Code:
    return Code(_NEXT.format(out=out).rstrip())


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} CPU threads ({platform.machine()})"
