"""`sensorium VERB ...`: the verbs put together, and errors turned into one line and an exit code.

Unusual: every verb imports what it needs when it runs, so that `sensorium --help` is instant.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Annotated, Any, NoReturn, TextIO, cast

import typer

from sensorium import __version__
from sensorium.cli.align import align
from sensorium.cli.answer import answer
from sensorium.cli.backtranslate import backtranslate
from sensorium.cli.caption import caption
from sensorium.cli.chat import chat
from sensorium.cli.classify import classify
from sensorium.cli.corpus import corpus
from sensorium.cli.evaluate import evaluate
from sensorium.cli.fill import fill
from sensorium.cli.fuse import fuse
from sensorium.cli.generate import generate
from sensorium.cli.give_eyes import give_eyes
from sensorium.cli.predict import predict
from sensorium.cli.prepare import prepare
from sensorium.cli.pretrain import pretrain
from sensorium.cli.recipes import recipes
from sensorium.cli.score import score
from sensorium.cli.search import search
from sensorium.cli.tag import tag
from sensorium.cli.tour import tour
from sensorium.cli.train import train
from sensorium.cli.transcribe import transcribe
from sensorium.cli.translate import translate
from sensorium.cli.verify import verify
from sensorium.errors import InputError, SensoriumError
from sensorium.files import DiskError, disk_errors, unreadable

app = typer.Typer(
    name="sensorium",
    help="Build your own language model: raw files in, a trained and understood Transformer out.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""Click's, which Typer brings along under a name of its own."""
_OUTPUT = "standard output"
for verb in (
    prepare, train, recipes, fill, generate, translate, backtranslate, transcribe,
    give_eyes, caption, chat,
    align, search, pretrain, fuse, predict,
    score, classify, tag, answer, evaluate, verify, tour,
):  # fmt: skip
    app.command()(verb)
app.add_typer(corpus, name="corpus")


def _version(asked: bool | None) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool | None, typer.Option("--version", callback=_version, is_eager=True)] = None,
) -> None:
    """Build your own language model: raw files in, a trained and understood Transformer out."""
    if debug:
        os.environ["SENSORIUM_DEBUG"] = "1"


def main() -> None:
    """The console script."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        sys.stdout = cast(TextIO, _Output(sys.stdout))
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        sys.stdout.flush()
    except SensoriumError as error:
        if isinstance(error, DiskError) and error.where == _OUTPUT:
            _silence()
        _fail(str(error), error.exit_code)
    except _UsageError as error:
        _fail(_usage(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 130)
    except BrokenPipeError:
        _silence()
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback unless asked for
        if isinstance(error, OSError) and error.filename is not None:
            _fail(str(told := unreadable(error)), told.exit_code)
        _fail(f"internal error: {type(error).__name__}: {error}. Please report it with what --debug shows", 1)
    if code == 130:  # how newer versions of Typer hand on Ctrl-C
        _fail("interrupted", 130)
    sys.exit(code)


class _Output:
    """Standard output; a write that it refuses is told as such, whatever else the verb reads and writes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with disk_errors(_OUTPUT):
            written: int = self._stream.write(text)
            return written

    def flush(self) -> None:
        with disk_errors(_OUTPUT):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _terminate(number: int, frame: object) -> None:
    """SIGTERM unwinds the stack, so that what is half-written is cleared away."""
    sys.exit(128 + number)


def _usage(error: Exception) -> str:
    """A mistake in the arguments, and where to look them up."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "sensorium"
    message = getattr(error, "format_message", error.__str__)()
    return str(InputError(message.rstrip("."), fix=f"See: {command} --help"))


def _silence() -> None:
    """Nobody can read standard output any more: let what is still buffered go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> NoReturn:
    if os.environ.get("SENSORIUM_DEBUG"):
        traceback.print_exc()
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
