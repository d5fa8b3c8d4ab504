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
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from sensorium.files import text_hash

_LONG = 2000
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def describe(value: Any) -> str:
    """The value in words.

    Args:
        value: a stage, or anything that is a setting of one.
    """
    text = _describe(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}… {text_hash(text)}"


def _describe(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return repr(value)
    if isinstance(value, PurePath):
        return repr(str(value))
    if isinstance(value, Mapping):
        return f"{{{', '.join(sorted(f'{_describe(k)}: {_describe(v)}' for k, v in value.items()))}}}"
    if isinstance(value, Set):
        return f"{{{', '.join(sorted(map(_describe, value)))}}}"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_describe, value))})"
    if isinstance(value, partial):
        return f"partial({_describe(value.func)}, {_describe(value.args)}, {_describe(value.keywords)})"
    if isinstance(value, MethodType):
        return f"{_describe(value.__self__)}.{value.__name__}"
    if isinstance(value, FunctionType | type):
        return f"{value.__module__}.{value.__qualname__}{_version(value)}"
    if isinstance(value, BuiltinFunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    return _object(value)


def _object(value: Any) -> str:
    kind = type(value)
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.repr}
    elif hasattr(value, "__dict__"):
        fields = dict(vars(value))
    else:
        return _ADDRESS.sub("", repr(value))
    own = "" if kind.__module__.startswith("sensorium.") else _version(kind)
    return f"{kind.__qualname__}{own}({', '.join(f'{name}={_describe(given)}' for name, given in fields.items())})"


def _version(thing: Any) -> str:
    """A few digits of the source's hash; nothing where there is none to be found."""
    try:
        return f"#{text_hash(inspect.getsource(thing))[:8]}"
    except (OSError, TypeError):
        return ""
