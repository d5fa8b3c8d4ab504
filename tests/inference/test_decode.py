"""The decoding loop over an engine without weights."""

from __future__ import annotations

import math

import pytest
import torch

from sensorium.errors import EngineError
from sensorium.inference.decode import Request, Step, decode
from sensorium.inference.logits import Sampling
from tests.inference.mock import MockEngine, babbling, byte_tokenizer, reciting

TOKENIZER = byte_tokenizer()
TEXT = "He said: 春眠不觉晓.\nEND of it"


def run(engine: MockEngine, *requests: Request) -> list[list[Step]]:
    rows: list[list[Step]] = [[] for _ in requests]
    for step in decode(engine, requests):
        rows[step.row].append(step)
    return rows


def asking(prompt: str, limit: int = 100, **options) -> Request:
    return Request(prompt=TOKENIZER.encode(prompt), max_new_tokens=limit, **options)


def test_greedy_recites_and_ends_with_the_end_token() -> None:
    engine = MockEngine(TOKENIZER, reciting(TOKENIZER, TEXT))
    (steps,) = run(engine, asking("He "))
    assert "".join(step.text for step in steps) == TEXT[3:]
    assert [step.finish_reason for step in steps] == [None] * (len(steps) - 1) + ["stop"]
    assert steps[-1].token_id == TOKENIZER.eos_id
    expected = math.log(math.exp(5) / (math.exp(5) + TOKENIZER.vocab_size - 1))
    assert steps[0].logprob == pytest.approx(expected, abs=1e-5)


def test_the_limit_ends_a_row_and_gives_what_was_held_back() -> None:
    engine = MockEngine(TOKENIZER, reciting(TOKENIZER, TEXT))
    (steps,) = run(engine, asking("He ", 10))
    assert len(steps) == 10
    assert steps[-1].finish_reason == "length"
    assert "".join(step.text for step in steps) == "said: 春\ufffd"


def test_a_stop_string_across_tokens_ends_a_row() -> None:
    engine = MockEngine(TOKENIZER, reciting(TOKENIZER, TEXT))
    (steps,) = run(engine, asking("He ", stop=(".\nEND", "never")))
    assert "".join(step.text for step in steps) == "said: 春眠不觉晓"
    assert steps[-1].finish_reason == "stop"


def test_finished_rows_leave_the_batch() -> None:
    engine = MockEngine(TOKENIZER, reciting(TOKENIZER, TEXT))
    rows = run(engine, asking("He ", 2), asking("He ", 5), asking("He", 3))
    assert [len(row) for row in rows] == [2, 5, 3]
    assert engine.batches == [3, 3, 2, 1, 1]


def test_ignoring_the_end_goes_on() -> None:
    engine = MockEngine(TOKENIZER, reciting(TOKENIZER, "ab"))
    (steps,) = run(engine, asking("a", 4, ignore_eos=True))
    assert len(steps) == 4


def test_a_seed_gives_a_row_the_same_tokens_alone_and_in_any_batch() -> None:
    engine = MockEngine(TOKENIZER, babbling(TOKENIZER))
    sampling = Sampling(temperature=0.9, top_k=50, top_p=0.95, presence_penalty=0.3)
    requests = [asking(text, 12, sampling=sampling, seed=seed) for text, seed in (("a", 1), ("bc", 2), ("d", 1))]
    together = run(engine, *requests)
    for request, row in zip(requests, together, strict=True):
        assert run(engine, request) == [[Step(0, *_fields(step)) for step in row]]
    (other,) = run(engine, asking("a", 12, sampling=sampling, seed=3))
    assert [s.token_id for s in other] != [s.token_id for s in together[0]]
    fresh = {tuple(s.token_id for s in run(engine, asking("a", 12, sampling=sampling))[0]) for _ in range(2)}
    assert len(fresh) == 2


def _fields(step: Step) -> tuple:
    return step.token_id, step.logprob, step.text, step.finish_reason


def test_logprobs_are_those_before_the_transforms() -> None:
    engine = MockEngine(TOKENIZER, babbling(TOKENIZER))
    (steps,) = run(engine, asking("a", 3, sampling=Sampling(temperature=0.5, top_k=2), seed=0))
    row = TOKENIZER.encode("a")
    for step in steps:
        assert step.logprob == pytest.approx(float(engine.rule(row).log_softmax(-1)[step.token_id]), abs=1e-5)
        row.append(step.token_id)


def test_the_caller_of_a_stream_keeps_gradients() -> None:
    engine = MockEngine(TOKENIZER, reciting(TOKENIZER, TEXT))
    for _ in decode(engine, [asking("He ", 3)]):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


def test_logits_that_are_no_numbers_are_an_error() -> None:
    engine = MockEngine(TOKENIZER, lambda row: torch.full((TOKENIZER.vocab_size,), math.nan))
    with pytest.raises(EngineError, match="not finite"):
        run(engine, asking("a"))
