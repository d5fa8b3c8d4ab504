"""What the bundled translator learns from and is measured on: LibreOffice's help, English and Chinese.

Other packages are left out for their licences: weights under Apache-2.0 are made from texts under MPL-2.0 alone. Pairs
of up to 120 characters are taken, as in `benchmarks/translation_quality.py`.
"""

from __future__ import annotations

from pathlib import Path

import sensorium as sm
from benchmarks.data_parallel import split
from benchmarks.translation_quality import CHARACTERS, read

LEARNED = "libreoffice-help"
TESTED = ("gnome-user-docs", "evolution-common")
HELD_OUT = 0.02


def gather(work: Path) -> tuple[Path, Path]:
    """A corpus of both directions, two in a hundred pairs of it held out, and a table of texts of other programs."""
    corpus, tested = work / "corpus", work / "test.en-zh.tsv"
    if not corpus.is_dir():
        learned, tested = split("zh", list(TESTED), work)
        table = work / f"{LEARNED}.en-zh.tsv"
        pairs = [f"{a}\t{b}\n" for package, a, b in read(learned) if package == LEARNED]
        table.write_text("".join(["en\tzh\n", *pairs]), encoding="utf-8")
        sm.prepare_parallel(
            table, out=corpus, source="en", target="zh", both_ways=True, validation=HELD_OUT, max_characters=CHARACTERS
        )
    return corpus, tested
