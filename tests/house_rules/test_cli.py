"""The command line is the frozen one: nothing in it changes by accident."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path

import pytest

from tests.house_rules.cli import RENEW, parse, surface


def test_the_command_line_is_the_frozen_one() -> None:
    frozen = Path(__file__).with_name("cli.txt").read_text(encoding="utf-8")
    changes = "\n".join(unified_diff(frozen.splitlines(), surface().splitlines(), "frozen", "live", lineterm=""))
    assert not changes, f"the command line has changed:\n{changes}\nIf that is meant: {RENEW}"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("frobnicate", "No such command"),
        ("recipes --jsno", "No such option"),
        ("verify", "Missing"),
        ("recipes more", "unexpected"),
        ("fill m t --top-k many", "--top-k"),
    ],
)
def test_a_wrong_command_line_does_not_parse(line: str, complaint: str) -> None:
    with pytest.raises(Exception) as raised:  # Typer has had several classes for it
        parse(line.split())
    assert complaint in raised.value.format_message()
