"""`sensorium evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from sensorium.cli.options import DeviceOption, EngineOption, columns_of, open_model
from sensorium.cli.printing import print_json


def evaluate(
    task: Annotated[str, typer.Option(help="translation or qa.")],
    data: Annotated[list[Path], typer.Option(help="Pairs, a corpus of pairs, or questions; may be given again.")],
    model: Annotated[str | None, typer.Argument(help="A model folder; not needed with --outputs.")] = None,
    source: Annotated[str | None, typer.Option("--from", help="Language to translate from.")] = None,
    target: Annotated[str | None, typer.Option("--to", help="Language to translate into.")] = None,
    columns: Annotated[str | None, typer.Option(help="Where a table holds what: en=1,zh=text_zh.")] = None,
    outputs: Annotated[
        Path | None, typer.Option(help="Measure these instead: translations a line, or JSON of answers by id.")
    ] = None,
    beam: Annotated[int | None, typer.Option(help="translation: beams.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="qa: no answer where it is likelier by more than this.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="qa: extract, or generate.")] = None,
    limit: Annotated[int | None, typer.Option(help="Use the first rows only.")] = None,
    samples: Annotated[int, typer.Option(help="Of the bootstrap that the intervals come from.")] = 1000,
    engine: EngineOption = None,
    device: DeviceOption = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print as JSON, with every output.")] = False,
) -> None:
    """Measure how well a model translates or answers."""
    from sensorium.errors import InputError, unknown
    from sensorium.tasks.evaluate import TASKS, Task
    from sensorium.tasks.evaluate import evaluate as measured

    if task not in TASKS:
        raise InputError(unknown("task", task, TASKS))
    asked = {"beam": beam} if task == "qa" else {"threshold": threshold, "method": method}
    useless = [name for name, value in asked.items() if value is not None]
    if useless:
        raise InputError(f"--{useless[0]} does nothing with --task {task}", fix="Leave it out")
    options: dict[str, Any] = {"beam": beam} if task == "translation" else {"threshold": threshold, "method": method}
    found = measured(
        None if model is None else open_model(model, engine, device),
        task=cast("Task", task),
        data=data,
        source=source,
        target=target,
        columns=columns_of(columns, example="en=1,zh=2" if task == "translation" else "question=q,answers=a"),
        outputs=outputs,
        limit=limit,
        samples=samples,
        options={name: value for name, value in options.items() if value is not None},
    )
    if json:
        print_json(found)
        return
    typer.echo(found.table())
