"""The gaps of a catalogue are filled as `translate` does, and nothing else in it changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from sensorium.tasks.model import load
from tests.inference.seq2seq import marian, saved

PROGRAM = Path(__file__).parents[2] / "examples" / "translate_strings.py"
CATALOGUE = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"

#: app.py:1
msgid "the cat"
msgstr ""

msgid "the band"
msgstr "die Gruppe"

msgid "an ant, %s"
msgstr ""

msgid "a cat"
msgid_plural "{n} cats"
msgstr[0] ""
msgstr[1] ""
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strings") / "marian"
    saved(marian(), folder, ending=4.0)
    return folder


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), *arguments], capture_output=True, check=True, timeout=120, encoding="utf-8"
    )


def test_gaps_are_filled_and_marked_and_the_rest_stays(model: Path, tmp_path: Path) -> None:
    given, out, terms = tmp_path / "app.po", tmp_path / "new.po", tmp_path / "terms.tsv"
    given.write_text(CATALOGUE, encoding="utf-8")
    terms.write_text("ant\tcat\n", encoding="utf-8")
    done = run(str(model), str(given), "--out", str(out), "--glossary", str(terms))
    assert done.stdout.startswith("2 messages translated")
    assert given.read_text(encoding="utf-8") == CATALOGUE
    with out.open("rb") as file:
        found = {message.id: message for message in read_po(file) if message.id}
    assert found["the cat"].string == load(model).translate("the cat", beam=4).text
    assert found["the cat"].fuzzy
    assert found["the cat"].locations == [("app.py", 1)]
    assert "%s" in found["an ant, %s"].string
    assert "cat" in found["an ant, %s"].string
    assert (found["the band"].string, found["the band"].fuzzy) == ("die Gruppe", False)
    assert found["a cat", "{n} cats"].string == ("", "")
