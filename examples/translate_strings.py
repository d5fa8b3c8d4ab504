"""Fill what is untranslated in a gettext catalogue, for a translator to go through.

    python examples/translate_strings.py runs/strings app.po --to zh --out app.new.po [--glossary terms.tsv]

Every message that gets a translation is marked fuzzy, so that msgfmt leaves it out until somebody has read it. A
message of several forms is left alone: which forms a language has, a model doesn't know. Takes `pip install babel`.
"""

import argparse
from pathlib import Path

from babel.messages.pofile import read_po, write_po

import sensorium as sm
from sensorium.tasks.glossary_file import read_glossary


def fill(
    model: str | Path, catalogue: Path, out: Path, *, to: str | None = None, glossary: dict[str, str] | None = None
) -> int:
    """Write the catalogue with its gaps filled; how many there were."""
    with catalogue.open("rb") as file:
        messages = read_po(file)
    gaps = [message for message in messages if isinstance(message.id, str) and message.id and not message.string]
    lm = sm.load(model)
    made = lm.translate([gap.id for gap in gaps], target=to, beam=4, glossary=glossary)
    for gap, found in zip(gaps, made, strict=True):
        gap.string = found.text
        gap.flags.add("fuzzy")
        gap.auto_comments.append(f"machine translation, {found.score:.2f}")
    with out.open("wb") as file:
        write_po(file, messages)
    return len(gaps)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--to", help="the language, where the model knows several")
    parser.add_argument("--glossary", type=Path, help="lines of term<tab>translation, or a JSON object")
    given = parser.parse_args()
    terms = read_glossary(given.glossary) if given.glossary else None
    count = fill(given.model, given.catalogue, given.out, to=given.to, glossary=terms)
    print(f"{count} messages translated: {given.out}")
