"""`sensorium tour`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.printing import print_json


def tour(
    out: Annotated[Path, typer.Option(help="The folder to make: a report, a corpus, two models.")] = Path("tour"),
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier tour in --out.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Go the whole way on the bundled text, in minutes, and write a report."""
    from sensorium.tour.tour import tour as run

    done = run(out, force=force)
    if json:
        print_json(done)
    else:
        shown = [name for name in done.numbers if name.startswith(("masked_accuracy", "bits_per_byte"))]
        for name in shown:
            typer.echo(f"{name.replace('_', ' '):>28}: {done.numbers[name]:.3f}")
        typer.echo(f"{sum(done.seconds.values()) / 60:.1f} minutes; open {done.report} in a browser")
    if not done.verified:
        raise typer.Exit(1)
