"""Masks are filled as stock `transformers` fills them."""

from __future__ import annotations

import math

import pytest
import torch
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import InputError
from sensorium.tasks.fill_mask import fill_masks
from sensorium.tasks.model import load
from tests.inference.folders import CONTEXT
from tests.inference.mock import SPECIAL

TEXT = "This is a [MASK] example."


def test_candidates_equal_the_stock_pipeline(encoder, masked) -> None:
    _, folder = encoder
    stock = pipeline("fill-mask", model=AutoModelForMaskedLM.from_pretrained(folder), tokenizer=AutoTokenizer.from_pretrained(folder))  # noqa: E501 # fmt: skip
    expected = stock(TEXT, top_k=4)
    found = masked.fill_mask(TEXT, top_k=4)
    assert [fill.token_id for fill in found] == [one["token"] for one in expected]
    assert [fill.score for fill in found] == pytest.approx([one["score"] for one in expected], abs=1e-5)
    assert [fill.token for fill in found] == [one["token_str"].strip() for one in expected]
    assert all(fill.mask == 0 for fill in found)


def test_every_mask_is_filled_while_the_others_stay(encoder, masked) -> None:
    model, _ = encoder
    text = "这[MASK]一个[MASK]子"
    found = masked.fill_mask(text, top_k=3)
    ids = masked.tokenizer.encode(text)
    places = [i for i, id in enumerate(ids) if id == masked.tokenizer.mask_id]
    with torch.no_grad():
        probabilities = model(torch.tensor([ids])).logits[0, places].softmax(-1)
    assert [fill.mask for fill in found] == [0, 0, 0, 1, 1, 1]
    values, best = probabilities.topk(3)
    assert [fill.token_id for fill in found] == best.flatten().tolist()
    assert [fill.score for fill in found] == pytest.approx(values.flatten().tolist(), abs=1e-5)
    assert found[0].text.endswith("一个[MASK]子")
    assert found[3].text.startswith("这[MASK]一个")


def test_a_list_gives_what_its_texts_give_alone(masked) -> None:
    texts = [TEXT, "[MASK]", "a much longer text with [MASK] and [MASK] in it", "春[MASK]"]
    together = masked.fill_mask(texts, top_k=3)
    for text, fills in zip(texts, together, strict=True):
        alone = masked.fill_mask(text, top_k=3)
        assert [(f.token_id, f.mask, f.text) for f in fills] == [(f.token_id, f.mask, f.text) for f in alone]
        assert [f.score for f in fills] == pytest.approx([f.score for f in alone], abs=1e-5)
    assert masked.fill_mask([]) == []


def test_targets_are_the_only_candidates(masked) -> None:
    found = masked.fill_mask("[MASK] b", targets=["a", "b", "the", "a"])
    assert sorted(fill.token for fill in found) == ["a", "b", "the"]
    assert [fill.score for fill in found] == sorted((fill.score for fill in found), reverse=True)
    whole = {fill.token_id: fill.score for fill in masked.fill_mask("[MASK] b", top_k=1000)}
    assert all(fill.score == pytest.approx(whole[fill.token_id], abs=1e-6) for fill in found)
    spaced = masked.fill_mask("x [MASK]", targets=["the"])
    assert masked.tokenizer.token(spaced[0].token_id) == "Ġthe"
    with pytest.raises(InputError, match="'banana' is 4 tokens"):
        masked.fill_mask(TEXT, targets=["banana"])


def test_a_text_without_a_mask_names_the_mask_token(masked) -> None:
    with pytest.raises(InputError, match=r"no \[MASK\].*mask token is \[MASK\]"):
        masked.fill_mask("This is an example.")
    with pytest.raises(InputError, match=r"it has <mask>"):
        masked.fill_mask("This is a <mask> example.")
    with pytest.raises(InputError, match="text 2"):
        masked.fill_mask([TEXT, ""])


def test_a_text_longer_than_the_context_is_refused_with_numbers(masked) -> None:
    with pytest.raises(InputError, match=rf"{CONTEXT + 5} tokens long, the model takes {CONTEXT}"):
        masked.fill_mask("[MASK]" * (CONTEXT + 3))
    with pytest.raises(InputError, match="top_k=0"):
        masked.fill_mask(TEXT, top_k=0)


class _Fixed:
    """An engine that ranks the tokens as it is told."""

    name, source, causal, context = "fixed", "fixed", False, None
    capabilities = frozenset({"fill_mask"})
    eos_ids = frozenset()

    def __init__(self, tokenizer: Tokenizer, *best: str, spare: int = 0) -> None:
        self.tokenizer, self.best, self.rows = tokenizer, best, tokenizer.vocab_size + spare

    def masked_logits(self, sequences, positions) -> torch.Tensor:
        logits = torch.zeros(self.rows)
        for rank, token in enumerate(self.best):
            logits[self.tokenizer.id(token)] = 10.0 - rank
        return logits.repeat(sum(map(len, positions)), 1)

    def logprobs(self, sequences) -> list[torch.Tensor]:
        return []

    def prefill(self, sequences, capacity) -> tuple:
        raise AssertionError


def test_rows_without_a_token_count_in_the_score_but_are_no_candidates(masked) -> None:
    engine = _Fixed(masked.tokenizer, "a", spare=1000)
    found = fill_masks(engine, ["[MASK]"], top_k=2000)[0]
    assert len(found) == masked.tokenizer.vocab_size
    others = engine.rows - 1
    assert found[0].score == pytest.approx(1 / (1 + others * math.exp(-10)), rel=1e-5)


def test_wordpieces_join_the_word_before() -> None:
    vocabulary = {token: i for i, token in enumerate([*SPECIAL.values(), "play", "##ing", "child", "子"])}
    backend = Backend(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.add_special_tokens(list(SPECIAL.values()))
    engine = _Fixed(Tokenizer(backend, SPECIAL), "child", "##ing", "子")
    word, piece, _ = fill_masks(engine, ["a play [MASK]."], top_k=3)[0]
    assert (word.token, word.text) == ("child", "a play child.")
    assert (piece.token, piece.text) == ("##ing", "a playing.")
    assert fill_masks(engine, ["孩[MASK]们"], top_k=3)[0][2].text == "孩子们"


def test_spaces_are_as_the_token_has_them() -> None:
    vocabulary = {token: i for i, token in enumerate([*SPECIAL.values(), "Ġthe", "ing", "a"])}
    backend = Backend(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken("[MASK]", special=True, lstrip=True)])
    engine = _Fixed(Tokenizer(backend, SPECIAL), "Ġthe", "ing")
    texts = [
        [fill.text for fill in fills] for fills in fill_masks(engine, ["go [MASK] a", "[MASK]", "a[MASK]"], top_k=2)
    ]
    assert texts == [["go the a", "going a"], ["the", "ing"], ["a the", "aing"]]


def test_no_targets_at_all_are_refused(masked) -> None:
    for targets in ([], [""], ""):
        with pytest.raises(InputError, match="target"):
            masked.fill_mask(TEXT, targets=targets)


def test_the_targets_that_the_guide_shows_are_words_of_the_default_model() -> None:
    fills = load("default:encoder").fill_mask("She was very [MASK].", targets=["happy", "glad"])
    assert {fill.token.strip() for fill in fills} == {"happy", "glad"}
