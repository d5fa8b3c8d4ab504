"""The command line as text: every command of the live app, its arguments and its options."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, get_type_hints

import typer

from sensorium.cli.app import app

RENEW = "python -m tests.house_rules.cli > tests/house_rules/cli.txt"


def surface() -> str:
    """One paragraph a command, one line a parameter; what has no default is required."""
    group: Any = typer.main.get_command(app)
    return "\n\n".join(_paragraph(title, command) for title, command in _commands("sensorium", group))


def parse(arguments: list[str]) -> None:
    """Parse a command line as `sensorium` does, and run nothing.

    Raises:
        Exception: the usage error that a user would see.
    """
    group: Any = typer.main.get_command(app)
    for _, command in _commands("sensorium", group):
        command.callback = lambda **_: None
    group(arguments or ["--help"], "sensorium", standalone_mode=False)


def _commands(title: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command and, of a group, those in it."""
    yield title, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(f"{title} {name}", inner)


def _paragraph(title: str, command: Any) -> str:
    return "\n".join((title, *_parameters(command)))


def _parameters(command: Any) -> Iterator[str]:
    verb = inspect.unwrap(command.callback)
    hints, declared = get_type_hints(verb), inspect.signature(verb).parameters
    for parameter in command.params:
        if parameter.name not in declared:  # Typer's own, for shell completion
            continue
        argument = parameter.param_type_name == "argument"
        name = parameter.name.upper() if argument else "/".join((*parameter.opts, *parameter.secondary_opts))
        default = "" if parameter.required else f" = {declared[parameter.name].default}"
        yield f"    {name}: {inspect.formatannotation(hints[parameter.name])}{default}"


if __name__ == "__main__":
    print(surface())
