"""Texts that are cut into words by arithmetic have the tokens that the library makes of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from sensorium.data.prepare import byte_level
from sensorium.data.prepare.byte_level import Words, words_of
from sensorium.data.prepare.tokens import Encoded, encode
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.data.tokens.train import parse_spec, train_tokenizer

ROOT = Path(__file__).parents[3]
TEXT = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")]


def trained(spec: str) -> Tokenizer:
    return train_tokenizer(lambda: iter(TEXT), parse_spec(spec), exact=False)


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return trained("bpe:1500")


@pytest.fixture(scope="module")
def words(bpe: Tokenizer) -> Words:
    found = words_of(bpe)
    assert found is not None
    return found


def assert_the_library_agrees(texts: Sequence[str], words: Words, tokenizer: Tokenizer) -> None:
    ids, lengths = words.encode(texts)
    expected = tokenizer.encode_raw(texts)
    assert lengths.tolist() == list(map(len, expected))
    assert ids.tolist() == [id for of_text in expected for id in of_text]


def same(one: Encoded, two: Encoded) -> bool:
    return all(np.array_equal(vars(one)[name], vars(two)[name]) for name in vars(one))


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
CUTS = st.text("' \n\t\r\u3000\xa0\x1c\x85'stmdrevlSTaAé1²Ⅷ!.’中\u0301\u200d\0🙂", max_size=30)


@settings(max_examples=600)
@given(texts=st.lists(CUTS | ANY, max_size=4))
@example(texts=["it's", "'s", "'", "'ll", "'l", "' s", " 's", "\n's", "'sand", "'rest", "l'll's've", "''re", "x'"])
@example(texts=["a  b", "a \n b", "a\n\nb", "a \n", "\n", " ", "  ", " \n1", "\u3000\u3000中", "!? ¿\n!"])
@example(texts=["'", "s", "'r", "e", " ", "a", "", "  ", "b"])
@example(texts=["[MASK] <s> [CLS]"])
def test_the_tokens_are_those_of_the_library(words: Words, bpe: Tokenizer, texts: list[str]) -> None:
    assert_the_library_agrees(texts, words, bpe)


def test_every_kind_of_character_is_told_as_the_library_tells_it(bpe: Tokenizer) -> None:
    characters = [chr(code) for code in (*range(0x3100), *range(0x3100, 0x110000, 61)) if not 0xD800 <= code < 0xE000]
    random.Random(0).shuffle(characters)
    texts = ["".join(characters[at : at + 50]) for at in range(0, len(characters), 50)]
    words = words_of(bpe)
    assert words is not None
    assert_the_library_agrees(texts, words, bpe)


def test_only_so_many_words_are_held(bpe: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_level, "CAPACITY", 20)
    words = words_of(bpe)
    assert words is not None
    for part in TEXT[0].split("\n\n"):
        assert_the_library_agrees([part, "x" * 1000, part], words, bpe)
        assert len(words) < 20 + len(part) + 2


sentences = st.sampled_from(
    [". ", "! ", "?", '." ', "。", "！”", "“", "…", "\n\n", "\n", "  ", "\t", " ", "'s", "Word", "word", "don't", "1.5",
     "A.", "中文", "字", "é", "😀", "...", "(a)", "\u3000"]
)  # fmt: skip


@settings(max_examples=300)
@given(parts=st.lists(st.lists(sentences, max_size=20).map("".join), max_size=4))
@example(parts=["他说：“好。”“走吧！”", "One.  Two.\n\n\n Three?!  "])
@example(parts=["", "\n"])
def test_documents_have_the_tokens_of_their_sentences(words: Words, bpe: Tokenizer, parts: list[str]) -> None:
    assert same(encode(parts, bpe, words), encode(parts, bpe))


def test_real_text_has_the_tokens_of_its_sentences(words: Words, bpe: Tokenizer) -> None:
    paragraphs = [part for text in TEXT for part in text.split("\n\n")]
    assert same(encode(paragraphs, bpe, words), encode(paragraphs, bpe))


def made(**of_model: Any) -> Tokenizer:
    """A vocabulary that lacks most bytes."""
    vocabulary = {token: number for number, token in enumerate(["[UNK]", "a", "b", "Ġ", "Ġa", "ab", "Ġab"])}
    backend = Backend(models.BPE(vocabulary, [("Ġ", "a"), ("a", "b"), ("Ġa", "b")], **of_model))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return Tokenizer(backend, {})


@pytest.mark.parametrize("of_model", [{}, {"unk_token": "[UNK]"}, {"unk_token": "[UNK]", "fuse_unk": True}])
def test_what_the_vocabulary_cannot_write_is_as_the_library_has_it(of_model: dict[str, Any]) -> None:
    tokenizer = made(**of_model)
    words = words_of(tokenizer)
    assert words is not None
    assert_the_library_agrees(["ab ab", "xyz abc", "中ab 文", "", "zz", " \n ab"], words, tokenizer)


def test_large_vocabularies_have_wider_tokens() -> None:
    backend = Backend(models.BPE({"a": 0, "b": 70_000}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = Tokenizer(backend, {})
    words = words_of(tokenizer)
    assert words is not None
    assert_the_library_agrees(["abba", "b"], words, tokenizer)


@pytest.mark.parametrize("spec", ["wordpiece:1500", "unigram:800"])
def test_other_tokenizers_are_told_apart(spec: str) -> None:
    assert words_of(trained(spec)) is None


def test_byte_level_tokenizers_that_do_more_are_told_apart() -> None:
    lower, prefix, added, whole = made(), made(), made(), made()
    lower.backend.normalizer = normalizers.Lowercase()
    prefix.backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    added.backend.add_tokens([AddedToken("abc")])
    whole.backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    assert [words_of(one) for one in (lower, prefix, added, whole, made(dropout=0.1))] == [None] * 5
