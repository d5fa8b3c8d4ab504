"""`sensorium VERB ...`: the verbs put together, and errors turned into one line and an exit code.

Unusual: every verb imports what it needs when it runs, so that `sensorium --help` is instant.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from sensorium import __version__
from sensorium.cli.fill import fill
from sensorium.cli.generate import generate
from sensorium.cli.prepare import prepare
from sensorium.cli.recipes import recipes
from sensorium.cli.score import score
from sensorium.cli.tour import tour
from sensorium.cli.train import train
from sensorium.cli.verify import verify
from sensorium.errors import SensoriumError

app = typer.Typer(
    name="sensorium",
    help="Build your own language model: raw files in, a trained and understood Transformer out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (prepare, train, recipes, fill, generate, score, verify, tour):
    app.command()(verb)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Build your own language model: raw files in, a trained and understood Transformer out."""
    if debug:
        os.environ["SENSORIUM_DEBUG"] = "1"


def main() -> None:
    """The console script."""
    try:
        app()
    except SensoriumError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback unless asked for
        _fail(f"internal error: {type(error).__name__}: {error}. Please report it with what --debug shows", 1)


def _fail(message: str, code: int) -> None:
    if os.environ.get("SENSORIUM_DEBUG"):
        traceback.print_exc()
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
