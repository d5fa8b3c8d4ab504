"""The compiled product gives what the dense matrix gives, in every form, on any number of threads."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.core import skinny
from sensorium.core.codes import BLOCK, Codes, Codes4, Codes8, stack
from sensorium.core.skinny import SkinnyMatrix, kernel

MANY = settings(max_examples=60, derandomize=True)
built = pytest.mark.skipif(kernel() is None, reason="the kernel was not built: no C compiler at installation")


def codes_of(kind: str, rows: int, blocks: int, seed: int = 0) -> Codes:
    rng = np.random.default_rng(seed)
    scales = rng.uniform(-1, 1, (rows, blocks)).astype(np.float32)
    if kind == "q8":
        return Codes8(rng.integers(-128, 128, (rows, blocks * BLOCK), dtype=np.int8), scales)
    offsets = rng.uniform(-8, 8, (rows, blocks)).astype(np.float32)
    return Codes4(rng.integers(0, 256, (rows, blocks * BLOCK // 2), dtype=np.uint8), scales, offsets)


def matrix(kind: str, rows: int, cols: int, seed: int = 0) -> tuple[np.ndarray, Codes | None]:
    if kind in ("q8", "q4"):
        codes = codes_of(kind, rows, max(1, cols // BLOCK), seed)
        return codes.dense(), codes
    weight = np.random.default_rng(seed).standard_normal((rows, cols)).astype(np.float32)
    if kind == "bf16":
        weight = (weight.view(np.uint32) & 0xFFFF0000).view(np.float32)
    return weight, None


def agree(product: np.ndarray, weight: np.ndarray, x: np.ndarray) -> None:
    exact = weight.astype(np.float64) @ x
    size = np.abs(weight.astype(np.float64)) @ np.abs(x)
    assert (np.abs(product - exact) <= 2e-6 * size + 1e-30).all()


@built
@MANY
@given(
    kind=st.sampled_from(["f32", "bf16", "q8", "q4"]),
    rows=st.integers(1, 70),
    cols=st.integers(1, 200),
    portable=st.booleans(),
    threads=st.integers(1, 3),
)
def test_a_product_equals_the_dense_one(kind: str, rows: int, cols: int, portable: bool, threads: int) -> None:
    weight, codes = matrix(kind, rows, cols)
    x = np.random.default_rng(1).standard_normal(weight.shape[1]).astype(np.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        agree(SkinnyMatrix(weight, codes, portable=portable)(x), weight, x)
    finally:
        torch.set_num_threads(before)


@built
def test_each_matrix_is_held_in_its_shortest_exact_form() -> None:
    sizes = {kind: SkinnyMatrix(*matrix(kind, 8, 64)).n_bytes / (8 * 64) for kind in ("f32", "bf16", "q8", "q4")}
    assert sizes == {"f32": 4, "bf16": 2, "q8": 1.125, "q4": 0.75}
    nearly = matrix("bf16", 8, 64)[0]
    nearly[7, 63] = np.float32(1 + 2**-12)
    assert SkinnyMatrix(nearly).n_bytes == nearly.nbytes


@built
def test_products_of_several_threads_at_once_do_not_mix() -> None:
    torch.set_num_threads(2)
    try:
        cases = [matrix(kind, 300, 128, seed) for seed, kind in enumerate(["f32", "bf16", "q8", "q4"])]
        x = np.random.default_rng(1).standard_normal(128).astype(np.float32)

        def run(case: tuple[np.ndarray, Codes | None]) -> None:
            product = SkinnyMatrix(*case)
            for _ in range(200):
                agree(product(x), case[0], x)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(run, cases))
    finally:
        torch.set_num_threads(1)


@built
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    torch.set_num_threads(2)
    try:
        weight, codes = matrix("q4", 64, 64)
        x = np.ones(64, np.float32)
        product = SkinnyMatrix(weight, codes)
        agree(product(x), weight, x)
        if (child := os.fork()) == 0:
            os._exit(0 if np.allclose(product(x), weight @ x, rtol=1e-4, atol=1e-3) else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        torch.set_num_threads(1)


@built
def test_a_vector_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        SkinnyMatrix(np.zeros((4, 32), np.float32))(np.zeros(64, np.float32))


@pytest.mark.parametrize("damage", ["missing", "no library"])
def test_without_the_kernel_numpy_serves(damage: str, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    library = tmp_path / "skinny.bin"
    if damage == "no library":
        library.write_bytes(b"not an object file")
    monkeypatch.setattr(skinny, "LIBRARY", library)
    kernel.cache_clear()
    try:
        weight, codes = matrix("q4", 8, 64)
        x = np.random.default_rng(1).standard_normal(64).astype(np.float32)
        agree(SkinnyMatrix(weight, codes)(x), weight, x)
    finally:
        kernel.cache_clear()


def test_codes_are_stacked_row_after_row_and_only_with_their_kind() -> None:
    for kind in ("q8", "q4"):
        parts = [codes_of(kind, rows, 2, rows) for rows in (3, 5)]
        stacked = stack(parts)
        assert stacked is not None
        assert stacked.shape == (8, 64)
        np.testing.assert_array_equal(stacked.dense(), np.concatenate([part.dense() for part in parts]))
    assert stack([codes_of("q8", 2, 2), codes_of("q4", 2, 2)]) is None


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_machine_with_a_compiler_has_the_kernel() -> None:
    assert kernel() is not None, "install the package anew: pip install -e ."
