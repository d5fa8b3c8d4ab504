"""A value as a text that is the same in every process: what tells one run's stages from another's.

`repr` would not do: it shows functions by their address, and sets in the order of the day. A function, and a class that
is not of this package, also count by their source: a rule that was changed is another rule.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping, Set
from functools import partial
from pathlib import Path, PurePath
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from sensorium.files import text_hash

_LONG = 2000
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def describe(value: Any, *, stamped: bool = False) -> str:
    """The value in words.

    Args:
        value: a stage, or anything that is a setting of one.
        stamped: say of each path to a file how large it is and when it was changed, since a stage may read it.
    """
    text = _Words(stamped).of(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}… {text_hash(text)}"


@dataclasses.dataclass(frozen=True)
class _Words:
    stamped: bool

    def of(self, value: Any) -> str:
        """A value in words."""
        if value is None or isinstance(value, bool | int | float | str | bytes):
            return repr(value)
        if isinstance(value, PurePath):
            return repr(str(value)) + (_stamp(value) if self.stamped else "")
        if isinstance(value, Mapping):
            return f"{{{', '.join(sorted(f'{self.of(key)}: {self.of(held)}' for key, held in value.items()))}}}"
        if isinstance(value, Set):
            return f"{{{', '.join(sorted(map(self.of, value)))}}}"
        if isinstance(value, list | tuple):
            return f"({', '.join(map(self.of, value))})"
        if isinstance(value, partial):
            return f"partial({self.of(value.func)}, {self.of(value.args)}, {self.of(value.keywords)})"
        if isinstance(value, MethodType):
            return f"{self.of(value.__self__)}.{value.__name__}"
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return f"{value.__module__}.{value.__qualname__}{_version(value)}"
        if isinstance(value, BuiltinFunctionType):
            return f"{value.__module__}.{value.__qualname__}"
        return self._object(value)

    def _function(self, value: FunctionType) -> str:
        """A function by its source, what it has captured, and its defaults."""
        captured = [cell.cell_contents for cell in value.__closure__ or () if cell.cell_contents is not value]
        held = [part for part in (captured, value.__defaults__, value.__kwdefaults__) if part]
        return f"{value.__module__}.{value.__qualname__}{_version(value)}{self.of(held) if held else ''}"

    def _object(self, value: Any) -> str:
        kind = type(value)
        if dataclasses.is_dataclass(value):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.repr}
        elif hasattr(value, "__dict__"):
            fields = dict(vars(value))
        else:
            return _ADDRESS.sub("", repr(value))
        own = "" if kind.__module__.startswith("sensorium.") else _version(kind)
        return f"{kind.__qualname__}{own}({', '.join(f'{name}={self.of(given)}' for name, given in fields.items())})"


def _version(thing: Any) -> str:
    """A few digits of the source's hash; nothing where there is none to be found."""
    try:
        return f"#{text_hash(inspect.getsource(thing))[:8]}"
    except (OSError, TypeError):
        return ""


def _stamp(path: PurePath) -> str:
    """Size and time of change of a file; nothing where there is none."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return ""
    return f" ({status.st_size}, {status.st_mtime_ns})"
