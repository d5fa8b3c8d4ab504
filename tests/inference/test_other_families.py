"""Families that the core does not know: positions or none, caches or none, masked or causal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf

from sensorium.errors import InputError
from sensorium.inference.decode import Request, decode
from sensorium.inference.transformers_engine import TransformersEngine
from sensorium.tasks.fill_mask import fill_masks
from tests.inference.folders import CONTEXT, VOCAB, saved

_IDS = {"pad_token_id": 0, "bos_token_id": 5, "eos_token_id": 6}
_SIZE = {
    "vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": CONTEXT,
}  # fmt: skip
CAUSAL: dict[str, Callable[[], Any]] = {
    "bloom": lambda: hf.BloomForCausalLM(hf.BloomConfig(vocab_size=VOCAB, hidden_size=32, n_layer=2, n_head=4, **_IDS)),
    "gpt neox": lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**_SIZE, **_IDS)),
    "gemma2": lambda: hf.Gemma2ForCausalLM(
        hf.Gemma2Config(**_SIZE, **_IDS, num_key_value_heads=2, head_dim=8, sliding_window=8)
    ),
    "mamba": lambda: hf.MambaForCausalLM(
        hf.MambaConfig(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, state_size=4, **_IDS)
    ),
}
MASKED: dict[str, Callable[[], Any]] = {
    "distilbert": lambda: hf.DistilBertForMaskedLM(
        hf.DistilBertConfig(
            vocab_size=VOCAB, dim=32, n_layers=2, n_heads=4, hidden_dim=48, max_position_embeddings=CONTEXT
        )
    ),
    "modernbert": lambda: hf.ModernBertForMaskedLM(
        hf.ModernBertConfig(**_SIZE, **_IDS, cls_token_id=2, sep_token_id=3)
    ),
}
_PADDED = {**_SIZE, **_IDS, "pad_token_id": 1}
"""Families whose position table begins after the padding id; MPNet's is always 1."""
OFFSET: dict[str, Callable[[], Any]] = {
    "camembert": lambda: hf.CamembertForMaskedLM(hf.CamembertConfig(**_PADDED)),
    "data2vec": lambda: hf.Data2VecTextForMaskedLM(hf.Data2VecTextConfig(**_PADDED)),
    "esm": lambda: hf.EsmForMaskedLM(hf.EsmConfig(**_PADDED, mask_token_id=4, position_embedding_type="absolute")),
    "ibert": lambda: hf.IBertForMaskedLM(hf.IBertConfig(**_PADDED)),
    "longformer": lambda: hf.LongformerForMaskedLM(hf.LongformerConfig(**_PADDED, attention_window=[8, 8])),
    "mpnet": lambda: hf.MPNetForMaskedLM(hf.MPNetConfig(**_PADDED)),
    "roberta": lambda: hf.RobertaForMaskedLM(hf.RobertaConfig(**_PADDED)),
}


@pytest.mark.parametrize("family", CAUSAL)
def test_batched_decoding_equals_stock_passes_without_a_cache(family: str, tmp_path) -> None:
    model = saved(CAUSAL[family](), tmp_path, "decoder")
    engine = TransformersEngine.open(tmp_path)
    prompts = [engine.tokenizer.encode(text) for text in ("the", "a banana and the 春眠", "bb")]
    expected = []
    for prompt, count in zip(prompts, (3, 6, 5), strict=True):
        row = list(prompt)
        with torch.no_grad():
            for _ in range(count):
                row.append(int(model(torch.tensor([row])).logits[0, -1].argmax()))
        expected.append(row[len(prompt) :])
    found: list[list[int]] = [[] for _ in prompts]
    requests = [
        Request(prompt=prompt, max_new_tokens=count, ignore_eos=True)
        for prompt, count in zip(prompts, (3, 6, 5), strict=True)
    ]
    for step in decode(engine, requests):
        found[step.row].append(step.token_id)
    assert found == expected


@pytest.mark.parametrize("family", MASKED)
def test_masked_logits_equal_stock(family: str, tmp_path) -> None:
    model = saved(MASKED[family](), tmp_path, "encoder")
    engine = TransformersEngine.open(tmp_path)
    sequences = [engine.tokenizer.encode(text) for text in ("a [MASK] b", "the much longer text [MASK]")]
    places = [[ids.index(engine.tokenizer.mask_id)] for ids in sequences]
    found = engine.masked_logits(sequences, places)
    for ids, (place,), row in zip(sequences, places, found, strict=True):
        with torch.no_grad():
            torch.testing.assert_close(row.clone(), model(torch.tensor([ids])).logits[0, place], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("family", OFFSET)
def test_a_position_table_that_begins_after_the_padding_id_holds_fewer_tokens(family: str, tmp_path) -> None:
    model = saved(OFFSET[family](), tmp_path, "encoder")
    engine = TransformersEngine.open(tmp_path)
    assert engine.context == CONTEXT - 2
    frame = len(engine.tokenizer.encode("[MASK]")) - 1
    longest = "[MASK]" + "b" * (engine.context - 1 - frame)
    ids = engine.tokenizer.encode(longest)
    assert len(ids) == engine.context
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0, ids.index(engine.tokenizer.mask_id)]
    found = engine.masked_logits([ids], [[ids.index(engine.tokenizer.mask_id)]])[0]
    torch.testing.assert_close(found.clone(), expected, atol=1e-4, rtol=1e-5)
    assert len(fill_masks(engine, [longest], top_k=3)[0]) == 3
    with pytest.raises(InputError, match=rf"{CONTEXT - 1} tokens long, the model takes {CONTEXT - 2}"):
        fill_masks(engine, [longest + "b"])
    with pytest.raises((IndexError, RuntimeError)):  # so the limit is the table's own, not one short of it
        engine.masked_logits([engine.tokenizer.encode(longest + "b")], [[0]])


def test_a_decoder_whose_table_begins_after_the_padding_id_counts_positions_from_there(tmp_path) -> None:
    model = saved(hf.CamembertForCausalLM(hf.CamembertConfig(**_PADDED, is_decoder=True)), tmp_path, "decoder")
    engine = TransformersEngine.open(tmp_path)
    rows = [engine.tokenizer.encode(text) for text in ("the", "a banana and the")]
    requests = [Request(prompt=row, max_new_tokens=engine.context - len(row), ignore_eos=True) for row in rows]
    for step in decode(engine, requests):
        with torch.no_grad():
            expected = model(torch.tensor([rows[step.row]])).logits[0, -1]
        assert step.token_id == int(expected.argmax())
        rows[step.row] = [*rows[step.row], step.token_id]
    assert [len(row) for row in rows] == [engine.context] * 2


def test_opening_says_nothing_and_leaves_the_switches_of_transformers_as_they_were(tmp_path, capfd) -> None:
    saved(CAUSAL["gpt neox"](), tmp_path, "decoder")
    verbosity = hf.logging.get_verbosity()
    capfd.readouterr()
    try:
        for bars in (False, True):
            (hf.logging.enable_progress_bar if bars else hf.logging.disable_progress_bar)()
            hf.logging.set_verbosity_info()
            TransformersEngine.open(tmp_path)
            assert (hf.logging.get_verbosity(), hf.logging.is_progress_bar_enabled()) == (hf.logging.INFO, bars)
    finally:
        hf.logging.set_verbosity(verbosity)
        hf.logging.enable_progress_bar()
    assert capfd.readouterr() == ("", "")
