"""Holds a piece of Python to the public API, without running it.

Names, calls and their results are followed as far as their types are plain classes of the package, or one of several:
then what any of them has is taken.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType, UnionType
from typing import Any, get_args, get_type_hints

import sensorium


class Usage(ast.NodeVisitor):
    """Visiting an expression gives what it stands for, or None where that is not known.

    Raises:
        ImportError, AttributeError: the package has no such name.
        TypeError: a function or a method does not take these arguments.
    """

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"sm": sensorium, "sensorium": sensorium}

    def check(self, code: str) -> None:
        """Hold one block to the API; the next may use what it names."""
        self.visit(ast.parse(code))

    def visit_Import(self, node: ast.Import) -> None:
        self._import(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._import(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        value = self.visit(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.names[target.id] = value
            else:
                self.visit(target)

    def visit_Name(self, node: ast.Name) -> Any:
        return self.names.get(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        owner = self.visit(node.value)
        return None if owner is None else _member(owner, node.attr)

    def visit_Call(self, node: ast.Call) -> Any:
        called = self.visit(node.func)
        for argument in (*node.args, *node.keywords):
            self.visit(argument)
        if isinstance(called, _OneOf):
            return _first(called.instances, lambda one: _result(one, node))
        return None if called is None else _result(called, node)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        """Only the package itself is imported: what else a document uses need not be installed."""
        statement = ast.unparse(node)
        if statement.split()[1].split(".")[0] == "sensorium":
            exec(statement, self.names)


def _member(owner: Any, name: str) -> Any:
    if isinstance(owner, _OneOf):
        able = [one for one in owner.instances if hasattr(type(one), name) or name in get_type_hints(type(one))]
        return _OneOf([_member(one, name) for one in able or owner.instances])
    if isinstance(owner, ModuleType | type):
        return getattr(owner, name)
    fields = get_type_hints(type(owner))
    if name in fields:
        return _instance(fields[name])
    found = inspect.getattr_static(owner, name)
    return _instance(get_type_hints(found.fget).get("return")) if isinstance(found, property) else getattr(owner, name)


def _instance(kind: Any) -> Any:
    """A hollow instance of a class of the package: its methods are there, its fields are known by their types."""
    if isinstance(kind, UnionType):
        instances = [_instance(part) for part in get_args(kind)]
        return _OneOf(instances) if all(one is not None for one in instances) else None
    ours = isinstance(kind, type) and kind.__module__.startswith("sensorium") and not inspect.isabstract(kind)
    return object.__new__(kind) if ours else None


class _OneOf:
    """What is an instance of one of several classes."""

    def __init__(self, instances: list[Any]) -> None:
        self.instances = instances


def _result(called: Any, node: ast.Call) -> Any:
    """What a call gives."""
    _bind(inspect.signature(called), node)
    return _instance(called if isinstance(called, type) else get_type_hints(called).get("return"))


def _first(candidates: list[Any], use: Callable[[Any], Any]) -> Any:
    """The result of the first that can be used so; the last one's error, if none can."""
    for candidate in candidates[:-1]:
        with suppress(TypeError):
            return use(candidate)
    return use(candidates[-1])


def _bind(signature: inspect.Signature, call: ast.Call) -> None:
    """An ellipsis or a star stands for arguments that are not shown."""
    named = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    hidden = len(named) < len(call.keywords) or any(
        isinstance(argument, ast.Starred) or (isinstance(argument, ast.Constant) and argument.value is ...)
        for argument in call.args
    )
    if hidden:
        signature.bind_partial(**named)
    else:
        signature.bind(*call.args, **named)
