"""Units, n-grams and signatures: against plain loops, in every script, and the same whatever the batch."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import regex
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sensorium.data.dedup.minhash import EMPTY, agreement, band_hashes, packed, permutations, signatures, unpacked
from sensorium.data.dedup.units import Grams, grams, units_of

SINGLE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
UNIT = regex.compile(rf"[[\p{{L}}\p{{M}}\p{{N}}]--[{SINGLE}]]+|[[\p{{L}}\p{{M}}\p{{N}}]&&[{SINGLE}]]", regex.V1)
PIECES = [
    "The",
    "naïve",
    "Ünit",
    " ",
    "\n",
    ", ",
    "。",
    "春天",
    "来了",
    "ภาษาไทย",
    "カタカナ",
    "हिन्दी",
    "123",
    "😀",
    "x",
    "-",
]
SOME = st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), max_size=6)


def words(units_texts: list[str]) -> list[list[str]]:
    made = units_of(pa.array(units_texts, pa.large_string()))
    raw = made.folded.tobytes()
    flat = [raw[a:b].decode() for a, b in zip(made.starts, made.ends, strict=True)]
    assert [xxhash.xxh3_64_intdigest(word.encode()) for word in flat] == made.hashes.tolist()
    return [flat[a:b] for a, b in zip(made.offsets[:-1], made.offsets[1:], strict=True)]


@settings(max_examples=80, deadline=None)
@given(SOME)
@example(["", "a", ""])
@example(["a", "b"])
def test_units_are_words_or_single_characters(some: list[str]) -> None:
    assert words(some) == [UNIT.findall(text.lower()) for text in some]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(st.characters(max_codepoint=0xFFFF, categories=["L", "N", "P", "Z"]), max_size=20), max_size=4))
def test_any_text_is_cut_between_its_characters(some: list[str]) -> None:
    for found, text in zip(words(some), some, strict=True):
        rest = pa.compute.utf8_lower(pa.array([text])).to_pylist()[0]
        for unit in found:
            assert unit in rest
            rest = rest[rest.index(unit) + len(unit) :]


def test_slices_nulls_and_short_strings_are_taken_as_they_are() -> None:
    whole = pa.array(["skip this", "One two", None, "three", "and this"], pa.string())
    assert units_of(whole[1:4]).hashes.tolist() == units_of(pa.array(["one two", "", "three"])).hashes.tolist()
    assert units_of(whole[1:4]).offsets.tolist() == [0, 2, 2, 3]
    assert units_of(pa.array([], pa.large_string())).offsets.tolist() == [0]
    assert units_of(pa.array([None, ""], pa.string())).offsets.tolist() == [0, 0, 0]


@settings(max_examples=80, deadline=None)
@given(SOME, st.integers(1, 6))
def test_n_grams_are_those_of_each_document_alone(some: list[str], n: int) -> None:
    together = grams(units_of(pa.array(some, pa.large_string())), n)
    for at, text in enumerate(some):
        alone = grams(units_of(pa.array([text])), n)
        assert together.hashes[together.offsets[at] : together.offsets[at + 1]].tolist() == alone.hashes.tolist()
        units = UNIT.findall(text.lower())
        runs = [tuple(units[i : i + n]) for i in range(max(len(units) - n + 1, min(len(units), 1)))]
        assert len(alone.hashes) == len(runs)
        assert len(set(alone.hashes.tolist())) == len(set(runs))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 50, 20_000, 40_000]), max_size=5), st.integers(0, 3))
def test_signatures_are_the_least_images(sizes: list[int], seed: int) -> None:
    chance = np.random.default_rng(seed)
    offsets = np.cumsum([0, *sizes]).astype(np.int64)
    hashes = chance.integers(0, 2**64, int(offsets[-1]), dtype=np.uint64)
    signed = signatures(Grams(hashes, offsets), 12, seed)
    for row, (start, stop) in enumerate(pairwise(offsets)):
        high = hashes[start:stop] >> np.uint64(32)
        for place, (factor, summand) in enumerate(zip(*permutations(12, seed), strict=True)):
            images = (high * np.uint64(factor) + np.uint64(summand)) % np.uint64(2**32)
            assert signed[row, place] == (images.min() if len(images) else EMPTY)


def test_estimates_are_right_on_average_and_spread_as_independent_ones_do() -> None:
    chance, k, pairs, n = np.random.default_rng(0), 112, 1500, 200
    for jaccard in (0.5, 0.8):
        same = round(2 * n * jaccard / (1 + jaccard))
        hashes = chance.integers(0, 2**64, (pairs, 2, n), dtype=np.uint64)
        hashes[:, 1, :same] = hashes[:, 0, :same]
        signed = signatures(Grams(hashes.reshape(-1), np.arange(0, pairs * 2 * n + 1, n)), k, 1)
        estimates = agreement(signed[::2], signed[1::2]) / k
        true = same / (2 * n - same)
        deviation = (true * (1 - true) / k) ** 0.5
        assert abs(estimates.mean() - true) < 4 * deviation / pairs**0.5
        assert abs(estimates.std() / deviation - 1) < 0.08


def test_equal_bands_have_equal_hashes_in_the_same_place_only() -> None:
    signed = np.array([[1, 2, 1, 2], [1, 2, 3, 4], [2, 1, 1, 2]], np.uint32)
    hashes = band_hashes(signed, 2)
    assert len(np.unique(hashes)) == 4
    assert hashes[0, 0] == hashes[1, 0]
    assert hashes[0, 1] == hashes[2, 1]
    assert (unpacked(packed(signed)[1:]).view("<u4") == signed[1:]).all()
