"""Near-duplicates: the clusters of a search of all pairs, out of core or in, and what is found of planted ones."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from benchmarks.near_dedup import planted
from sensorium.data.dedup import NearDuplicates, clusters
from sensorium.data.dedup.clusters import Forest, join_alike
from sensorium.data.dedup.minhash import unpacked
from sensorium.data.stages import Comparer, documents
from sensorium.errors import ConfigError, DataError
from tests.data.dedup.stage_runs import cut, reasons, run, write_keys

LOOSE = NearDuplicates(ngram=1, bands=4, rows=2, threshold=0.6)
"""Of which many pairs share a band and are not alike, so that chains and groups of all kinds come up."""
TEXTS = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=7).map(" ".join), max_size=40)
SIZES = st.lists(st.integers(0, 12), max_size=5)


def reference(stage: NearDuplicates, texts: list[str]) -> list[str | None]:
    """All pairs by plain NumPy, their components by SciPy, the reasons from those."""
    keys = stage.keys(documents(texts, [""] * len(texts)))
    signed, sizes = unpacked(keys.column("signature")).view("<u4"), keys.column("units").to_numpy()
    banded = signed.reshape(len(texts), stage.bands, stage.rows)
    shared = (banded[:, None] == banded[None]).all(axis=3).any(axis=2)
    agree = (signed[:, None] == signed[None]).mean(axis=2)
    edges = shared & (agree >= stage.threshold - 1e-9) & (sizes > 0)[:, None] & (sizes > 0)[None]
    _, label = connected_components(csr_array(edges), directed=False)
    expected: list[str | None] = []
    for row in range(len(texts)):
        members = np.flatnonzero(label == label[row])
        kept = members[0] if stage.keep == "first" else members[np.argmax(sizes[members])]
        expected.append(None if kept == row else f"near-duplicate: of f#{kept}, similarity {agree[row, kept]:.2f}")
    return expected


@settings(max_examples=60, deadline=None)
@given(TEXTS, SIZES, st.sampled_from([1, 1 << 12, 1 << 28]), st.sampled_from(["first", "longest"]))
def test_clusters_are_the_components_of_all_pairs(texts: list[str], sizes: list[int], memory: int, keep: str) -> None:
    stage = NearDuplicates(ngram=1, bands=4, rows=2, threshold=0.6, memory=memory, keep=keep)  # type: ignore[arg-type]
    expected = reference(stage, texts) if texts else []
    judged, counts = run(stage, cut(texts, sizes))
    assert [_rounded(reason) for reason in reasons(judged)] == [_rounded(reason) for reason in expected]
    assert counts["near-duplicates"] == len(texts) - expected.count(None)


def _rounded(reason: str | None) -> str | None:
    """Eighths lie half-way between two hundredths, where float32 may fall on either side."""
    return reason and reason[:-1]


@settings(max_examples=25, deadline=None)
@given(TEXTS, st.integers(0, 40), st.sampled_from(["first", "longest"]))
def test_earlier_corpora_keep_what_they_have(texts: list[str], at: int, keep: str) -> None:
    at = min(at, len(texts))
    with tempfile.TemporaryDirectory() as name:
        old = documents(texts[:at], [f"f#{row}" for row in range(at)])
        path = write_keys(LOOSE, [old], Path(name) / "old.arrow")
        new = documents(texts[at:], [f"f#{row}" for row in range(at, len(texts))])
        stage = NearDuplicates(ngram=1, bands=4, rows=2, threshold=0.6, keep=keep, against=(path,))  # type: ignore[arg-type]
        judged, _ = run(stage, [[new]])
    together, _ = run(LOOSE, cut(texts, []))
    if keep == "first":
        assert reasons(judged) == reasons(together)[at:]
    for reason in reasons(judged):
        assert reason is None or int(reason.split("#")[1].split(",")[0]) < len(texts)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_pairs_are_joined_as_by_scipy(seed: int) -> None:
    chance = np.random.default_rng(seed)
    n, m = int(chance.integers(1, 300)), int(chance.integers(0, 300))
    first, second = chance.integers(0, n, m), chance.integers(0, n, m)
    forest = Forest(n)
    for part in np.array_split(np.arange(m), 3):
        forest.join(first[part], second[part])
    forest.flatten()
    _, label = connected_components(csr_array((np.ones(m), (first, second)), shape=(n, n)), directed=False)
    least = {name: int(np.flatnonzero(label == name)[0]) for name in np.unique(label)}
    assert forest.parents.tolist() == [least[name] for name in label]


def as_they_are(rows: np.ndarray) -> np.ndarray:
    return rows[:, None]


def test_a_chain_is_found_though_its_ends_are_not_alike() -> None:
    rows = np.arange(60)[::-1].copy()
    forest = Forest(60)
    counts = join_alike(forest, np.zeros(60, np.uint64), rows, as_they_are, lambda a, b: np.abs(a - b)[:, 0] <= 1)
    forest.flatten()
    assert not forest.parents.any()
    assert counts["groups cut short"] == 0


def test_a_large_group_of_unlike_documents_is_left_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "SEARCHED", 10)
    forest = Forest(500)
    counts = join_alike(
        forest, np.zeros(500, np.uint64), np.arange(500), as_they_are, lambda a, b: np.zeros(len(b), bool)
    )
    assert counts["groups cut short"] == 1
    assert counts["pairs compared"] < 500 + 10 * 500
    assert (forest.parents == np.arange(500)).all()


def test_documents_without_words_are_left_alone_and_short_ones_must_be_equal() -> None:
    texts = ["", "...", "", "Hi there", "hi, THERE!", "hi", "hi there you", "春天", "春天。", "春"]
    judged, _ = run(NearDuplicates(), cut(texts, []))
    dropped = {row: reason for row, reason in enumerate(reasons(judged)) if reason}
    assert dropped == {4: "near-duplicate: of f#3, similarity 1.00", 8: "near-duplicate: of f#7, similarity 1.00"}


def test_chinese_documents_are_compared_by_characters() -> None:
    text = (
        "春天来了，山上的雪慢慢地化了，小河里的水又流了起来。孩子们脱下厚厚的棉衣，跑到田野里去放风筝，老人坐在门口。"
    )
    more = "秋天到了，树叶一片一片地落下来，农民在地里收玉米，天上的大雁排成一行往南方飞去，早晚的风已经有些凉了。"
    judged, _ = run(NearDuplicates(), cut([text * 2, more * 2, text + text.replace("老人", "大人")], []))
    assert reasons(judged)[:2] == [None, None]
    assert str(reasons(judged)[2]).startswith("near-duplicate: of f#0, similarity 0.")


def test_planted_near_duplicates_are_found_and_others_are_left() -> None:
    texts, jaccard = planted(originals=1500, copies=500, seed=3)
    stage = NearDuplicates()
    judged, _ = run(stage, cut(texts, [700, 700]))
    found = np.array([reason is not None for reason in reasons(judged)])
    true = np.array([jaccard.get(row, 0.0) for row in range(len(texts))])
    alike, unlike = true >= 0.8, true < 0.6
    assert alike.sum() > 150
    assert found[alike].mean() >= 0.95
    assert found[alike].sum() / (found[alike].sum() + found[unlike].sum()) >= 0.98


@pytest.mark.parametrize("stage", [NearDuplicates()])
def test_nothing_in_nothing_out(stage: Comparer) -> None:
    judged, counts = run(stage, [[], [documents([], [])], []])
    assert reasons(judged) == []
    assert not any(counts.values())


def test_wrong_settings_and_keys_of_others_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="threshold 0"):
        NearDuplicates(threshold=0.0)
    with pytest.raises(ConfigError, match="ngram is 0"):
        NearDuplicates(ngram=0)
    old = write_keys(NearDuplicates(seed=2), [documents(["a b"], ["x"])], tmp_path / "old.arrow")
    with pytest.raises(DataError, match=r"seed=2, not of .* seed=1"):
        run(NearDuplicates(against=(old,)), cut(["a b"], []))
