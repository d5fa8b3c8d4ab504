"""Run every benchmark, one after the other: `make bench`."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = ("limits", "startup", "decode", "fill_mask", "train_mlm", "train_causal")


def main() -> None:
    """Each in a process of its own, so that none inherits another's threads or memory."""
    failed = []
    for name in BENCHMARKS:
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
