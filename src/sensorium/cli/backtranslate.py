"""`sensorium backtranslate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.lines import lines_of
from sensorium.cli.options import DeviceOption, EngineOption, open_model
from sensorium.cli.printing import print_json


def backtranslate(
    model: Annotated[str, typer.Argument(help="A translator out of the text's language.")],
    texts: Annotated[Path, typer.Argument(help="A text file in one language, a sentence or paragraph a line.")],
    out: Annotated[Path, typer.Option(help="The table to make, .tsv.")],
    source: Annotated[str | None, typer.Option("--from", help="Language of the text, e.g. zh.")] = None,
    target: Annotated[str | None, typer.Option("--to", help="Language to translate into, e.g. en.")] = None,
    beam: Annotated[int, typer.Option(help="Hypotheses followed at once.")] = 1,
    temperature: Annotated[float | None, typer.Option(help="Above 0 draws the words instead of searching.")] = None,
    seed: Annotated[int | None, typer.Option(help="Makes drawing repeatable.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file at --out.")] = False,
    engine: EngineOption = None,
    device: DeviceOption = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make pairs for a translator out of text in one language."""
    from sensorium.tasks.backtranslate import backtranslate as run

    done = run(
        open_model(model, engine, device),
        lines_of(texts),
        out=out,
        source=source,
        target=target,
        beam=beam,
        temperature=temperature,
        seed=seed,
        force=force,
    )
    if json:
        print_json(done)
        return
    typer.echo(f"{done.pairs:,} pairs in {done.path}; {done.left_out:,} lines left out")
