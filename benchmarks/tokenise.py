"""Tokens alone: `prepare` without a filter, against `datasets.map` and against the bare `tokenizers` batch encoder.

    python -m venv peer && peer/bin/pip install datasets tokenizers
    python -m benchmarks.tokenise --peer peer/bin/python

All read the same JSON Lines (`data_text.py`) with the same byte-level BPE. Ours goes from the files to the shards of a
corpus: it cuts documents into sentences, splits off a validation set and keeps an account as always, and asks the
library only for words that it has not seen before (`sensorium.data.prepare.byte_level`); `datasets` goes
from the files to `save_to_disk`, and hands its batches to the `tokenizers` library itself, without what `transformers`
would add. The bare encoder has all texts in memory, and neither reads nor writes. Each is a process of its own, timed
from after its imports.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.common import ROUNDS, Comparison, report
from benchmarks.data_text import english
from scripts.fetch import FetchError, cache_folder

WANTED = {"map": 1.5, "bare": 0.8}
NAMES = {"map": "`datasets.map` + `tokenizers`, then `save_to_disk`", "bare": "`encode_batch_fast` alone, from memory"}
HOW = "python -m venv peer && peer/bin/pip install datasets tokenizers"
_PEER = str(Path(__file__).with_name("tokenise_peer.py"))


def tokenizer(size: int) -> Path:
    """A corpus in the cache whose tokenizer was trained on some of the text."""
    import sensorium as sm

    folder = cache_folder() / "benchmarks" / f"english-bpe-{size}"
    if not folder.is_dir():
        sm.prepare(english(1, 10.0), out=folder, tokenizer=f"bpe:{size}", stages=[], keep_keys=False)
    return folder


def ours(source: Path, out: Path, folder: Path, workers: int) -> float:
    """Seconds that `prepare` takes without any stage."""
    import sensorium as sm

    begun = time.perf_counter()
    sm.prepare(
        source, out=out / "corpus", stages=[], tokenizer=folder, workers=workers, keep_keys=False, show_progress=False
    )
    return time.perf_counter() - begun


def our_documents(out: Path) -> tuple[int, Counter[bytes]]:
    """How many tokens there are, and a hash of those of each document."""
    import sensorium as sm

    corpus = sm.Corpus.open(out / "corpus")
    splits = corpus.train, corpus.validation
    hashes = Counter(_hash(split.document(row)) for split in splits for row in range(len(split)))
    return sum(split.n_tokens for split in splits), hashes


def their_documents(out: Path) -> tuple[int, Counter[bytes]]:
    """The same of what `save_to_disk` wrote: Arrow streams."""
    import pyarrow as pa

    hashes, total = Counter[bytes](), 0
    for path in sorted((out / "tokens").glob("*.arrow")):
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
            for batch in stream:
                ids = batch.column("input_ids")
                flat, ends = ids.values.to_numpy(), ids.offsets.to_numpy()
                total += int(ends[-1] - ends[0])
                hashes.update(_hash(flat[start:end]) for start, end in pairwise(ends))
    return total, hashes


def _hash(ids: np.ndarray) -> bytes:
    return blake2b(ids.astype("<u4").tobytes(), digest_size=16).digest()


def turn(command: Sequence[str]) -> float:
    """The seconds that a process printed last."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return float(json.loads(done.stdout.strip().splitlines()[-1])["seconds"])


def main() -> None:
    """Turns of all sides; or ours alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--peer", default=os.environ.get("SENSORIUM_PEER"), help="a Python that has datasets and tokenizers"
    )
    parser.add_argument("--megabytes", type=float, help="of text; all there is, if left out")
    parser.add_argument("--vocabulary", type=int, default=16_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--side", action="store_true", help="run ours alone, with SOURCE, OUT and the tokenizer")
    parser.add_argument("paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        source, out, folder = given.paths
        print(json.dumps({"seconds": ours(source, out, folder, given.workers)}))
        return
    folder, source = tokenizer(given.vocabulary), english(given.workers, given.megabytes)[0].parent
    size = sum(len(json.loads(line)["text"].encode()) for path in source.iterdir() for line in path.open("rb")) / 1e6
    shared = ["--workers", str(given.workers)]
    peers = ["map", "bare"] if given.peer else ["bare"]
    pythons = {"map": given.peer, "bare": given.peer or sys.executable}
    rates: dict[str, list[float]] = {name: [] for name in ("ours", *peers)}
    notes = [f"{size:.0f} MB of text; a vocabulary of {given.vocabulary:,}; {given.workers} processes, or threads"]
    for number in range(given.rounds):
        found: dict[str, tuple[int, Counter[bytes]]] = {}
        for name, measured in rates.items():
            with tempfile.TemporaryDirectory() as temporary:
                out = Path(temporary)
                command = (
                    [sys.executable, "-m", "benchmarks.tokenise", "--side", str(source), str(out), str(folder)]
                    if name == "ours"
                    else [pythons[name], _PEER, name, str(source), str(out), "--tokenizer", str(folder)]
                )
                measured.append(size / turn([*command, *shared]))
                if number == 0 and name != "bare":
                    found[name] = our_documents(out) if name == "ours" else their_documents(out)
        if "map" in found:
            notes.append(_compared(found["ours"], found["map"]))
    if not given.peer:
        notes.append(f"`datasets` is not measured; for that: `{HOW}`, then `--peer peer/bin/python`")
    mine = tuple(rates["ours"])
    report(
        "Tokens alone, JSON Lines to shards",
        peers={NAMES[name]: Comparison(mine, tuple(rates[name])) for name in peers},
        unit="MB/s",
        targets=[WANTED[name] for name in peers],
        notes=notes,
    )


def _compared(us: tuple[int, Counter[bytes]], them: tuple[int, Counter[bytes]]) -> str:
    same = (us[1] & them[1]).total()
    return (
        f"tokens: {us[0]:,} of ours, {them[0]:,} of `datasets`; the same tokens in {same:,} of its "
        f"{them[1].total():,} documents (ours cuts those of over 100,000 characters, and encodes each sentence alone)"
    )


if __name__ == "__main__":
    try:
        main()
    except FetchError as error:
        sys.exit(f"error: {error}")
