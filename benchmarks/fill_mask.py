"""Filling masks in 2,000 texts of mixed lengths, against the `transformers` fill-mask pipeline.

    python -m benchmarks.fill_mask

The model is MiniLM's encoder (6 × 384, vocabulary 30,522) under a fresh masked-language head; the pipeline runs
at the batch size that serves it best here, found first. Both must name the same tokens.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import interleave, report
from benchmarks.data import minilm, mixed_sentences
from scripts.fetch import cache_folder

COUNT = 2000
BATCHES = (1, 8, 32)


def masked_model() -> Path:
    """MiniLM with a masked-language head, saved by stock `transformers`."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    folder = cache_folder() / "benchmarks" / "minilm-masked"
    if not folder.is_dir():
        torch.manual_seed(0)
        AutoModelForMaskedLM.from_pretrained(minilm()).save_pretrained(folder)
        AutoTokenizer.from_pretrained(minilm()).save_pretrained(folder)
    return folder


def main(count: int = COUNT) -> None:
    """Find the pipeline's best batch size, compare the tokens, time both in turn."""
    from transformers import pipeline

    import sensorium as sm

    logging.disable(logging.WARNING)
    folder = masked_model()
    texts = mixed_sentences(count, "[MASK]")
    lm = sm.load(folder)
    pipe: Callable[..., Any] = pipeline("fill-mask", model=str(folder), tokenizer=str(folder), device="cpu")

    def theirs_at(batch: int, subset: list[str]) -> float:
        start = time.perf_counter()
        found["theirs"] = [fills[0]["token"] for fills in pipe(subset, batch_size=batch, top_k=5)]
        return len(subset) / (time.perf_counter() - start)

    def ours_on(subset: list[str]) -> float:
        start = time.perf_counter()
        found["ours"] = [fills[0].token_id for fills in lm.fill_mask(subset, top_k=5)]
        return len(subset) / (time.perf_counter() - start)

    found: dict[str, list[int]] = {}
    probe = texts[:96]
    theirs_at(8, probe[:32])
    ours_on(probe)
    speeds = {batch: theirs_at(batch, probe) for batch in BATCHES}
    best = max(speeds, key=lambda batch: speeds[batch])
    comparison = interleave(lambda: ours_on(texts), lambda: theirs_at(best, texts))
    same = sum(a == b for a, b in zip(found["ours"], found["theirs"], strict=True))
    report(
        f"Fill-mask, {count:,} texts of 4 to 128 words, 6 × 384",
        peers={f"transformers pipeline, batch {best}": comparison},
        unit="texts/s",
        targets=[3.0],
        notes=[f"{same:,} of {count:,} first candidates are the same"],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=COUNT)
    main(parser.parse_args().count)
