"""Freed memory is kept, in a process of its own: the setting is the whole process's."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from sensorium.training.memory import keep_freed_memory

MEASURE = """
import resource, torch
from sensorium.training.memory import keep_freed_memory
keep_freed_memory()
size = 1 << 26
torch.zeros(size, dtype=torch.uint8)
before = resource.getrusage(resource.RUSAGE_SELF)
for _ in range(10):
    torch.ones(size, dtype=torch.uint8)
after = resource.getrusage(resource.RUSAGE_SELF)
# Not ru_maxrss, which begins with what the process that started this one held.
status = dict(line.split(":") for line in open("/proc/self/status"))
print(after.ru_minflt - before.ru_minflt, status["VmHWM"].split()[0])
"""


def glibc_sets_thresholds() -> bool:
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


@pytest.mark.skipif(not glibc_sets_thresholds(), reason="only glibc on Linux has these settings")
def test_a_block_freed_is_taken_again_without_new_pages() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    faults, kilobytes = map(int, done.stdout.split())
    assert faults < 1000  # ten times 64 MiB would be 163,840 pages
    assert kilobytes < 1 << 20  # what is reserved is address space, no memory


class Glibc:
    """Answers mallopt as an older glibc does: no mmap threshold above 32 MiB."""

    def __init__(self) -> None:
        self.settings: dict[int, int] = {}

    def mallopt(self, setting: int, value: int) -> int:
        if setting == -3 and value > 1 << 25:
            return 0
        self.settings[setting] = value
        return 1


def test_a_refused_threshold_leaves_the_other_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    libc = Glibc()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: libc)
    keep_freed_memory()
    assert libc.settings == {}
