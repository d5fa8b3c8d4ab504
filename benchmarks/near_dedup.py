"""Near-duplicates: how many planted ones are found, how fast, in how much memory, and that the time grows linearly.

    python -m benchmarks.near_dedup

The texts are windows of Jane Austen's novels; the copies have words replaced, taken out and put in, and their exact
Jaccard similarity of 5-grams is computed from the sets themselves. `datasketch` (MinHashLSH) is the peer for what is
found, where it is installed; it needs all signatures in memory.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.common import machine, side
from benchmarks.data import paragraphs
from sensorium.data.dedup import NearDuplicates
from sensorium.data.stages import documents

_BATCH = 10_000
_EDGES = (0.0, 0.5, 0.6, 0.65, 0.7, 0.75, 0.78, 0.82, 0.85, 0.9, 0.95, 1.01)


def planted(*, originals: int, copies: int, seed: int = 0, words: int = 150) -> tuple[list[str], dict[int, float]]:
    """Documents of real text, among them edited copies, shuffled.

    Args:
        originals: documents that are no copies.
        copies: of different originals, each edited by its own share of words.
        seed: of the choice and the edits.
        words: of a document.

    Returns:
        The documents, and of each copy, or of its original if that comes later, the Jaccard similarity of the two.
    """
    chance = random.Random(seed)
    novels = [word for text in paragraphs() for word in text.split()]
    vocabulary = sorted({word.lower() for word in novels})
    begins = chance.sample(range(0, len(novels) // words * words, words), min(originals, len(novels) // words))
    made = [novels[begin : begin + words] for begin in begins]
    pairs = [(row, _edited(made[row], vocabulary, chance)) for row in chance.sample(range(len(made)), copies)]
    all_words = made + [copy for _, copy in pairs]
    order = list(range(len(all_words)))
    chance.shuffle(order)
    place = {row: at for at, row in enumerate(order)}
    jaccard = {}
    for number, (row, copy) in enumerate(pairs):
        later = max(place[row], place[len(made) + number])
        jaccard[later] = exact_jaccard(made[row], copy)
    return [" ".join(all_words[row]) for row in order], jaccard


def _edited(words: Sequence[str], vocabulary: Sequence[str], chance: random.Random) -> list[str]:
    """A copy in which up to one word in ten is replaced, gone, or followed by another."""
    share = chance.choice((0.0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.05, 0.1))
    edited = []
    for word in words:
        kind = chance.choice("rdi") if chance.random() < share else ""
        if kind != "d":
            edited.append(chance.choice(vocabulary) if kind == "r" else word)
        if kind == "i":
            edited.append(chance.choice(vocabulary))
    return edited


def exact_jaccard(first: Sequence[str], second: Sequence[str], n: int = 5) -> float:
    """The Jaccard similarity of the n-grams of the words' letters and digits in lower case."""
    sets = []
    for words in (first, second):
        letters = "".join(c if c.isalnum() else " " for c in " ".join(words).lower()).split()
        sets.append({tuple(letters[at : at + n]) for at in range(max(1, len(letters) - n + 1))})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def deduplicate(stage: NearDuplicates, batches: Iterator[pa.RecordBatch], folder: Path) -> dict[str, float]:
    """Keys, decision and verdicts, with the files between them; the processor's seconds, and which rows go."""
    (folder / "scratch").mkdir()
    took, size, staged = {"keys": 0.0, "decide": 0.0, "apply": 0.0}, 0, folder / "texts"
    empty = stage.keys(documents([], []))
    with (
        pa.ipc.new_file(str(folder / "keys"), empty.schema) as keys,
        pa.ipc.new_file(str(staged), documents([], []).schema) as texts,
    ):
        for batch in batches:
            texts.write_batch(batch)
            size += batch.column("text").nbytes
            start = time.process_time()
            keys.write_batch(stage.keys(batch))
            took["keys"] += time.process_time() - start
    start = time.process_time()
    counts = stage.decide([folder / "keys"], [folder / "out"], folder / "scratch")
    took["decide"] = time.process_time() - start
    rows, gone = 0, []
    with pa.OSFile(str(staged)) as file, pa.OSFile(str(folder / "out")) as decided:
        reader, verdicts = pa.ipc.open_file(file), pa.ipc.open_file(decided)
        for at in range(reader.num_record_batches):
            batch = reader.get_batch(at)
            start = time.process_time()
            judged = stage.apply(batch, verdicts.get_batch(at))
            took["apply"] += time.process_time() - start
            gone.append(rows + np.flatnonzero(judged.reasons.is_valid().to_numpy(zero_copy_only=False)))
            rows += batch.num_rows
    return {**took, **counts, "bytes": size, "gone": np.concatenate(gone).tolist()}  # type: ignore[dict-item]


def _ours(texts: Sequence[str], stage: NearDuplicates) -> set[int]:
    with tempfile.TemporaryDirectory() as name:
        batches = (
            documents(texts[at : at + _BATCH], [f"f#{row}" for row in range(at, min(at + _BATCH, len(texts)))])
            for at in range(0, len(texts), _BATCH)
        )
        return set(deduplicate(stage, batches, Path(name))["gone"])  # type: ignore[call-overload]


