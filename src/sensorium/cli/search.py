"""`sensorium search`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import DeviceOption
from sensorium.cli.printing import print_json


def search(
    model: Annotated[str, typer.Argument(help="A folder that `sensorium align` made, a CLIP's, or default:align.")],
    query: Annotated[str | None, typer.Argument(help="What to look for, in words.")] = None,
    index: Annotated[Path, typer.Option(help="The folder of pictures, sounds or clips to search.")] = Path(),
    like: Annotated[Path | None, typer.Option(help="Look for what is like this file, instead of words.")] = None,
    top: Annotated[int, typer.Option(help="How many to show.")] = 10,
    index_file: Annotated[Path | None, typer.Option(help="Keep the index here; by default in the folder.")] = None,
    device: DeviceOption = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Find the pictures, sounds or clips in a folder that fit a text, or are like a file."""
    from sensorium.data.media import listed
    from sensorium.tasks.aligned import open_aligned
    from sensorium.tasks.search import refuse_none

    refuse_none(top)
    handle = open_aligned(model, device=device)
    asked = handle.asked(query, like=like)
    found = handle.index(index, file=index_file)
    if found.problems:
        named = f" ({listed(found.problems)})" if found.read else ""
        typer.echo(f"note: {len(found.problems)} of the files could not be read{named}", err=True)
    if not found.kept:
        typer.echo("note: the index cannot be kept in that folder; name another place by --index-file", err=True)
    hits = [dataclasses.replace(hit, path=_printable(hit.path)) for hit in found.nearest(asked, top)]
    if json:
        print_json(hits)
        return
    for hit in hits:
        typer.echo(f"{hit.score:7.3f}  {hit.path}")


def _printable(path: str) -> str:
    """A name that is no UTF-8, with its bytes escaped."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")
