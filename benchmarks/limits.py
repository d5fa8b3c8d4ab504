"""What this machine can do at all: the rate of a large matrix product and of reading memory.

    python -m benchmarks.limits

Training is bound by the first, decoding one sequence by the second.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.common import machine

_SECONDS = 2.0


def rate(work: float, run: Callable[[], object], *, seconds: float = _SECONDS) -> float:
    """`work` units a second: the median of repeated calls."""
    run()
    took, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        run()
        took.append(time.perf_counter() - start)
    return work / statistics.median(took)


def gemm(dtype: torch.dtype, size: int = 2048) -> float:
    """GFLOP/s of a square product, on the GPU where there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b, out = (torch.randn(size, size, device=device).to(dtype) for _ in range(3))

    def product() -> None:
        torch.mm(a, b, out=out)
        if device == "cuda":
            torch.cuda.synchronize()

    return rate(2 * size**3 / 1e9, product)


def reading(megabytes: int = 512) -> float:
    """GB/s of a sum over an array that no cache holds."""
    values = torch.ones(megabytes * 2**20 // 4)
    return rate(values.numel() * 4 / 1e9, values.sum)


def matrix_vector(rows: int = 49152, columns: int = 576) -> float:
    """GB/s at which NumPy's matrix-vector product reads a vocabulary matrix."""
    matrix = np.ones((rows, columns), dtype=np.float32)
    vector = np.ones(columns, dtype=np.float32)
    return rate(matrix.nbytes / 1e9, lambda: matrix @ vector)


def main() -> None:
    """Print the rates."""
    print("### Physical limits\n\n| | |\n|---|---|")
    print(f"| fp32 matrix product, 2048³ | {gemm(torch.float32):,.0f} GFLOP/s |")
    print(f"| bf16 matrix product, 2048³ | {gemm(torch.bfloat16):,.0f} GFLOP/s |")
    print(f"| reading memory (sum of 512 MiB) | {reading():,.1f} GB/s |")
    print(f"| matrix–vector product, 49,152 × 576 | {matrix_vector():,.1f} GB/s |")
    print(f"\n{machine()}\n")


if __name__ == "__main__":
    main()
