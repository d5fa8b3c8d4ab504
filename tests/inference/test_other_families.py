"""Families that the core does not know: positions or none, caches or none, masked or causal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf

from sensorium.inference.decode import Request, decode
from sensorium.inference.transformers_engine import TransformersEngine
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
