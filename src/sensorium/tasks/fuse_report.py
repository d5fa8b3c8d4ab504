"""The page of a comparison of modalities and ways to fuse them, and the same as JSON.

It says plainly when fusion does not help.
"""

from __future__ import annotations

import datetime
import io
import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sensorium import __version__
from sensorium.data.tables.cells import text_of
from sensorium.errors import SensoriumError
from sensorium.files import StrPath, write_json
from sensorium.fusion.measures import MAIN
from sensorium.fusion.statistics import Interval
from sensorium.modalities.image import decode
from sensorium.reports.blocks import Bar, Block, Columns, Exhibit, Fact, Figure, Medium, Ranking, Table, Text
from sensorium.reports.page import Page, Section
from sensorium.reports.plots import Line, Spread, lines, spreads
from sensorium.tasks.fuse_compare import FusionComparison, System

REPORT, DATA = "report.html", "report.json"
_EXAMPLES = 4
"""Of each kind."""
_LARGEST = 1_000_000
"""Bytes of a sound or a clip that is put into the page."""
_EDGE = 240
"""Pixels of a picture in the page."""
_LEAD = {
    False: "Each modality alone, features fused in several ways, decisions fused in several ways",
    True: "Each modality alone, and nothing fused",
}
_COLOURS = {"alone": "muted", "feature": "accent", "decision": "second"}


def write_report(found: FusionComparison, out: StrPath) -> Path:
    """Write `report.html` and `report.json` into a folder; where the page lies.

    Raises:
        DiskError: the disk is full or may not be written.
    """
    out = Path(out)
    write_json(out / DATA, as_dict(found))
    page(found).write(out / REPORT)
    return out / REPORT


def as_dict(found: FusionComparison) -> dict[str, Any]:
    """All numbers of a comparison, ready for JSON."""
    return {
        "sensorium": __version__,
        "label": found.label,
        "problem": found.target.problem,
        "rows": len(found.systems[0].scores),
        "systems": [
            {
                "name": one.name, "level": one.level, "measures": one.measures, "interval": _triple(one.interval),
                "validation": one.validation,
                "ece": None if one.calibration is None else one.calibration.ece,
            }
            for one in found.systems
        ],
        "best_alone": found.alone.name,
        "best_fused": None if found.unfused else found.fused.name,
        "gain": _triple(found.gain),
        "p": found.p,
        "helps": found.helps,
        "modulation": None if found.modulation is None else _triple(found.modulation),
        "contributions": {
            "none": found.contributions.none, "all": found.contributions.all, "alone": found.contributions.alone,
            "shapley": found.contributions.shapley, "left_out": found.contributions.left_out,
        },
        "noise": [
            {"modality": one.modality, "noise": one.noise, "strength": one.strength, "measures": one.measures}
            for one in found.noise
        ],
        "notes": list(found.notes),
    }  # fmt: skip


def advice(found: FusionComparison) -> str:
    """What to do, in a few sentences."""
    alone, fused, gain = found.alone, found.fused, found.gain
    if found.unfused:
        if len(found.systems) == 1:
            return f"There is nothing to fuse: the table has one modality, and {alone.name} is all that was measured."
        return f"Nothing was fused: no features were, and rows are too few to fit decisions to. Use {alone.name}."
    named = (
        f"{_scored(found)} of {fused.name}, the best fused on the validation rows, is {_signed(gain)} against that of "
        f"{alone.name}"
    )
    if found.helps:
        said = f"Fuse. {named}: better beyond chance (p = {found.p:.3g})."
    elif gain.high < 0:
        said = f"Do not fuse. {named}: worse beyond chance (p = {found.p:.3g}). Use {alone.name}."
    else:
        said = (
            f"Fusion does not help here as far as these rows tell: {named}, which may be chance (p = {found.p:.3g}). "
            f"Use {alone.name}, which is simpler, unless files may be missing; or judge on more rows."
        )
    shapley = found.contributions.shapley
    least = min(shapley, key=lambda name: shapley[name])
    if len(shapley) > 1 and shapley[least] <= 0:
        said += f" {least!r} adds nothing to the fused features: leave it out."
    if found.modulation is not None:
        if found.modulation.low > 0:
            said += f" Gradient modulation is {_signed(found.modulation)}: use `--set learn.modulation=0.3`."
        else:
            said += f" Gradient modulation ({_signed(found.modulation)}) is not worth it."
    return said


