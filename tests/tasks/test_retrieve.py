"""Passages of long texts."""

from __future__ import annotations

import random
import sys
import time

import bm25s
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sensorium.errors import CapabilityError, InputError
from sensorium.tasks.model import LanguageModel, load
from sensorium.tasks.retrieve import Passages, cut, embeddings, words

NEEDLE = " The lighthouse of Zanzibar was painted by Oduya in 1871. "
NEEDLE_ZH = "桑给巴尔的灯塔由奥杜亚于一八七一年粉刷。"


def book(size: int) -> str:
    """As much text as the size says: sentences, lines and paragraphs of words that nobody asks for."""
    rng = random.Random(0)
    vocabulary = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(5000)]
    made, length = list[str](), 0
    while length < size:
        paragraph = " ".join(rng.choices(vocabulary, k=80)).capitalize() + ". The painted house was old.\n\n"
        made += [paragraph] * 3
        length += 3 * len(paragraph)
    return "".join(made)


def find_needle(size: int) -> None:
    text = book(size)
    middle = text.index("\n\n", len(text) // 2)
    passages = Passages(
        text[:middle] + NEEDLE + text[middle:] + "今天天气很好。" * 300 + NEEDLE_ZH + "我们去公园。" * 300
    )
    for question, needle in (
        ("Who painted the lighthouse of Zanzibar?", NEEDLE),
        ("谁粉刷了桑给巴尔的灯塔？", NEEDLE_ZH),
    ):
        best = passages[passages.search(question, 3)[0]]
        assert needle.strip() in best.text
        assert passages.text[best.start : best.start + len(best.text)] == best.text


def test_the_needle_is_found_in_a_book_of_5_megabytes() -> None:
    find_needle(5_000_000)


@pytest.mark.slow
def test_the_needle_is_found_in_50_megabytes() -> None:
    find_needle(50_000_000)


@given(st.text(alphabet="ab. \n天。", max_size=200), st.integers(1, 30))
def test_passages_together_are_the_text_and_none_is_too_long(text: str, characters: int) -> None:
    places = list(cut(text, characters))
    assert "".join(text[start:end] for start, end in places) == text
    assert all(0 < end - start <= characters for start, end in places)


def test_a_sentence_without_end_is_cut_in_time_that_grows_with_it() -> None:
    def seconds(words: int) -> float:
        text, start = "word " * words, time.process_time()
        assert sum(end - first for first, end in cut(text, 1200)) == len(text)
        return time.process_time() - start

    # Four times the text: at the square of its length it would be sixteen times as long.
    assert seconds(1_600_000) < 10 * max(seconds(400_000), 0.01)


def test_passages_end_where_sentences_do() -> None:
    text = "One is here. Two is there. Three is gone."
    assert [text[a:b] for a, b in cut(text, 27)] == ["One is here. Two is there.", " Three is gone."]


def test_words_of_two_scripts() -> None:
    assert words("Hello, World's 2nd 今天好") == ["hello", "world", "s", "2nd", "今", "天", "好", "今天", "天好"]
    assert words("naïve Straße") == ["naïve", "straße"]
    assert words("?! ") == []


def test_scores_are_those_of_bm25s_on_the_same_words() -> None:
    passages = Passages("a cat ran.\nthe cat sat.\na dog sat on a cat, 猫狗.\n", characters=14)
    texts = [passages[i].text for i in range(len(passages))]
    stock = bm25s.BM25()
    stock.index([words(text) for text in texts], show_progress=False)
    for question in ("the cat", "dog 狗", "sat sat"):
        assert passages.scores(question) == pytest.approx(stock.get_scores(words(question)))
    assert passages.search("unheard", 2) == [0, 1]


def test_vectors_are_means_of_hidden_states(masked: LanguageModel) -> None:
    engine = masked.engine_for("fill_mask")
    texts = ["the cat", "a bat and the man", "the cat"]
    found = embeddings(engine, texts)
    for text, vector in zip(texts, found, strict=True):
        hidden = engine.model(torch.tensor([masked.tokenizer.encode(text)]))[0].mean(0)
        assert torch.allclose(vector, hidden / hidden.norm(), atol=1e-5)


def test_ranking_again_brings_the_same_text_up(masked: LanguageModel) -> None:
    text = "cat is a.\nthe cat sat\nb cat zz.\nthe cat ran\n"
    passages = Passages(text, characters=12)
    order = passages.search("the cat sat\n", 4, rerank=masked.engine_for("fill_mask"))
    assert sorted(order) == [0, 1, 2, 3]
    assert order[0] == 1


def test_an_engine_without_an_encoder_is_refused(causal: LanguageModel, encoder) -> None:
    stock = load(encoder[1], engine="transformers").engine_for("fill_mask")
    for engine in (causal.engine_for("generate"), stock):
        with pytest.raises(CapabilityError, match="only encoders of the native engine"):
            embeddings(engine, ["a"])


def test_bad_input_and_a_missing_package_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="the context is empty"):
        Passages(" \n")
    with pytest.raises(InputError, match="characters=0"):
        Passages("a", characters=0)
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(CapabilityError, match=r"pip install 'sensorium\[qa\]'"):
        Passages("a")
