"""What the verbs that use a model share: how it is opened, as options and as the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from sensorium.inference.open import EngineName
    from sensorium.tasks.model import LanguageModel

EngineOption = Annotated[
    str | None, typer.Option(help="native or transformers; by default native for every family that the core knows.")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]


def columns_of(text: str | None, *, example: str) -> dict[str, str] | None:
    """What the columns hold, written as `text=body,label=stars`.

    Raises:
        InputError: it does not read so.
    """
    from sensorium.errors import InputError

    if text is None:
        return None
    parts = [part.partition("=") for part in text.split(",")]
    if not all(role.strip() and equals and name.strip() for role, equals, name in parts):
        raise InputError(f"--columns {text!r} has another form", fix=f"Write for example: --columns {example}")
    return {role.strip(): name.strip() for role, _, name in parts}


def open_model(model: str, engine: str | None, device: str) -> LanguageModel:
    """Load a model as the options say.

    Raises:
        InputError: there is no such model, engine or device.
    """
    from sensorium.errors import InputError, unknown
    from sensorium.tasks.model import load

    if engine not in (None, "native", "transformers"):
        raise InputError(unknown("engine", engine, ("native", "transformers")))
    return load(model, engine=cast("EngineName | None", engine), device=device)
