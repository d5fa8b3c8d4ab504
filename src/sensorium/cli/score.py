"""`sensorium score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import DeviceOption, EngineOption, open_model
from sensorium.cli.printing import print_json, text_of_stdin


def score(
    model: Annotated[str, typer.Argument(help="A model folder, a .gguf file, or `default`.")],
    file: Annotated[str, typer.Argument(help="A UTF-8 text file; - is standard input.")],
    method: Annotated[
        str | None, typer.Option(help="`causal` or `pseudo` (each token masked); by default what the model can.")
    ] = None,
    engine: EngineOption = None,
    device: DeviceOption = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print as JSON, with every token's log-probability.")] = False,
) -> None:
    """Measure how well a model predicts a text."""
    from sensorium.errors import InputError, unknown

    if method is not None and method not in ("causal", "pseudo"):
        raise InputError(unknown("method", method, ("causal", "pseudo")))
    try:
        text = text_of_stdin() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(error.strerror or "cannot be read", where=file, fix="Name a text file, or -") from error
    except UnicodeDecodeError as error:
        raise InputError("not valid UTF-8", where=file, fix="Convert it to UTF-8 first") from error
    found = open_model(model, engine, device).score(text, method=method)  # type: ignore[arg-type]
    if json:
        print_json(found)
        return
    typer.echo(f"       tokens: {len(found.logprobs):,}")
    typer.echo(f"   perplexity: {found.perplexity:.3f} a token ({found.method})")
    typer.echo(f"bits per byte: {found.bits_per_byte:.4f}")
