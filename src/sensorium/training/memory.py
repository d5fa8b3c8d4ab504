"""How a training process holds its memory, on Linux.

A training step allocates the same blocks again and again. By default glibc gives the pages of a large freed block
back to the system and takes them again for the next step, 4 KiB at a time: a tenth of the step and more. The price
is that a run's memory does not shrink between steps.
"""

from __future__ import annotations

import ctypes
import sys

_HUGE_PAGE = 1 << 21
_RESERVED = (1 << 31) - _HUGE_PAGE
"""Bytes of address space, which is not memory until it is written to."""


def keep_freed_memory() -> None:
    """Have glibc keep what is freed for the blocks to come, and the kernel back it by huge pages."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return
    trim_threshold, mmap_threshold, huge_pages = -1, -3, 14
    # Either setting ends glibc's own adjustment of both, and an older glibc refuses so high an mmap threshold: the trim
    # threshold alone would leave it worse off than before.
    if libc.mallopt(mmap_threshold, (1 << 31) - 1) != 1:
        return
    libc.mallopt(trim_threshold, (1 << 31) - 1)
    # Address space is taken and handed back to malloc, which keeps it for the blocks to come; none of it is touched.
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.free.argtypes = [ctypes.c_void_p]
    block = libc.malloc(_RESERVED)
    if block is not None:
        start = -(-block // _HUGE_PAGE) * _HUGE_PAGE
        libc.madvise(start, (block + _RESERVED - start) // _HUGE_PAGE * _HUGE_PAGE, huge_pages)
        libc.free(block)
