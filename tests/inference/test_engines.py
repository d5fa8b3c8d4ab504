"""Both engines compute what stock `transformers` computes, row by row and in any batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sensorium.errors import CapabilityError, CheckpointError
from sensorium.inference.decode import Request, decode
from sensorium.inference.engine import Engine, by_length
from sensorium.inference.native import NativeEngine
from sensorium.inference.transformers_engine import TransformersEngine
from tests.inference.folders import TOKENIZER, bert, gpt2, headless, llama, opt, roberta, saved

OPENERS: dict[str, Callable[..., Engine]] = {"native": NativeEngine.open, "transformers": TransformersEngine.open}
PROMPTS = ("the", "a banana and the 春眠", "b", "another")


@pytest.fixture(scope="module")
def decoders(tmp_path_factory) -> dict[str, tuple[Any, Any]]:
    root = tmp_path_factory.mktemp("decoders")
    makes = {"llama": llama, "gpt2": gpt2, "opt": opt}
    return {name: (saved(make(), root / name, "decoder"), root / name) for name, make in makes.items()}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory) -> dict[str, tuple[Any, Any]]:
    root = tmp_path_factory.mktemp("encoders")
    makes = {"bert": bert, "roberta": roberta}
    return {name: (saved(make(), root / name, "encoder"), root / name) for name, make in makes.items()}


CAUSAL = [("llama", "native"), ("gpt2", "native"), ("llama", "transformers"), ("opt", "transformers")]
MASKED = [("bert", "native"), ("bert", "transformers"), ("roberta", "transformers")]


def greedy(engine: Engine, prompts: list[list[int]], counts: list[int]) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in prompts]
    requests = [
        Request(prompt=prompt, max_new_tokens=count, ignore_eos=True)
        for prompt, count in zip(prompts, counts, strict=True)
    ]
    for step in decode(engine, requests):
        rows[step.row].append(step.token_id)
    return rows


@pytest.mark.parametrize(("family", "engine"), CAUSAL)
def test_greedy_equals_stock_generate_alone_and_in_a_batch(decoders, family: str, engine: str) -> None:
    model, folder = decoders[family]
    opened = OPENERS[engine](folder)
    prompts = [opened.tokenizer.encode(prompt) for prompt in PROMPTS]
    counts = [9, 16, 3, 7]
    expected = []
    for prompt, count in zip(prompts, counts, strict=True):
        out = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
            max_new_tokens=count, min_new_tokens=count, eos_token_id=None,
        )  # fmt: skip
        expected.append(out[0, len(prompt) :].tolist())
    assert greedy(opened, prompts, counts) == expected
    assert [greedy(opened, [p], [c])[0] for p, c in zip(prompts, counts, strict=True)] == expected


@pytest.mark.parametrize(("family", "engine"), CAUSAL)
def test_step_by_step_logits_equal_one_pass(decoders, family: str, engine: str) -> None:
    model, folder = decoders[family]
    opened = OPENERS[engine](folder)
    prompts = [TOKENIZER.encode(text) for text in ("a banana and the", "bb", "the end")]
    tails = torch.randint(7, TOKENIZER.vocab_size, (8, 3), generator=torch.Generator().manual_seed(1))
    state, logits = opened.prefill(prompts, 40)
    rows, alive = [list(p) for p in prompts], [0, 1, 2]
    for number, tail in enumerate(tails.tolist()):
        for row, found in zip(alive, logits, strict=True):
            with torch.no_grad():
                expected = model(torch.tensor([rows[row]])).logits[0, -1]
            torch.testing.assert_close(found.cpu().clone(), expected, atol=2e-4, rtol=1e-4)
        if number == 2:
            keep = [2, 1]
            state.keep(keep)
            alive = [alive[i] for i in keep]
        if number == 5:
            state.keep([1])
            alive = [alive[1]]
        for row in alive:
            rows[row].append(tail[row])
        logits = state.step([rows[row][-1] for row in alive])


@pytest.mark.parametrize(("family", "engine"), CAUSAL)
def test_causal_logprobs_equal_the_stock_loss(decoders, family: str, engine: str) -> None:
    model, folder = decoders[family]
    sequences = [TOKENIZER.encode(text) for text in ("the banana", "春眠不觉晓", "ab")]
    found = OPENERS[engine](folder).logprobs(sequences)
    for ids, logprobs in zip(sequences, found, strict=True):
        with torch.no_grad():
            loss = model(torch.tensor([ids]), labels=torch.tensor([ids])).loss
        assert len(logprobs) == len(ids) - 1
        torch.testing.assert_close(-logprobs.mean(), loss, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(("family", "engine"), MASKED)
def test_masked_logits_equal_stock(encoders, family: str, engine: str) -> None:
    model, folder = encoders[family]
    opened = OPENERS[engine](folder)
    texts = ("the [MASK] banana", "[MASK]", "春[MASK]不[MASK]晓 and more of the text")
    sequences = [opened.tokenizer.encode(text) for text in texts]
    positions = [[i for i, id in enumerate(ids) if id == opened.tokenizer.mask_id] for ids in sequences]
    found = opened.masked_logits(sequences, positions)
    expected = []
    for ids, places in zip(sequences, positions, strict=True):
        with torch.no_grad():
            expected.append(model(torch.tensor([ids])).logits[0, places])
    torch.testing.assert_close(found.clone(), torch.cat(expected), atol=1e-4, rtol=1e-5)


def test_what_an_engine_can_do_follows_from_the_model(encoders, decoders, tmp_path) -> None:
    assert NativeEngine.open(encoders["bert"][1]).capabilities == {"fill_mask", "score"}
    assert NativeEngine.open(decoders["gpt2"][1]).capabilities == {"generate", "score"}
    saved(headless(), tmp_path / "bare", "encoder")
    assert NativeEngine.open(tmp_path / "bare").capabilities == frozenset()
    with pytest.raises(CapabilityError, match="no model with a head for any task"):
        TransformersEngine.open(tmp_path / "bare")


def test_a_tokenizer_of_another_model_is_refused(tmp_path) -> None:
    model = llama()
    model.resize_token_embeddings(TOKENIZER.vocab_size - 9)
    saved(model, tmp_path, "decoder")
    with pytest.raises(CheckpointError, match="tokens, the model only"):
        NativeEngine.open(tmp_path)


def test_code_that_a_model_brings_is_not_run(decoders, tmp_path) -> None:
    import json
    import shutil

    folder = tmp_path / "remote"
    shutil.copytree(decoders["opt"][1], folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "strange", "auto_map": {"AutoModelForCausalLM": "evil.Model", "AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(CapabilityError, match="code of its own"):
        TransformersEngine.open(folder)
    assert not (tmp_path / "ran").exists()


def test_batches_are_of_similar_length_and_within_the_budget() -> None:
    lengths = [5, 90, 3, 4, 5, 30, 31]
    batches = list(by_length(lengths, budget=40))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert [[lengths[i] for i in batch] for batch in batches] == [[3, 4, 5, 5], [30], [31], [90]]
