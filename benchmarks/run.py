"""Run every benchmark, one after the other: `make bench`. About eight hours on two cores.

More than two of them are for `translation_quality`, which trains both sides for an hour, in two languages, and nearly
one for `answer_quality`. The peers of `prepare` and `tokenise` live in a virtual environment of their own: name its
Python in `SENSORIUM_PEER`, or ours alone is measured.
"""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = (
    "limits",
    "startup",
    "decode",
    "fill_mask",
    "train_mlm",
    "train_mlm --precision bf16",
    "train_causal",
    "train_causal --precision bf16",
    "train_causal_mixed",
    "train_causal_mixed --precision bf16",
    "train_translate",
    "train_translate --precision bf16",
    "translation_quality zh",
    "translation_quality fr",
    "translate",
    "answer_quality",
    "features",
    "vision",
    "fuse",
    "fuse_quality",
    "align_quality",
    "caption_quality",
    "prepare",
    "tokenise",
    "prepare_memory",
    "prepared_text",
    "near_dedup",
    "loader",
)


def main() -> None:
    """Each in a process of its own, so that none inherits another's threads or memory."""
    failed = []
    for line in BENCHMARKS:
        name, *arguments = line.split()
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], check=False).returncode:
            failed.append(line)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
