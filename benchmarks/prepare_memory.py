"""How much memory `sensorium prepare` takes, whatever the input: all its processes together, sampled while it runs.

    python -m benchmarks.prepare_memory

A gigabyte with near-duplicates told, then 1, 2, 4 and 8 parts of it, which shows how time grows. The input is made
here: English-like and Chinese-like text of words drawn by rank (Zipf), a document a line, one in ten of them a copy of
an earlier one. Printed are megabytes in, seconds, the peak of all processes together and of the largest, and the peak
of what is on the disk beside the input.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import machine

ASKED = 2e9
"""Bytes that a gigabyte may take with two processes."""
PART = 17_000_000
"""Bytes of a file of the doubled sizes: two of them are more than a unit holds."""
_VOCABULARY = 60_000
_HAN = [chr(code) for code in range(0x4E00, 0x4E00 + 4000)]


def make(path: Path, megabytes: float) -> None:
    """Write the input."""
    draw = np.random.default_rng(0)
    letters = np.array(list("aaabcdeeeefghiiijklmnooopqrstttuvwxyz"))
    spelled = ("".join(draw.choice(letters, int(draw.integers(2, 11)))) for _ in range(_VOCABULARY))
    words, han = np.array(list(spelled), object), np.array(_HAN, object)
    word_shares = np.cumsum(1 / (np.arange(_VOCABULARY) + 3.0))
    han_shares = np.cumsum(1 / (np.arange(len(_HAN)) + 20.0))
    earlier: list[str] = []
    with path.open("w", encoding="utf-8") as file:
        size = 0
        while size < megabytes * 1_000_000:
            if earlier and draw.random() < 0.1:
                line = earlier[int(draw.integers(len(earlier)))]
            else:
                if draw.random() < 0.2:
                    drawn = _drawn(draw, han, han_shares, 2000)
                    text = "".join("".join(drawn[at : at + 18]) + "。" for at in range(0, len(drawn), 18))
                else:
                    drawn = _drawn(draw, words, word_shares, 500)
                    parts = (" ".join(drawn[at : at + 14]) for at in range(0, len(drawn), 14))
                    text = " ".join(f"{part.capitalize()}." for part in parts)
                line = json.dumps({"text": text}, ensure_ascii=False) + "\n"
                earlier = [*earlier[-99:], line]
            size += len(line.encode())
            file.write(line)


def _drawn(draw: np.random.Generator, values: np.ndarray, shares: np.ndarray, count: int) -> list[str]:
    drawn: list[str] = values[np.searchsorted(shares, draw.random(count) * shares[-1])].tolist()
    return drawn


def resident(pid: int) -> list[int]:
    """Bytes in memory of a process and all below it, as Linux counts them."""
    found, waiting = list[int](), [pid]
    while waiting:
        process = waiting.pop()
        try:
            pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
            for task in Path(f"/proc/{process}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except (OSError, IndexError, ValueError):
            continue
        found.append(pages * 4096)
    return found


@dataclass(frozen=True)
class Measured:
    """A run of `sensorium prepare`.

    Args:
        size: bytes of the input.
        seconds: from start to end.
        together: bytes in memory of all its processes at the worst moment; what two of them share is counted twice.
        largest: bytes of the largest process.
        disk: bytes beside the input.
    """

    size: int
    seconds: float
    together: int
    largest: int
    disk: int

    @property
    def row(self) -> str:
        """Of a table."""
        cells = f"{self.size / 1e6:,.0f} MB", f"{self.seconds:,.0f} s", f"{self.size / 1e6 / self.seconds:.1f} MB/s"
        sizes = (f"{value / 1e9:.2f} GB" for value in (self.together, self.largest, self.disk))
        return f"| {' | '.join((*cells, *sizes))} |"


def watched(source: Path, workers: int, options: Sequence[str]) -> Measured:
    """Prepare a file, or the files of a folder, in a folder of its own, and watch."""
    size = on_disk(source) if source.is_dir() else source.stat().st_size
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "sensorium.cli.app", "prepare", str(source), "--out", "out"]
        command += ["--workers", str(workers), *options]
        begun, together, largest, disk = time.monotonic(), 0, 0, 0
        with (Path(name) / "stderr").open("w+") as errors:
            process = subprocess.Popen(command, cwd=name, stdout=subprocess.DEVNULL, stderr=errors)
            while process.poll() is None:
                sizes = resident(process.pid)
                together, largest = max(together, sum(sizes)), max(largest, *sizes, 0)
                disk = max(disk, on_disk(Path(name)))
                time.sleep(0.2)
            seconds = time.monotonic() - begun
            if process.returncode:
                errors.seek(0)
                raise RuntimeError(f"{' '.join(command)} failed:\n{errors.read()[-3000:]}")
    return Measured(size, seconds, together, largest, disk)


def on_disk(folder: Path) -> int:
    """Bytes of all files in a folder, of those that are still there when their turn comes."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            status = path.lstat()
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def beginning(source: Path, folder: Path, megabytes: float) -> Path:
    """The first lines of a file, in files of which each is a unit of its own (`prepare.units`), so that two processes
    share even the smallest input evenly."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    left, number = megabytes * 1e6, 0
    with source.open("rb") as lines:
        while left > 0:
            room = min(left, PART)
            with (folder / f"part-{number:03}.jsonl").open("wb") as file:
                while room > 0 and (line := lines.readline()):
                    room -= file.write(line)
            left, number = left - PART, number + 1
    return folder


def main() -> None:
    """Make the input; prepare all of it, then beginnings of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument(
        "--smallest", type=float, default=2 * PART / 1e6, help="megabytes of the first of the doubled sizes"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("options", nargs="*", help="for `sensorium prepare` instead of --near, after --")
    given = parser.parse_args()
    options = given.options or ["--near"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "input.jsonl"
        make(source, given.megabytes)
        print(f"### Memory and growth of `prepare {' '.join(options)}`, {given.workers} processes\n")
        print("| input | took | rate | memory of all processes | of the largest | disk |\n|---|---|---|---|---|---|")
        whole = watched(source, given.workers, options)
        print(whole.row, flush=True)
        # A tokenizer learns from no more than a share of a large input, so that all of these are given one.
        small = beginning(source, folder / "small", 4)
        command = [sys.executable, "-m", "sensorium.cli.app", "prepare", str(small), "--out", str(folder / "tokens")]
        subprocess.run(command, check=True, capture_output=True)
        doubled = list[Measured]()
        for times in (1, 2, 4, 8):
            part = beginning(source, folder / "part", times * given.smallest)
            doubled.append(watched(part, given.workers, [*options, "--tokenizer", str(folder / "tokens")]))
            print(doubled[-1].row, flush=True)
    first, last = doubled[0], doubled[-1]
    power = math.log(last.seconds / first.seconds) / math.log(last.size / first.size)
    print(f"\n- asked: less than {ASKED / 1e9:g} GB together: {'met' if whole.together < ASKED else '**not met**'}")
    print(f"- the doubled sizes, with a given tokenizer: time grows as the size to the power of {power:.2f}")
    print(f"\n{machine()}\n", flush=True)


if __name__ == "__main__":
    main()
