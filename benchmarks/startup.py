"""How long `import sensorium` and `sensorium --help` take, in fresh processes.

python -m benchmarks.startup
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import machine

RUNS = 7
_CLAIMS = {
    "import sensorium": ([sys.executable, "-c", "import sensorium"], 1.0),
    "sensorium --help": ([str(Path(sys.executable).with_name("sensorium")), "--help"], 0.5),
    "bare python": ([sys.executable, "-c", "pass"], float("nan")),
}


def seconds(command: Sequence[str]) -> list[float]:
    """Wall time of a few runs, the first one left out."""
    took = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took.append(time.perf_counter() - start)
    return took[1:]


def main() -> None:
    """Print medians and spreads."""
    print("### Start-up\n\n| command | median (lowest–highest) | claimed |\n|---|---|---|")
    for name, (command, limit) in _CLAIMS.items():
        took = seconds(command)
        claim = "" if limit != limit else f"< {limit:g} s"
        print(f"| `{name}` | {statistics.median(took):.2f} s ({min(took):.2f}–{max(took):.2f}) | {claim} |")
    print(f"\n{machine()}\n")


if __name__ == "__main__":
    main()
