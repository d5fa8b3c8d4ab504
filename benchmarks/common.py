"""What every benchmark shares: interleaved rounds, medians, the machine's facts, a Markdown block.

Unusual: the two sides take turns (A B A B ...), so that a machine that slows down slows both; the ratio is the
median of the rounds' own ratios, with the lowest and the highest beside it. A side that needs a process of its
own is the same script, called with `--side NAME`, that prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, get_args

ROUNDS = 3

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Comparison:
    """Rates of two sides over the same rounds; higher is better."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """Ours over theirs, round by round."""
        return [a / b for a, b in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> str:
        """The median ratio and its spread."""
        ratios = self.ratios
        return f"**{statistics.median(ratios):.2f}×** ({min(ratios):.2f}–{max(ratios):.2f})"


def interleave(ours: Callable[[], float], theirs: Callable[[], float], *, rounds: int = ROUNDS) -> Comparison:
    """Call both in turn; each returns a rate."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return Comparison(tuple(a for a, _ in pairs), tuple(b for _, b in pairs))


def side(module: str, name: str, *arguments: str) -> dict[str, float]:
    """Run one side of a benchmark in a fresh process; the JSON that it printed last."""
    command = [sys.executable, "-m", module, "--side", name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def report(
    title: str, *, peers: Mapping[str, Comparison], unit: str, targets: Sequence[float], notes: Sequence[str] = ()
) -> None:
    """Print as Markdown how we compare with each peer, beside what is claimed."""
    ours = next(iter(peers.values())).ours
    print(f"### {title}\n")
    print(f"| median of {len(ours)} rounds | {unit} | ratio (lowest–highest round) | claimed |\n|---|---|---|---|")
    print(f"| Sensorium | {statistics.median(ours):,.1f} | | |")
    for (name, comparison), target in zip(peers.items(), targets, strict=True):
        print(f"| {name} | {statistics.median(comparison.theirs):,.1f} | {comparison.ratio} | ≥ {target:g}× |")
    print()
    for note in notes:
        print(f"- {note}")
    print(f"\n{machine()}\n", flush=True)


def machine() -> str:
    """One line on where this was measured."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "numpy"))
    where = f"{_cpu()}, {os.cpu_count()} cores, {threads()} threads"
    return f"*{where}; Python {platform.python_version()}, {packages}.*"


def threads() -> int:
    """Threads that PyTorch uses in one product."""
    import torch

    return torch.get_num_threads()


def _cpu() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    pairs = (line.partition(":") for line in info.read_text().splitlines())
    lines = {key.strip(): value for key, _, value in pairs}
    flags = lines.get("flags", "").split()
    vectors = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "no AVX")
    return f"{lines.get('model name', 'unknown processor').strip()} ({vectors})"


Rate = Callable[[Precision], float]


@dataclass(frozen=True)
class Turns:
    """What the rounds of a training benchmark gave."""

    precision: Precision
    comparisons: dict[str, Comparison]
    """By peer; the same rounds of ours serve them all."""


def take_turns(module: str, ours: Rate, peers: Mapping[str, Rate]) -> Turns | None:
    """Each side in fresh processes of this same script; None in such a process, once it has printed its rate.

    Args:
        module: this script.
        ours: our rate in a precision.
        peers: the rates of what we are compared with, by name.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", choices=["ours", *peers])
    parser.add_argument("--precision", choices=get_args(Precision), default="fp32")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    precision: Precision = given.precision
    if given.side is not None:
        print(json.dumps({"rate": {"ours": ours, **peers}[given.side](precision)}))
        return None
    names = ["ours", *peers]
    rounds = [[side(module, name, "--precision", precision)["rate"] for name in names] for _ in range(given.rounds)]
    mine, *others = zip(*rounds, strict=True)
    return Turns(precision, {name: Comparison(mine, rates) for name, rates in zip(peers, others, strict=True)})
