"""What the package imports is declared, and nothing else is."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]


def imported() -> Iterator[str]:
    """The top-level name of every import statement, wherever it stands in a file."""
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.split(".")[0]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w-]", requirement)[0] for requirement in requirements}


def test_the_package_imports_what_it_declares_and_nothing_else() -> None:
    distributions = packages_distributions()
    needed = {
        distributions[name][0].lower() for name in {*imported()} - {*sys.stdlib_module_names} if name != "sensorium"
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = names(project["dependencies"])
    extras = names(project["optional-dependencies"]["transformers"])
    assert core <= needed, f"declared and not imported: {core - needed}"
    assert needed <= core | extras, f"imported and not declared: {needed - core - extras}"
