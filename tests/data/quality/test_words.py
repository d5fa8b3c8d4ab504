from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.data.quality.lines import lines_of, paragraphs_of
from sensorium.data.quality.sentences import sentence_counts
from sensorium.data.quality.words import SEEN_BYTES, Words, encoded, hash_of, parts, words_of

TEXTS = st.lists(st.text(st.sampled_from("ab Z9_.,'’-\n\r\t#!\"“”…。中文の한é😀\0•/\u200b"), max_size=30), max_size=6)


def split(words: Words, document: int = 0) -> list[str]:
    chosen = slice(*words.offsets[document : document + 2])
    return [
        words.data[start:end].tobytes().decode()
        for start, end in zip(words.starts[chosen], words.ends[chosen], strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop, e.g. at 3,000.5!!", ["Don", "'t", "stop", ",", "e.g.", "at", "3,000.5", "!!"]),
        ("the U.S. of .45 and 1/2/2003", ["the", "U.S.", "of", ".45", "and", "1/2/2003"]),
        ("isn’t “naïve” café...", ["isn", "’t", "“", "naïve", "”", "café", "..."]),
        ("中文，没有。OK……", ["中", "文", "，", "没", "有", "。", "OK", "…", "…"]),
        ("file_name-- a+b", ["file_name", "--", "a", "+", "b"]),
        ("", []),
    ],
)
def test_words_are_cut_as_word_breaks_and_treebanks_do(text: str, expected: list[str]) -> None:
    assert split(words_of([text.encode()])) == expected


@given(TEXTS)
@settings(max_examples=100, deadline=None)
def test_words_and_white_space_make_up_the_text(texts: list[str]) -> None:
    words = words_of([text.encode() for text in texts])
    for document, text in enumerate(texts):
        without = "".join(letter for letter in text if not letter.isspace() and letter != "\u200b")
        assert "".join(split(words, document)) == without
    assert words.characters.tolist() == [len(text) for text in texts]
    everything = [word for document in range(len(texts)) for word in split(words, document)]
    assert words.lengths.tolist() == [len(word) for word in everything]
    assert [bool(any(letter.isalpha() for letter in word)) for word in everything] == words.alphabetic.tolist()
    assert len({*words.hashes.tolist()}) == len({*everything})


@given(TEXTS)
@settings(max_examples=60, deadline=None)
def test_a_document_is_the_same_alone_and_among_others(texts: list[str]) -> None:
    together = words_of([text.encode() for text in texts])
    lines = lines_of(together)
    hashes, counts = lines.hashes(), sentence_counts(lines)
    for document, text in enumerate(texts):
        alone = words_of([text.encode()])
        chosen = slice(*together.offsets[document : document + 2])
        assert together.hashes[chosen].tolist() == alone.hashes.tolist()
        own = lines_of(alone)
        assert hashes[slice(*lines.offsets[document : document + 2])].tolist() == own.hashes().tolist()
        assert counts[document] == sentence_counts(own)[0]
        assert len(own.starts) == sum(bool(line.strip("\u200b \t\r\n")) for line in text.split("\n"))


def test_hashes_tell_words_apart_that_differ_in_any_byte() -> None:
    rng = np.random.default_rng(0)
    words = {"".join(rng.choice(list("ab"), size)) for size in range(1, 90) for _ in range(60)}
    hashes = words_of([" ".join(sorted(words)).encode()]).hashes
    assert len(set(hashes.tolist())) == len(words)
    assert hash_of("the") == words_of([b"in the end"]).hashes[1]


def test_paragraphs_are_parted_by_blank_lines() -> None:
    words = words_of([b"one two\nthree\n\n\nfour\n", b"five"])
    assert paragraphs_of(words).counts.tolist() == [2, 1]
    assert lines_of(words).counts.tolist() == [3, 1]


def test_lines_that_differ_in_white_space_alone_are_the_same() -> None:
    repeated = lines_of(words_of([b"a  b c\n x\na b c \na b d", b"a b c"])).repeated
    assert [part.tolist() for part in repeated] == [[1, 0], [5, 0]]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Mr. Smith went to the U.S. in 1900. He liked it!", 2),
        ("What?! No... Yes. (It was.) “Good.”", 4),
        ("今天天气很好。我们去公园吗？好！", 3),
        ("A heading\nA sentence.", 2),
        ("See J. R. Ewing, e.g. here, at 3.14 or example.com.", 1),
        ("", 0),
    ],
)
def test_sentences_are_counted(text: str, count: int) -> None:
    assert sentence_counts(lines_of(words_of([text.encode()]))).tolist() == [count]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_any_column_of_text_is_read_sliced_or_with_missing_texts(kind: pa.DataType) -> None:
    batch = pa.record_batch({"text": pa.array(["x", "中 b", None, "", "d"], kind)})
    assert [bytes(text).decode() for text in encoded(batch)] == ["x", "中 b", "", "", "d"]
    assert [bytes(text).decode() for text in encoded(batch.slice(1, 3))] == ["中 b", "", ""]
    assert sum(len(words) for words in parts(batch.slice(1, 3))) == 3
    assert list(parts(batch.slice(0, 0))) == []


def test_of_a_very_long_document_the_beginning_is_looked_at() -> None:
    batch = pa.record_batch({"text": pa.array(["中" * (SEEN_BYTES // 3 + 5000), "end"])})
    first, second = parts(batch)
    assert len(first.data) < SEEN_BYTES + 100
    assert split(second) == ["end"]