def page(found: FusionComparison) -> Page:
    """The report."""
    main = MAIN[found.target.problem].replace("_", " ")
    rows = len(found.systems[0].scores)
    return Page(
        title=f"What tells “{found.label}”?",
        lead=f"{_LEAD[found.unfused]}, judged by the same {rows:,} rows, which nothing was learned from.",
        facts=[
            Fact(f"{main}, {found.alone.name}", _value(found.alone), "the best alone on these rows"),
            *([] if found.unfused else _facts(found, main)),
        ],
        sections=[
            Section("Advice", [Text(advice(found)), *(Text(note) for note in found.notes)]),
            Section("All systems", [systems_plot(found), _table(found)]),
            Section("How sure is it?", _calibration(found)),
            Section("Who contributes?", _contributions(found)),
            Section("When something is missing or worse", [_noise(found)]),
            *([] if found.unfused else [Section("Where fusion changes the answer", examples(found))]),
        ],
        footer=f"Made by Sensorium {__version__} on {datetime.date.today().isoformat()}. This page holds everything "
        "that it shows; it fetches nothing.",
    )


def _facts(found: FusionComparison, main: str) -> list[Fact]:
    return [
        Fact(f"{main}, {found.fused.name}", _value(found.fused), "the best fused on validation rows"),
        Fact("difference", f"{found.gain.value:+.3f}", f"{found.gain.low:+.3f} to {found.gain.high:+.3f}"),
    ]


def systems_plot(found: FusionComparison) -> Block:
    """Every system's score with its interval."""
    rows = [
        Spread(one.name, one.interval.value, one.interval.low, one.interval.high, _COLOURS[one.level])  # type: ignore[arg-type]
        for one in found.systems
    ]
    plot = spreads(rows, x_label=_scored(found), line=found.alone.interval.value)
    caption = (
        "Ordered by the validation rows, best first; the dotted line is the best modality alone. Bars are 95 % "
        "intervals, drawn from the rows that judge; the differences of two systems on the same rows are surer than "
        "these bars."
    )
    return Figure(plot, alt="the score of each system with its interval", caption=caption)


def _table(found: FusionComparison) -> Block:
    names = list(found.systems[0].measures)
    head = ["system", *(name.replace("_", " ") for name in names), "95 % interval", "ECE"]
    rows = [
        [
            one.name, *(f"{one.measures[name]:.3f}" for name in names),
            f"{one.interval.low:.3f} – {one.interval.high:.3f}",
            "–" if one.calibration is None else f"{one.calibration.ece:.3f}",
        ]
        for one in found.systems
    ]  # fmt: skip
    return Table(head, rows, numeric=range(1, len(head)), caption=f"The interval is of the {_scored(found)}.")


def _calibration(found: FusionComparison) -> list[Block]:
    if found.alone.calibration is None or found.fused.calibration is None:
        return [Text("An amount is told without a probability.")]
    curves = [Line("as sure as right", [0, 1], [0, 1], "faint")]
    shown = [(found.alone, "muted"), (found.fused, "accent")][: 1 if found.unfused else 2]
    for one, colour in shown:
        bins = one.calibration.bins if one.calibration is not None else ()
        curves.append(
            Line(one.name, [b.confidence for b in bins], [b.accuracy for b in bins], colour, marked=True)  # type: ignore[arg-type]
        )
    plot = lines(curves, x_label="what it said: probability", y_label="how often it was so")
    told = ", ".join(f"{one.calibration.ece:.3f} of {one.name}" for one, _ in shown if one.calibration is not None)
    return [
        Figure(plot, alt="reliability of the best alone and the best fused system"),
        Text(
            f"The expected calibration error is {told}. Temperatures were fitted to the validation rows (Guo et al. "
            "2017)."
        ),
    ]


def _contributions(found: FusionComparison) -> list[Block]:
    worth = found.contributions
    largest = max((abs(value) for value in worth.shapley.values()), default=0.0) or 1.0
    bars = [
        Bar(name, max(0.0, value) / largest, f"{value:+.3f}")
        for name, value in sorted(worth.shapley.items(), key=lambda item: -item[1])
    ]
    main = MAIN[found.target.problem].replace("_", " ")
    said: list[Block] = [
        Text(
            f"The Shapley value shares the {main} of the best model of fused features, {worth.all:.3f} with all "
            f"modalities and {worth.none:.3f} with none, among them: what each adds, on average over all orders."
        ),
        Ranking("Shapley value", bars),
        Table(
            ["modality", "the model with it only", "lost without it"],
            [[name, f"{worth.alone[name]:.3f}", f"{worth.left_out[name]:+.3f}"] for name in sorted(worth.shapley)],
            numeric=[1, 2],
        ),
    ]
    colours = ("accent", "second", "muted", "faint")
    curves = [
        Line(name, [step for step, _ in points], [share for _, share in points], colours[number % 4], marked=True)  # type: ignore[arg-type]
        for number, (name, points) in enumerate(sorted(found.shares.items()))
    ]
    if curves:
        plot = lines(curves, x_label="step", y_label="share of the gradient")
        said.append(
            Figure(plot, alt="gradient shares", caption="Who learns, in the course of training. Larger encoders have "
                   "larger gradients: look at the course, not at the height.")
        )  # fmt: skip
    return said


