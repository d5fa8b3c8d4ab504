"""The reference has every public module once, and every name that the package offers."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import sensorium

ROOT = Path(__file__).parents[2]
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md")}
ENTRY = re.compile(r"^::: (\S+)$", re.MULTILINE)


def public_modules() -> set[str]:
    """Every module and package, but for the command line, which `--help` describes."""
    paths = (path.relative_to(ROOT / "src").with_suffix("").parts for path in (ROOT / "src").rglob("*.py"))
    modules = (parts[:-1] if parts[-1] == "__init__" else parts for parts in paths)
    return {
        ".".join(parts)
        for parts in modules
        if not any(part.startswith("_") for part in parts) and parts[:2] != ("sensorium", "cli")
    }


def test_every_public_module_has_one_entry() -> None:
    entries = Counter(entry for text in PAGES.values() for entry in ENTRY.findall(text))
    assert dict(entries) == dict.fromkeys(public_modules(), 1)


def test_every_page_stands_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert not [name for name in PAGES if f"reference/{name}" not in navigation]


def test_the_first_page_leads_to_every_name_of_the_package() -> None:
    offered = {name: getattr(sensorium, name) for name in sensorium.__all__ if name != "__version__"}
    linked = dict(re.findall(r"^\| \[`(\w+)`\]\[([\w.]+)\] \|", PAGES["sensorium.md"], re.MULTILINE))
    assert linked == {name: f"{value.__module__}.{value.__qualname__}" for name, value in offered.items()}
