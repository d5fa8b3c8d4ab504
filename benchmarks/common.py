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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROUNDS = 3


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
    title: str, *, peer: str, unit: str, comparison: Comparison, target: float, notes: Sequence[str] = ()
) -> None:
    """Print the claim as Markdown."""
    ours, theirs = (statistics.median(rates) for rates in (comparison.ours, comparison.theirs))
    print(f"### {title}\n")
    print(f"| | {unit}, median of {len(comparison.ours)} rounds |\n|---|---|")
    print(f"| Sensorium | {ours:,.1f} |\n| {peer} | {theirs:,.1f} |")
    print(f"| ratio (lowest–highest round) | {comparison.ratio} |\n| claimed | ≥ {target:g}× |\n")
    for note in notes:
        print(f"- {note}")
    print(f"\n{machine()}\n", flush=True)


def machine() -> str:
    """One line on where this was measured."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "numpy"))
    where = f"{_cpu()}, {os.cpu_count()} cores, {threads()} threads"
    return f"*{where}; Python {platform.python_version()}, {packages}; fp32.*"


def threads() -> int:
    """Threads that PyTorch uses in one product."""
    import torch

    return torch.get_num_threads()


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    pairs = (line.partition(":") for line in info.read_text().splitlines())
    lines = {key.strip(): value for key, _, value in pairs}
    flags = lines.get("flags", "").split()
    vectors = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "no AVX")
    return f"{lines.get('model name', 'unknown processor').strip()} ({vectors})"


def take_turns(module: str, ours: Callable[[], float], theirs: Callable[[], float]) -> Comparison | None:
    """Each side in fresh processes of this same script; None in such a process, once it has printed its rate."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", choices=["ours", "theirs"])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    if given.side is not None:
        print(json.dumps({"rate": (ours if given.side == "ours" else theirs)()}))
        return None
    return interleave(lambda: side(module, "ours")["rate"], lambda: side(module, "theirs")["rate"], rounds=given.rounds)
