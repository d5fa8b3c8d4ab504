"""The other sides of `benchmarks.tokenise`; run by its path, it imports nothing of this project.

    PEER benchmarks/tokenise_peer.py map SOURCE OUT --tokenizer FOLDER      needs `datasets`
    PEER benchmarks/tokenise_peer.py bare SOURCE OUT --tokenizer FOLDER     needs `tokenizers`

Prints the seconds that it took, imports aside.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def mapped(source: Path, out: Path, tokenizer: Path, workers: int) -> float:
    """`datasets.map` in batches over JSON Lines, then `save_to_disk`; each process encodes on one thread."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import datasets
    from tokenizers import Tokenizer

    fast = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    datasets.disable_progress_bars()

    def encode(batch: dict[str, list[Any]]) -> dict[str, list[list[int]]]:
        return {"input_ids": [found.ids for found in fast.encode_batch(batch["text"], add_special_tokens=False)]}

    begun = time.perf_counter()
    files = sorted(map(str, source.glob("*.jsonl")))
    rows = datasets.load_dataset("json", data_files=files, split="train", cache_dir=str(out / "cache"))
    done = rows.map(encode, batched=True, num_proc=workers, remove_columns=rows.column_names)
    done.save_to_disk(str(out / "tokens"), num_proc=workers)
    return time.perf_counter() - begun


def bare(source: Path, out: Path, tokenizer: Path, workers: int) -> float:
    """`encode_batch` alone on texts in memory, on as many threads; nothing is read or written meanwhile."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    os.environ["RAYON_NUM_THREADS"] = str(workers)
    from tokenizers import Tokenizer

    fast = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    texts = [json.loads(line)["text"] for path in sorted(source.glob("*.jsonl")) for line in path.open("rb")]
    begun, tokens = time.perf_counter(), 0
    for start in range(0, len(texts), 1000):
        tokens += sum(map(len, fast.encode_batch_fast(texts[start : start + 1000], add_special_tokens=False)))
    took = time.perf_counter() - begun
    (out / "tokens.json").write_text(json.dumps(tokens))
    return took


SIDES: dict[str, Callable[[Path, Path, Path, int], float]] = {"map": mapped, "bare": bare}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    print(json.dumps({"seconds": SIDES[given.side](given.source, given.out, given.tokenizer, given.workers)}))


if __name__ == "__main__":
    main()