def _theirs(texts: Sequence[str]) -> set[int] | None:
    """What datasketch finds with as many permutations and the threshold 0.7; each is asked for, then put in."""
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError:
        return None
    lsh, gone = MinHashLSH(threshold=0.7, num_perm=112), set()
    for row, text in enumerate(texts):
        letters = "".join(c if c.isalnum() else " " for c in text.lower()).split()
        runs = {" ".join(letters[at : at + 5]).encode() for at in range(max(1, len(letters) - 4))}
        signed = MinHash(num_perm=112)
        signed.update_batch(runs)
        if lsh.query(signed):
            gone.add(row)
        lsh.insert(row, signed)
    return gone


def _short(count: int) -> Iterator[pa.RecordBatch]:
    """So many documents of 50 words drawn from the novels as often as they occur there; one in ten is a copy."""
    words = np.array([word for text in paragraphs() for word in text.split()], dtype=object)
    chance = np.random.default_rng(0)
    before: list[str] = []
    for start in range(0, count, _BATCH):
        drawn = words[chance.integers(0, len(words), (min(_BATCH, count - start), 50))]
        texts = [" ".join(row) for row in drawn]
        copied = chance.random(len(texts)) < 0.1
        for at in np.flatnonzero(copied) if before else ():
            copy = before[int(chance.integers(len(before)))].split()
            copy[int(chance.integers(50))] = "another"
            texts[at] = " ".join(copy)
        before = texts
        yield documents(texts, [f"made.jsonl#{row}" for row in range(start, start + len(texts))])


def _side(count: int) -> None:
    """One size in a process of its own; prints JSON."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        made = deduplicate(NearDuplicates(), _short(count), Path(name))
    made["wall"] = time.perf_counter() - begin
    made["gone"] = len(made["gone"])  # type: ignore[arg-type]
    made["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(made))


def _quality() -> None:
    texts, jaccard = planted(originals=4500, copies=4000)
    ours = _ours(texts, NearDuplicates())
    found = {
        "Sensorium": ours,
        "14 bands of 8, 0.75": _ours(texts, NearDuplicates(bands=14, rows=8, threshold=0.75)),
        "datasketch": _theirs(texts),
    }
    sides = {name: rows for name, rows in found.items() if rows is not None}
    print(f"### Planted near-duplicates found, {len(texts):,} documents\n")
    print(f"| exact Jaccard of 5-grams | pairs | {' | '.join(sides)} |\n|---|---|{'---|' * len(sides)}")
    true = np.array([jaccard.get(row, -1.0) for row in range(len(texts))])
    for low, high in pairwise(_EDGES):
        rows = np.flatnonzero((true >= low) & (true < high)).tolist()
        shares = [f"{np.mean([row in gone for row in rows]):.3f}" if rows else "" for gone in sides.values()]
        print(f"| {low:.2f}–{min(high, 1):.2f} | {len(rows)} | {' | '.join(shares)} |")
    none = np.flatnonzero(true < 0).tolist()
    print(f"| no copy | {len(none)} | {' | '.join(f'{len(gone & set(none))}' for gone in sides.values())} |")
    for label, wrong in (("below 0.6 or no copy", true < 0.6), ("below 0.8", true < 0.8)):
        print()
        for name, gone in sides.items():
            flagged = np.isin(np.arange(len(texts)), sorted(gone))
            right = flagged & (true >= 0.8)
            precision = right.sum() / max(1, right.sum() + (flagged & wrong).sum())
            recall = right.sum() / (true >= 0.8).sum()
            print(f"- {name}: recall {recall:.4f} at 0.8 and above; precision {precision:.4f}, wrong being {label}")


def main() -> None:
    """Print the tables, or run one side."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side")
    parser.add_argument("count", nargs="?", type=int, default=1_000_000)
    asked = parser.parse_args()
    if asked.side:
        _side(asked.count)
        return
    _quality()
    print("\n### Near-deduplication of short documents (50 words), one process, 112 permutations\n")
    print("Seconds of the processor; the wall-clock time holds the making of the texts too.\n")
    print("| documents | MB | keys | decide | apply | all | by the wall clock | keys MB/s | peak RSS |")
    print("|---|---|---|---|---|---|---|---|---|")
    for part in (8, 4, 2, 1):
        made = side("benchmarks.near_dedup", "ours", str(asked.count // part))
        parts = [made["keys"], made["decide"], made["apply"]]
        size = made["bytes"] / 1e6
        seconds = " | ".join(f"{took:.1f} s" for took in [*parts, sum(parts), made["wall"]])
        print(f"| {asked.count // part:,} | {size:.0f} | {seconds} | {size / parts[0]:.0f} | {made['rss']:.0f} MB |")
    print(f"\n{machine()}\n", flush=True)


if __name__ == "__main__":
    main()
