"""The whole of `prepare` against datatrove's local executor: the same filters, the same near-deduplication.

    python -m venv peer && peer/bin/pip install 'datatrove[io,processing]' spacy
    python -m benchmarks.prepare --peer peer/bin/python

English documents (`data_text.py`) lie as JSON Lines in as many files as there are processes. Both sides read them, take
lines out and drop documents by the rules of C4, Gopher and FineWeb, drop near-duplicates by MinHash, and write what is
left; all limits are the same. Each turn is a process of its own, by the wall clock from its start to its end. The
peer's way of telling words is its default (spaCy). It compares no signatures, so ours is told to take any equal band
for a near-duplicate too. What it does not do here is measured apart: all of it and repairing the Unicode, dropping
equal documents, a new tokenizer and the tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import ROUNDS, Comparison, machine, report
from benchmarks.data_text import english
from scripts.fetch import FetchError
from sensorium.data.cleaning.text import Clean
from sensorium.data.dedup import NearDuplicates, SameDocuments
from sensorium.data.quality.c4 import C4Documents, C4Lines
from sensorium.data.quality.fineweb import FineWeb
from sensorium.data.quality.gopher import Gopher
from sensorium.data.quality.together import Together
from sensorium.data.reading.documents import MAX_DOCUMENT
from sensorium.data.stages import Stage

NGRAM, BANDS, ROWS = 5, 14, 8
WANTED = 5.0
HOW = "python -m venv peer && peer/bin/pip install 'datatrove[io,processing]' spacy"


def stages() -> list[Stage]:
    """What both sides do."""
    near = NearDuplicates(ngram=NGRAM, bands=BANDS, rows=ROWS, threshold=ROWS / (BANDS * ROWS))
    filters = Gopher(), C4Documents(), FineWeb(max_repeated_characters=0.01)
    return [C4Lines(), Together(filters), near]


def ours(source: Path, out: Path, *, workers: int) -> None:
    """Up to the documents that are left, as Parquet in `out/kept`."""
    import pyarrow.parquet as pq

    from sensorium.data.prepare.arrow import read_arrow
    from sensorium.data.prepare.engine import Engine
    from sensorium.data.prepare.executor import hired
    from sensorium.data.prepare.reading import Reading, parts_of
    from sensorium.data.prepare.units import in_units
    from sensorium.data.prepare.work import Work
    from sensorium.data.sample import Ledger

    pipeline, ledger = stages(), Ledger()
    units, work = in_units(parts_of([source], ledger)), Work(out / "work", out)
    work.folder.mkdir()
    with hired(None, workers, len(units), pipeline) as workforce:
        engine = Engine(work=work, units=units, executor=workforce, strict=True, show_progress=False)
        segments = engine.segments(pipeline, Reading("text", strict=True), 0)
        engine.run(segments)
    (out / "kept").mkdir()
    for unit in engine.left(segments[-1]):
        batches = read_arrow(segments[-1].path(unit, ".arrow"))
        first = next(batches)
        with pq.ParquetWriter(out / "kept" / f"{unit.number:05}.parquet", first.schema, compression="zstd") as writer:
            for batch in (first, *batches):
                writer.write_batch(batch)
    work.remove()


def whole(source: Path, out: Path, *, workers: int) -> None:
    """`sensorium.prepare` with these stages, repaired Unicode, equal documents dropped, and tokens."""
    import sensorium as sm

    lines, quality, near = stages()
    pipeline = [Clean(), lines, quality, SameDocuments(), near]
    sm.prepare(
        source, out=out / "corpus", stages=pipeline, workers=workers, keep_text=True, strict=True, show_progress=False
    )


SIDES = {"ours": ours, "whole": whole}


def turn(command: Sequence[str], source: Path, out: Path, workers: int) -> float:
    """Megabytes a second of the input of one process and those that it starts."""
    begun = time.perf_counter()
    done = subprocess.run(
        [*command, str(source), str(out), "--workers", str(workers)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return sum(path.stat().st_size for path in source.iterdir()) / 1e6 / (time.perf_counter() - begun)


@dataclass(frozen=True)
class Row:
    """A document of the input."""

    id: str
    corpus: str
    long: bool
    """Whether ours cuts it into several."""


def rows_of(path: Path) -> list[Row]:
    """The documents of a file."""
    rows = (json.loads(line) for line in path.open(encoding="utf-8"))
    return [Row(row["id"], row["corpus"], len(row["text"]) > MAX_DOCUMENT) for row in rows]


def kept_by_us(out: Path, rows: Mapping[str, Sequence[Row]]) -> set[str]:
    """The ids of the documents that ours kept, by the line that each stood in: `file:12`, `file:12#2`."""
    import pyarrow.parquet as pq

    kept = set[str]()
    for path in sorted((out / "kept").iterdir()):
        for place in pq.read_table(path, columns=["source"])["source"].to_pylist():
            name, _, line = place.rpartition(":")
            kept.add(rows[Path(name).name][int(line.partition("#")[0]) - 1].id)
    return kept


def kept_by_them(out: Path) -> set[str]:
    """The ids of the documents that the peer kept."""
    return {json.loads(line)["id"] for path in sorted((out / "kept").iterdir()) for line in path.open(encoding="utf-8")}


def agreement(us: set[str], them: set[str], rows: Iterable[Row]) -> list[str]:
    """In words: on how many documents both sides agree, of all and of each corpus."""
    of_corpus: dict[str, list[str]] = {}
    for row in rows:
        if not row.long:
            of_corpus.setdefault(row.corpus, []).append(row.id)
    judged = {id for ids in of_corpus.values() for id in ids}
    us, them = us & judged, them & judged
    told = [
        f"of {len(judged):,} documents that ours does not cut: {len(us):,} kept by ours, {len(them):,} by datatrove; "
        f"the same verdict on {1 - len(us ^ them) / len(judged):.2%}; of those that either keeps "
        f"{len(us & them) / max(1, len(us | them)):.2%} are kept by both"
    ]
    for corpus, ids in of_corpus.items():
        differ = [id for id in ids if (id in us) != (id in them)]
        told.append(f"{corpus}: the same verdict on {1 - len(differ) / len(ids):.2%} of {len(ids):,}")
    return told


def main() -> None:
    """Turns of all sides, then what was kept; or one side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--peer", default=os.environ.get("SENSORIUM_PEER"), help="a Python that has datatrove[io,processing] and spacy"
    )
    parser.add_argument("--megabytes", type=float, default=50.0, help="of text; there are 75")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--side", choices=SIDES, help="run this alone, with SOURCE and OUT")
    parser.add_argument("paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        SIDES[given.side](*given.paths, workers=given.workers)
        return
    source = english(given.workers, given.megabytes)[0].parent
    rows = {path.name: rows_of(path) for path in sorted(source.iterdir())}
    sides = {name: [sys.executable, "-m", "benchmarks.prepare", "--side", name] for name in SIDES}
    if given.peer:
        sides["datatrove"] = [given.peer, str(Path(__file__).with_name("prepare_peer.py"))]
    rates: dict[str, list[float]] = {name: [] for name in sides}
    kept: dict[str, set[str]] = {}
    for number in range(given.rounds):
        for name, command in sides.items():
            if name == "whole" and number:
                continue
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder)
                rates[name].append(turn(command, source, out, given.workers))
                if number == 0 and name != "whole":
                    kept[name] = kept_by_us(out, rows) if name == "ours" else kept_by_them(out)
    documents = [row for listed in rows.values() for row in listed]
    size = sum(path.stat().st_size for path in source.iterdir()) / 1e6
    title = f"Preparing {size:.0f} MB, {len(documents):,} documents, {given.workers} processes"
    notes = [
        f"once, all of `sensorium.prepare` on the same, tokenizer and tokens included: {rates['whole'][0]:.1f} MB/s"
    ]
    if "datatrove" in sides:
        notes += agreement(kept["ours"], kept["datatrove"], documents)
        comparison = Comparison(tuple(rates["ours"]), tuple(rates["datatrove"]))
        report(title, peers={"datatrove, local executor": comparison}, unit="MB/s", targets=[WANTED], notes=notes)
        return
    notes += [
        f"kept: {len(kept['ours']):,} documents",
        f"the peer is not measured; for that: `{HOW}`, then `--peer peer/bin/python`",
    ]
    print(f"### {title}\n\n- up to the kept text: {statistics.median(rates['ours']):.1f} MB/s")
    print("\n".join(f"- {note}" for note in notes) + f"\n\n{machine()}\n")


if __name__ == "__main__":
    try:
        main()
    except FetchError as error:
        sys.exit(f"error: {error}")
