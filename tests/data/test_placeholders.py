"""What a translation must carry over is found, and nothing else is taken for it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.data.parallel.placeholders import agree, find, placeholders


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%s of %d files", ["%s", "%d"]),
        ("%1$s and %2$-5.2f", ["%1$s", "%2$-5.2f"]),
        ("%(name)s, %(count)05d", ["%(name)s", "%(count)05d"]),
        ("%s文件", ["%s"]),
        ("%d%s", ["%d", "%s"]),
        ("100%% sure", ["%%"]),
        ("%1 of %2, %n files", ["%1", "%2", "%n"]),
        ("%ld %lu %@", ["%ld", "%lu", "%@"]),
        ("{name} {0} {} {x:.2f} {{raw}}", ["{name}", "{0}", "{}", "{x:.2f}", "{{raw}}"]),
        ("$HOME ${VAR} $(EXE) $side|", ["$HOME", "${VAR}", "$(EXE)", "$side"]),
        ('<b>x</b> <br/> <a href="y">', ["<b>", "</b>", "<br/>", '<a href="y">']),
        ("&amp; &#169; &#xA9;", ["&amp;", "&#169;", "&#xA9;"]),
        ("50% discount, 100%ig, 5 % des, 12%d'eau", []),
        ("a < b > c, R&D; 3 & 4; {not one}, it costs $5", []),
        ("%sample", []),
    ],
)
def test_placeholders_are_found(text: str, expected: list[str]) -> None:
    assert placeholders(text) == expected


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ("%s of %d", "%d 中的 %s", True),
        ("%s of %s", "%s", False),
        ("<b>a</b>", "<b>甲</b>", True),
        ("<b>a</b>", "<i>甲</i>", False),
        ("<b>a", "</b>甲", False),
        ('<a href="en.html" title="Help">', '<a title="Aide" href="fr.html">', True),
        ("{name}", "{nom}", False),
        ("one file", "%d 个文件", False),
        ("nothing", "没有", True),
    ],
)
def test_sides_agree_if_they_hold_the_same(a: str, b: str, equal: bool) -> None:
    assert agree(a, b) is equal
    assert agree(b, a) is equal


@given(st.text(alphabet="%sd1$({})<>&;ab /\\%#x ", max_size=40))
def test_places_are_those_of_the_text(text: str) -> None:
    found = find(text)
    assert [text[match.start() : match.end()] for match in found] == placeholders(text)
    assert all(one.end() <= two.start() for one, two in pairwise(found))
    assert agree(text, text)
