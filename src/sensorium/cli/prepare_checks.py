"""What `sensorium prepare` does besides preparing: `--plan` and `--self-test`."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import typer

from sensorium.cli.printing import print_json


def print_plan(inputs: list[str], options: dict[str, Any], workers: int, *, json: bool) -> None:
    """Try the run on a sample and print what it would take."""
    from sensorium.data.prepare.build import Choices
    from sensorium.data.prepare.plan import plan

    names = {field.name for field in fields(Choices)}
    chosen: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in options.items() if name in names
    }
    planned = plan(
        inputs,
        choices=Choices(**chosen),
        against=options.get("against", ()),
        tokenizer=options["tokenizer"],
        column=options.get("column", "text"),
        encoding=options.get("encoding"),
        workers=workers,
    )
    if json:
        print_json(planned)
        return
    typer.echo(f"{planned.files:,} files, {_megabytes(planned.bytes)}; looked at {_megabytes(planned.sampled)} of text")
    for stage in planned.stages:
        most = sorted(stage.dropped.items(), key=lambda rule: -rule[1])[:4]
        rules = ", ".join(f"{count:,} {rule}" for rule, count in most)
        rate = f"{stage.megabytes_per_second:>8,.1f} MB/s"
        typer.echo(f"{stage.name:>20} {rate}  keeps {stage.kept:>6.1%}  {rules}".rstrip())
    left = f"{planned.kept:.1%} of {_megabytes(planned.text_bytes)} of text would be left"
    typer.echo(f"{left}; all of the input may have more duplicates than the sample")
    typer.echo(
        f"about {_duration(planned.seconds)} with {planned.workers} processes, "
        f"{_megabytes(planned.disk)} of disk, {_megabytes(planned.memory)} of memory"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def print_self_test(*, json: bool) -> None:
    """Take the toy corpus through every stage; exit code 1 if an answer is not the known one."""
    from sensorium.data.prepare.self_test import self_test

    checks = self_test()
    if json:
        print_json(checks)
    else:
        for check in checks:
            typer.echo(f"{'ok' if check.ok else 'FAILED':>6}  {check.name}{'' if check.ok else f': {check.told}'}")
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(1, round(seconds))} seconds"
