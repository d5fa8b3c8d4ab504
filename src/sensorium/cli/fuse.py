"""`sensorium fuse`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import DeviceOption, columns_of
from sensorium.cli.printing import print_json
from sensorium.errors import InputError


def fuse(
    table: Annotated[Path, typer.Argument(help="CSV, TSV, JSON Lines, JSON or Parquet; paths begin at its folder.")],
    label: Annotated[str, typer.Option(help="The column to predict.")],
    out: Annotated[Path, typer.Option(help="The model folder to make.")] = Path("runs/fused"),
    level: Annotated[str | None, typer.Option(help="feature (default), decision or both.")] = None,
    columns: Annotated[
        str | None, typer.Option(help="Kinds that content does not tell, e.g. note=text,code=ignore.")
    ] = None,
    problem: Annotated[
        str | None, typer.Option(help="classification, multi_label or regression; told by the labels by default.")
    ] = None,
    decision: Annotated[str | None, typer.Option(help="The kind of decision; the best by default.")] = None,
    group: Annotated[str | None, typer.Option(help="Rows of one value here stay on one side of the split.")] = None,
    time: Annotated[str | None, typer.Option(help="Split by this column: the last rows judge.")] = None,
    validation_data: Annotated[
        Path | None, typer.Option(help="A table to measure by; else a share is held out.")
    ] = None,
    image_from: Annotated[Path | None, typer.Option(help="Start pictures and clips from this ViT or CLIP.")] = None,
    text_from: Annotated[Path | None, typer.Option(help="Start texts from this encoder.")] = None,
    audio_from: Annotated[
        Path | None, typer.Option(help="Start sounds from a Whisper, or a fused model's audio folder.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare modalities alone and ways to fuse; writes a report into --out.")
    ] = False,
    kinds: Annotated[str | None, typer.Option(help="With --compare: ways to fuse features, with commas.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="A TOML file of sizes and settings.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value on top of the recipe; may be repeated.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the model or the run that stands at --out.")] = False,
    device: DeviceOption = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train one model on a table of texts, pictures, sounds, clips and numbers."""
    if compare:
        _refuse(level=level, decision=decision, validation_data=validation_data, resume=resume or None,
                image_from=image_from, text_from=text_from, audio_from=audio_from)  # fmt: skip
        _compare(
            table, label=label, out=out, columns=columns_of(columns, example="note=text,code=ignore"), problem=problem,
            group=group, time=time, kinds=kinds, recipe=recipe, overrides=overrides or (), force=force, device=device,
            json=json,
        )  # fmt: skip
        return
    _refuse(kinds=kinds, without="does something with --compare only")
    from sensorium.training.fuse import fuse as run

    done = run(
        table,
        label=label,
        out=out,
        level=level,
        recipe=recipe,
        overrides=overrides or (),
        columns=columns_of(columns, example="note=text,code=ignore"),
        problem=problem,
        decision=decision,
        group=group,
        time=time,
        validation=validation_data,
        image_from=image_from,
        text_from=text_from,
        audio_from=audio_from,
        resume=resume,
        force=force,
        device=device,
    )
    if json:
        print_json(done)
        return
    for name, kind in done.schema["columns"].items():
        typer.echo(f"column {name}: {kind}", err=True)
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    for name, value in done.metrics.items():
        typer.echo(f"{name.replace('_', ' '):>28}: {value:.4f}")
    typer.echo(f"{done.rows:,} rows read in {done.steps:,} steps, {done.seconds / 60:.1f} minutes; model at {out}")


def _refuse(without: str = "does nothing with --compare", **given: object) -> None:
    for name, value in given.items():
        if value is not None:
            raise InputError(f"--{name.replace('_', '-')} {without}", fix="Leave it out")


def _compare(
    table: Path, *, label: str, out: Path, columns: dict[str, str] | None, problem: str | None, group: str | None,
    time: str | None, kinds: str | None, recipe: Path | None, overrides: Sequence[str], force: bool, device: str,
    json: bool,
) -> None:  # fmt: skip
    from sensorium.tasks.fuse_compare import COMPARED, compare_fusion
    from sensorium.tasks.fuse_report import advice, as_dict, write_report

    chosen = COMPARED if kinds is None else tuple(name.strip() for name in kinds.split(","))
    found = compare_fusion(
        table, label=label, out=out, columns=columns, problem=problem, group=group, time=time, kinds=chosen,
        recipe=recipe, overrides=overrides, force=force, device=device,
    )  # fmt: skip
    written = write_report(found, out)
    if json:
        print_json(as_dict(found))
        return
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    for one in found.systems:
        typer.echo(f"{one.name:>28}: {one.interval}")
    typer.echo(advice(found))
    typer.echo(f"report at {written}, models beside it")
