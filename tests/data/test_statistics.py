"""Statistics of documents are right, add up in any order and stay small; so is how a tokenizer fits a language."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from functools import cache
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from sensorium.data.characters import SPACED, UNSPACED, Characters
from sensorium.data.fertility import fertility
from sensorium.data.stages import documents
from sensorium.data.statistics import EDGES, Lengths, Statistics
from sensorium.data.tally import NAMES, Tally
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.data.tokens.train import parse_spec, train_tokenizer
from sensorium.data.top_ngrams import CAPACITY, PIECE, NgramSample
from sensorium.errors import DataError

LETTERS = "abÉ1 '’.\n中文、ไทยあア한अ्क\u0301\U000e0100\u200d🙂"
ROWS = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["the", "cat", "sat", "中文", "很好", "x", "\n"]), max_size=40).map(" ".join),
        st.sampled_from(["a/1.txt", "a/2.txt#7", "b.jsonl:1", "b.jsonl:2#3"]),
        st.sampled_from(["en", "zh", None]),
        st.sampled_from([0.25, 0.5, 1.0]),
    ),
    max_size=12,
)


def batch_of(rows: list[tuple[str, str, str | None, float]]) -> pa.RecordBatch:
    texts, sources, languages, confidences = zip(*rows, strict=True) if rows else ((), (), (), ())
    batch = documents(texts, sources)
    batch = batch.append_column("language", pa.array(languages, pa.string()))
    return batch.append_column("confidence", pa.array(confidences, pa.float32()))


@cache
def austen() -> list[str]:
    packed = files("sensorium") / "assets" / "corpus" / "austen.jsonl.gz"
    texts = [json.loads(line)["text"] for line in gzip.decompress(packed.read_bytes()).decode().splitlines()]
    return [text[place : place + 5000] for text in texts for place in range(0, len(text), 5000)]


def reference_words(text: str) -> list[str]:
    """Words by one regular expression."""
    listed = "".join(rf"\p{{{script}}}" for script in (*SPACED, *UNSPACED))
    alone = "[[{}]&&[\\p{{L}}\\p{{M}}\\p{{Nl}}]]".format("".join(rf"\p{{{script}}}" for script in UNSPACED))
    mark = rf"[\p{{M}}--[{listed}]]"
    within = rf"[[\p{{L}}\p{{M}}\p{{N}}]--{alone}]"
    return regex.findall(rf"{alone}{mark}*|{within}+(?:['’]{within}+)*", text, flags=regex.V1)


@given(st.lists(st.text(LETTERS, max_size=30) | st.text(max_size=20), max_size=5))
@settings(max_examples=60)
def test_words_are_those_of_a_regular_expression(texts: list[str]) -> None:
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    found = Characters.of(pa.array(texts, pa.large_string()))
    words = [found.text[start:end] for start, end in zip(found.starts, found.ends, strict=True)]
    expected = [reference_words(text) for text in texts]
    assert words == [word for of_text in expected for word in of_text]
    assert found.words.tolist() == [len(of_text) for of_text in expected]


def test_letters_are_counted_by_script() -> None:
    text = "Ärger, naïve: Жук, 漢字とかな, 한글, ไทย 12 🙂"
    counted = Characters.of(pa.array([text, None, text])).letters
    expected = {name: 2 * len(regex.findall(rf"[\p{{{name}}}&&\p{{L}}]", text, flags=regex.V1)) for name in counted}
    assert counted == expected
    assert list(counted) == ["Latin", "Cyrillic", "Hangul", "Han", "Hiragana", "Thai"]


@given(ROWS, st.lists(st.integers(0, 12), max_size=3), st.sampled_from([0, 20, 200]))
@settings(max_examples=40)
def test_statistics_of_parts_add_up_to_those_of_the_whole(rows: list, cuts: list[int], capacity: int) -> None:
    whole = Statistics.of(batch_of(rows), capacity=capacity)
    edges = [0, *sorted(cuts), len(rows)]
    parts = [Statistics.of(batch_of(rows[a:b]), capacity=capacity) for a, b in pairwise(edges)]
    forth = back = Statistics(ngrams=NgramSample(capacity=capacity))
    for part in parts:
        forth = forth.merge(part)
    for part in reversed(parts):
        back = part.merge(back)
    assert forth == back == whole
    added = Statistics(ngrams=NgramSample(capacity=capacity))
    for a, b in pairwise(edges):
        added = added.add(batch_of(rows).slice(a, b - a))
    assert added == whole


@given(ROWS, ROWS, ROWS)
@settings(max_examples=25)
def test_merging_is_associative_and_commutative(a: list, b: list, c: list) -> None:
    one, two, three = (Statistics.of(batch_of(rows), capacity=30) for rows in (a, b, c))
    assert one.merge(two).merge(three) == one.merge(two.merge(three))
    assert one.merge(two) == two.merge(one)
    assert json.dumps(one.merge(two).to_dict()) == json.dumps(two.merge(one).to_dict())


@given(ROWS)
@settings(max_examples=20)
def test_statistics_survive_json(rows: list) -> None:
    statistics = Statistics.of(batch_of(rows), capacity=50)
    assert Statistics.from_dict(json.loads(json.dumps(statistics.to_dict()))) == statistics


def test_a_mere_summary_cannot_be_added_to() -> None:
    with pytest.raises(DataError, match="no whole statistics"):
        Statistics.from_dict(Statistics().summary())


def test_everything_is_counted() -> None:
    batch = batch_of(
        [("Don't go.", "a.zip!x:1", "en", 0.5), ("今天好", "b/c.txt", "zh", 1.0), ("", "a.zip!b/c.txt:2#1", "en", 0.75)]
    )
    batch = batch.append_column("tokens", pa.array([4, 3, 0]))
    batch = batch.append_column("licence", pa.array(["CC0", None, "CC0"]))
    found = Statistics.of(batch)
    assert (found.documents, found.characters, found.bytes, found.words) == (3, 12, 18, 5)
    assert found.scripts == {"Latin": 6, "Han": 3}
    assert found.lengths.counts == {0: 1, 3: 1, 6: 1}
    assert found.token_lengths.counts == {0: 1, 3: 1, 4: 1}
    assert found.languages.counts == {"en": (2, 9, 9, 2, 4, 1250), "zh": (1, 9, 3, 3, 3, 1000)}
    assert found.files.counts == {"a.zip": (2, 9), "b/c.txt": (1, 9)}
    assert found.licences.counts == {"CC0": (2, 9), "": (1, 9)}


def test_files_are_told_by_their_column_or_from_the_sources() -> None:
    sources = ["Hey! You:1.txt:7", "x/b.TAR.gz!c.zip!d.csv:2#3", "https://e.org/a!b:80"]
    batch = documents(["a"] * 3, sources)
    assert list(Statistics.of(batch).files.counts) == ["Hey! You:1.txt", "https://e.org/a!b", "x/b.TAR.gz"]
    told = batch.append_column("file", pa.array(["crawl.warc"] * 3))
    assert Statistics.of(told).files.counts == {"crawl.warc": (3, 3)}


def test_nothing_is_counted_of_nothing() -> None:
    assert Statistics.of(documents([], [])) == Statistics()
    nulls = pa.record_batch({"text": pa.array([None, None], pa.string()), "source": pa.array([None, "a"], pa.string())})
    assert Statistics.of(nulls).documents == 2
    assert Statistics.of(nulls).bytes == 0


@given(st.lists(st.integers(0, 10**7), max_size=50))
def test_lengths_are_numpys_histogram(lengths: list[int]) -> None:
    found = Lengths.of(np.asarray(lengths, np.int64))
    expected, _ = np.histogram(lengths, [0, *EDGES])
    assert found.counts == {edge: count for edge, count in zip((0, *EDGES), expected.tolist(), strict=False) if count}


def test_ngrams_are_those_of_scikit_learn() -> None:
    pattern = r"[^\W_]+(?:['’][^\W_]+)*"
    texts = [", ".join(regex.findall(pattern, text)[:PIECE]) for text in austen()[:25]]
    found = Statistics.of(documents(texts, [str(number) for number in range(25)])).ngrams
    assert found.level == 0
    for order in (1, 2, 3):
        vectorizer = CountVectorizer(token_pattern=pattern, ngram_range=(order, order))
        totals = np.asarray(vectorizer.fit_transform(texts).sum(0))[0]
        expected = Counter(dict(zip(vectorizer.get_feature_names_out(), totals.tolist(), strict=True)))
        assert {ngram.text: ngram.count for ngram in found.top(order, 10**6)} == expected


def test_what_is_sampled_is_near_the_truth() -> None:
    texts = austen()[:200]
    batch = documents(texts, [f"{number}.txt" for number in range(len(texts))])
    exact, sampled = (Statistics.of(batch, capacity=capacity).ngrams for capacity in (10**9, 20_000))
    assert (exact.level, exact.top(1, 1)[0].error) == (0, 0)
    assert sampled.level >= 2
    assert sum(len(one) for counters in sampled.counts.values() for one in counters) <= 20_000
    for order in (1, 2, 3):
        truth: Counter[str] = sum((counters[order - 1] for counters in exact.counts.values()), Counter())
        off = [(ngram.count - truth[ngram.text]) / ngram.error for ngram in sampled.top(order, 20)]
        # Words of one scene stand together, which the standard error does not know of.
        assert np.abs(off).max() < 6
        assert np.sqrt(np.mean(np.square(off))) < 2.5


def test_chinese_ngrams_are_written_without_spaces() -> None:
    found = Statistics.of(documents(["春天来了。春天 ok ok"], ["a"])).ngrams
    assert [ngram.text for ngram in found.top(2, 2)] == ["春天", "ok ok"]


def test_a_large_corpus_is_sampled_from_the_start() -> None:
    assert Statistics.empty().ngrams.level == Statistics.empty(CAPACITY).ngrams.level == 0
    assert Statistics.empty(10**9).ngrams.level >= 4


def test_a_tally_keeps_few_names_however_many_there_are() -> None:
    names = [f"crawl/{number % 40}/{number}.txt" for number in range(3 * NAMES)] + ["book.txt"]
    halves = [Tally.of(pa.array(part), [np.ones(len(part), np.int64)]) for part in (names[:900], names[900:])]
    whole = Tally.of(pa.array(names), [np.ones(len(names), np.int64)])
    assert whole == halves[0].merge(halves[1]) == halves[1].merge(halves[0])
    assert whole.parts == 2
    assert whole.counts["crawl/7"] == (75,)
    assert whole.counts["book.txt"] == (1,)
    assert len(whole.counts) == 41
    assert Tally.of(pa.array([str(number) for number in range(NAMES + 1)]), [np.ones(NAMES + 1, np.int64)]).counts == {
        "": (NAMES + 1,)
    }


@pytest.fixture(scope="module")
def english() -> list[str]:
    return ["The quick brown fox doesn't jump over the lazy dog."] * 50


@pytest.mark.parametrize("spec", ["bpe:300", "wordpiece:64"])
def test_fertility_is_tokens_by_words(spec: str, english: list[str]) -> None:
    tokenizer = train_tokenizer(lambda: iter(english), parse_spec(spec), exact=False)
    found = fertility(tokenizer, {"zh": ["今天天气很好。"], "en": english, "xx": []})
    assert list(found) == ["en", "xx", "zh"]
    tokens = sum(map(len, tokenizer.encode_batch(english, special=False)))
    assert (found["en"].tokens, found["en"].words) == (tokens, 500)
    assert found["en"].tokens_per_word == pytest.approx(tokens / 500)
    assert found["en"].coverage == 1
    assert found["zh"].coverage == 0
    assert found["zh"].to_dict()["words"] == 6
    assert found["xx"].tokens_per_word == 0


def test_bytes_that_a_tokenizer_falls_back_to_are_not_covered() -> None:
    pieces = [("<unk>", 0.0), *((f"<0x{byte:02X}>", -9.0) for byte in range(256)), ("▁the", -2.0), ("▁", -3.0)]
    backend = Backend(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    found = fertility(Tokenizer(backend, {"unk": "<unk>"}), {"en": ["the the Q 今"]})["en"]
    assert (found.tokens, found.fragments, found.unknown) == (8, 4, 0)
    assert found.coverage == 0.5