def _noise(found: FusionComparison) -> Block:
    main = MAIN[found.target.problem]
    rows = [[one.modality, one.noise, f"{one.strength:g}", f"{one.measures[main]:.3f}"] for one in found.noise]
    caption = (
        "The same model of fused features. `pixels`: deviation of noise, as a share of the range. `blur`: edge of a "
        "box. `sound`: signal to noise in dB. `words`: share that is lost. `missing`: share of the rows that lose the "
        "modality."
    )
    return Table(["modality", "noise", "strength", main.replace("_", " ")], rows, numeric=[2, 3], caption=caption)


def examples(found: FusionComparison, *, most: int = _EXAMPLES) -> list[Block]:
    """Rows that only one of the two got right, with what was seen and heard."""
    if found.target.problem != "classification":
        return [Text("Amounts and sets of labels are not shown one by one.")]
    fused, alone = found.fused, found.alone
    gained = np.flatnonzero((fused.scores > 0) & (alone.scores <= 0))
    lost = np.flatnonzero((fused.scores <= 0) & (alone.scores > 0))
    said: list[Block] = [
        Text(
            f"Of {len(fused.scores):,} rows, {fused.name} is right in {len(gained):,} in which {alone.name} is wrong, "
            f"and wrong in {len(lost):,} in which that is right. Some of each, the surest first."
        )
    ]
    for rows in (gained, lost):
        surest = rows[np.argsort(-fused.answers[rows].max(1), kind="stable")][:most]
        if len(surest):
            said.append(Columns([_exhibit(found, int(row)) for row in surest]))
    return said


def _exhibit(found: FusionComparison, row: int) -> Exhibit:
    names = found.target.names
    media, words = list[Medium](), list[str]()
    where = found.handle.fused.target.known(found.test.column(found.label))
    place = int(np.flatnonzero(where)[row])
    for column in found.handle.fused.schema.columns:
        cell = text_of(found.test.columns[column.name][place])
        if cell is None:
            words.append(f"no {column.name}")
        elif column.kind in ("image", "audio", "video"):
            shown = _medium(found.test.root / cell, column.kind, f"{column.name} of row {place + 1}")
            if shown is None:
                words.append(f"{column.name} cannot be shown")
            else:
                media.append(shown)
        else:
            words.append(f"{column.name}: {cell[:160]}")
    told = [
        f"{one.name} says {names[int(one.answers[row].argmax())]} ({one.answers[row].max():.0%})"
        for one in (found.fused, found.alone)
    ]
    truth = names[int(found.truth[row])]
    return Exhibit(media, truth, "; ".join((*told, *words)) + ".")


def _medium(path: Path, kind: str, alt: str) -> Medium | None:
    """What the page can hold; None where it cannot be read or is too large."""
    try:
        if kind == "image":
            picture = decode(path)
            picture.thumbnail((_EDGE, _EDGE))
            data = io.BytesIO()
            picture.save(data, "PNG")
            return Medium("image", "image/png", data.getvalue(), alt)
        if path.stat().st_size > _LARGEST:
            return None
        mime = mimetypes.guess_type(path.name)[0] or ("audio/ogg" if kind == "audio" else "video/mp4")
        return Medium("audio" if kind == "audio" else "video", mime, path.read_bytes(), alt)
    except (SensoriumError, OSError, ValueError):  # ValueError: no file system can have such a name
        return None


def _scored(found: FusionComparison) -> str:
    return {
        "classification": "accuracy", "regression": "negative absolute error", "multi_label": "log-likelihood of a row"
    }[found.target.problem]  # fmt: skip


def _value(system: System) -> str:
    return f"{next(iter(system.measures.values())):.3f}"


def _signed(interval: Interval) -> str:
    return f"{interval.value:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def _triple(interval: Interval) -> Sequence[float]:
    return [interval.value, interval.low, interval.high]
