"""Documents that are tokenised whole have the tokens of their sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sensorium.data.prepare.byte_level import by_sentence, token_bytes
from sensorium.data.prepare.tokens import Encoded, encode
from sensorium.data.segment import sentences
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.data.tokens.train import parse_spec, train_tokenizer

ROOT = Path(__file__).parents[3]
TEXT = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")]


def trained(spec: str) -> Tokenizer:
    return train_tokenizer(lambda: iter(TEXT), parse_spec(spec), exact=False)


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return trained("bpe:1500")


def same(one: Encoded, two: Encoded) -> bool:
    return all(np.array_equal(vars(one)[name], vars(two)[name]) for name in vars(one))


pieces = st.sampled_from(
    [". ", "! ", "?", '." ', "。", "！”", "“", "…", "\n\n", "\n", "  ", "\t", " ", "'s", "Word", "word", "don't", "1.5",
     "A.", "中文", "字", "é", "😀", "...", "(a)", "\u3000"]
)  # fmt: skip


@settings(max_examples=400)
@given(parts=st.lists(st.lists(pieces, max_size=20).map("".join), max_size=4))
@example(parts=["他说：“好。”“走吧！”", "One.  Two.\n\n\n Three?!  "])
def test_the_tokens_are_those_of_the_sentences(bpe: Tokenizer, parts: list[str]) -> None:
    lengths = token_bytes(bpe)
    assert lengths is not None
    assert same(encode(parts, bpe, lengths), encode(parts, bpe))


def test_real_text_needs_no_second_look(bpe: Tokenizer) -> None:
    lengths = token_bytes(bpe)
    assert lengths is not None
    paragraphs = [part for text in TEXT for part in text.split("\n\n")]
    found = [by_sentence(bpe.encode_raw([part])[0], sentences(part), lengths) for part in paragraphs]
    assert sum(one is None for one in found) < 0.05 * len(found)
    assert same(encode(paragraphs, bpe, lengths), encode(paragraphs, bpe))


@pytest.mark.parametrize("spec", ["wordpiece:1500", "unigram:800"])
def test_other_tokenizers_are_told_apart(spec: str) -> None:
    assert token_bytes(trained(spec)) is None
