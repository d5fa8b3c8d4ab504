"""A tokenizer, tiny stock models with a head, and ours with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers as hf

from sensorium.core.model import Encoder
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.data.tokens.train import parse_spec, train_tokenizer
from sensorium.families.checkpoint import read_model
from tests.parity.stock import stock

WORDS = (
    "Anna", "Bert", "Carl", "lives", "works", "in", "Paris", "Rome", "Oslo", "since", "was", "born", "the", "town",
    "of", "is", "nice", "and", "cold", "very", "good", "bad",
)  # fmt: skip


def tokenizer() -> Tokenizer:
    """Whole words and their letters, between [CLS] and [SEP]."""
    texts = [" ".join([*WORDS[i:], *WORDS[:i]]) + f" {1990 + i}. Where? 她住在巴黎。" for i in range(len(WORDS))]
    return train_tokenizer(lambda: iter(texts), parse_spec("wordpiece:120"), exact=False).for_kind("encoder")


def pair(kind: type[Any], folder: Path, *, vocab_size: int, **settings: Any) -> tuple[Any, Encoder]:
    """A stock BERT whose parameters are all drawn at random, and ours."""
    config = hf.BertConfig(
        vocab_size=vocab_size, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=128, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **settings,
    )  # fmt: skip
    theirs = stock(lambda: kind(config), folder)
    ours = read_model(folder).model
    assert isinstance(ours, Encoder)
    return theirs, ours
