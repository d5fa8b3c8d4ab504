"""The error family: every failure that a user can cause or mend is a `SensoriumError`.

A message says what is wrong, where it is (file, line, column, key), and what to do about it.
The command line prints the message alone; the exit code is the class's own: 2 for bad usage or bad
input, 1 for work that failed.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import ClassVar


class SensoriumError(Exception):
    """The root of the family. Carries what is wrong, where, and what to do, as one line."""

    exit_code: ClassVar[int] = 1

    def __init__(self, problem: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.problem = problem
        self.where = where
        self.fix = fix
        line = f"{where}: {problem}" if where else problem
        end = "" if line.endswith(("?", "!", ".")) else "."
        super().__init__(f"{line}{end} {fix}" if fix else line)


class InputError(SensoriumError):
    """What was given cannot be used: an unknown path, an empty prompt, an argument out of range."""

    exit_code = 2


class ConfigError(SensoriumError):
    """A recipe or a model configuration holds a wrong, missing or unsupported key or value."""

    exit_code = 2


class DataError(SensoriumError):
    """A data file or a corpus is empty, corrupt or too small for what is asked of it."""

    exit_code = 2


class CheckpointError(SensoriumError):
    """A model folder or file is incomplete, corrupt, or does not fit the model that it names."""

    exit_code = 2


class CapabilityError(SensoriumError):
    """The model, or this installation, cannot do what is asked; the message says what can."""

    exit_code = 2


class TrainingError(SensoriumError):
    """Training stopped: the loss is not finite, or the run cannot go on."""


class EngineError(SensoriumError):
    """An inference engine failed while it worked."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be, or None."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def unknown(kind: str, word: str, known: Iterable[str]) -> str:
    """A sentence that names the unknown word, its likeliest meaning, and all that is known."""
    names = sorted(known)
    guess = closest(word, names)
    hint = f"; did you mean {guess!r}?" if guess else ""
    return f"unknown {kind} {word!r}{hint} (known: {', '.join(names)})"


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or raise with the line that installs it.

    Raises:
        CapabilityError: `module` is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CapabilityError(
            f"{purpose} needs the package {module!r}, which is not installed ({error})",
            fix=f"Install it with: pip install 'sensorium[{extra}]'",
        ) from error
