"""What a run's settings do: passes, precision, time, validation, given weights, states to fall back on, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sensorium.data.shards import Corpus, TokenShards
from sensorium.errors import CheckpointError, DataError
from sensorium.objectives.causal import CausalObjective
from sensorium.objectives.masked import MaskedObjective
from sensorium.objectives.masking import Masking
from sensorium.objectives.objective import collate
from sensorium.objectives.stream import one_pass
from sensorium.training.loop import Loop
from sensorium.training.model import build_model
from sensorium.training.optim import build_optimizers
from sensorium.training.recipe import Recipe, load_recipe
from sensorium.training.source import check_enough
from sensorium.training.state import Progress, newest_state
from sensorium.training.train import train

LLAMA = ["model.kv_heads=1", "run.precision=fp32"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def equal(a: Path, b: Path) -> bool:
    one, two = weights(a), weights(b)
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def losses(folder: Path, split: str) -> list[float]:
    rows = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if row["split"] == split]


def loop_of(recipe: Recipe, corpus: Corpus, folder: Path) -> Loop:
    torch.manual_seed(0)
    model = build_model(recipe, corpus)
    return Loop(
        recipe=recipe, model=model, optimizers=build_optimizers(model, recipe.optim),
        objective=CausalObjective(corpus.tokenizer, seq_len=recipe.batch.seq_len), train=corpus.train,
        validation=corpus.validation, folder=folder, device=torch.device("cpu"), at=Progress(),
    )  # fmt: skip


def test_several_passes_equal_one_as_large(corpus: Corpus, tmp_path: Path, small: list[str]) -> None:
    objective = CausalObjective(corpus.tokenizer, seq_len=32)
    units = objective.units(corpus.train, np.random.default_rng(0))
    examples = [objective.example(corpus.train, unit, np.random.default_rng(0)) for unit in units[:60]]
    examples.sort(key=lambda example: len(example.ids))  # so that one pass predicts less than another
    several = [collate(examples[:20]), collate(examples[20:40]), collate(examples[40:])]
    assert len({len(batch.targets) for batch in several}) > 1
    found = []
    for batches in (several, [collate(examples)]):
        recipe = load_recipe("llama-tiny", [*small, *LLAMA, f"batch.accumulate={len(batches)}"])
        loop = loop_of(recipe, corpus, tmp_path)
        loss, _ = loop._gradients(batches)
        found.append((loss, [p.grad for p in loop.model.parameters()]))
    (loss, gradients), (whole_loss, whole_gradients) = found
    torch.testing.assert_close(loss, whole_loss, atol=0, rtol=1e-6)
    torch.testing.assert_close(gradients, whole_gradients, atol=1e-6, rtol=1e-4)


def test_a_step_takes_as_many_passes_as_asked(corpus: Corpus, tmp_path: Path, small: list[str]) -> None:
    settings = [*small, *LLAMA, "run.steps=4"]
    one = train(corpus, recipe="llama-tiny", out=tmp_path / "one", overrides=settings)
    two = train(corpus, recipe="llama-tiny", out=tmp_path / "two", overrides=[*settings, "batch.accumulate=2"])
    assert two.tokens == pytest.approx(2 * one.tokens, rel=0.2)


def test_given_weights_are_where_a_run_starts(corpus: Corpus, tmp_path: Path, small: list[str]) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(corpus, recipe="llama-tiny", out=first, overrides=[*small, *LLAMA])
    still = [*small, *LLAMA, "run.steps=1", "run.seed=5", "optim.lr=0.0", "optim.muon_lr=0.0"]
    train(corpus, recipe="llama-tiny", out=second, overrides=still, init=first)
    assert equal(first, second)
    with pytest.raises(CheckpointError, match=r"model\.layers=2 is not what the given model has: 1"):
        train(corpus, recipe="llama-tiny", out=tmp_path / "wide", overrides=[*still, "model.layers=2"], init=first)


def test_half_precision_learns_and_keeps_whole_weights(corpus: Corpus, tmp_path: Path, small: list[str]) -> None:
    more = ["model.kv_heads=1", "run.steps=60", "run.eval_every=20", "optim.lr=5e-3", "schedule.warmup=5"]
    for name in ("bf16", "fp32"):
        settings = [*small, *more, f"run.precision={name}"]
        train(corpus, recipe="llama-tiny", out=tmp_path / name, overrides=settings)
    half, whole = (losses(tmp_path / name, "validation") for name in ("bf16", "fp32"))
    assert half[-1] < half[0] - 0.3
    assert half != whole
    assert half == pytest.approx(whole, rel=0.05)
    assert all(tensor.dtype == torch.float32 for tensor in weights(tmp_path / "bf16").values())


def test_time_ends_a_run(corpus: Corpus, out: Path, small: list[str]) -> None:
    settings = [*small, *LLAMA, "run.steps=1000000", "run.max_minutes=0.02"]
    run = train(corpus, recipe="llama-tiny", out=out, overrides=settings)
    assert run.seconds >= 1.2
    assert 1 <= run.steps < 1000000
    assert (out / "config.json").is_file()
    rate = [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text().splitlines()][-2]["lr"]
    assert rate < 1e-3 * load_recipe("llama-tiny").optim.lr + 1e-4  # the schedule too goes by time


def test_a_damaged_state_is_passed_over_for_the_one_before(corpus: Corpus, tmp_path: Path, small: list[str]) -> None:
    whole, damaged = tmp_path / "whole", tmp_path / "damaged"
    for out in (whole, damaged):
        train(corpus, recipe="llama-tiny", out=out, overrides=[*small, *LLAMA])
    run = damaged / "run"
    newest = newest_state(run)
    assert newest is not None
    assert newest.name == "state-000000012.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    older = newest_state(run)
    assert older is not None
    assert older.name == "state-000000008.pt"
    (damaged / "config.json").unlink()
    assert train(corpus, recipe="llama-tiny", out=damaged, overrides=[*small, *LLAMA], resume=True).steps == 12
    assert equal(whole, damaged)
    assert losses(whole, "train") == losses(damaged, "train")


def test_validation_takes_the_first_documents(corpus: Corpus, out: Path, small: list[str]) -> None:
    whole, first = corpus.train, corpus.train.head(corpus.train.n_tokens // 2)
    assert 1 <= len(first) < len(whole)
    assert first.n_tokens <= whole.n_tokens // 2 < int(whole.document_offsets[len(first) + 1])
    assert first.n_bytes == int(whole.document_bytes[: len(first)].sum()) < whole.n_bytes
    assert first.n_sentences == sum(len(whole.sentences(i)) for i in range(len(first)))
    assert len(whole.head(0)) == 1


def test_sentence_pairs_are_drawn_from_the_documents_of_the_head(corpus: Corpus) -> None:
    masking = Masking.of(corpus.tokenizer, rate=0.15, unit="token")
    objective = MaskedObjective(corpus.tokenizer, seq_len=48, masking=masking, pairs="next")
    head = corpus.train.head(corpus.train.n_tokens // 4)
    head.tokens = partial(_only_before, head, head.n_tokens)
    pairs = [batch.pairs for batch in one_pass(objective, head, tokens=256, seed=0)]
    assert torch.cat([pair for pair in pairs if pair is not None]).unique().tolist() == [0, 1]


def _only_before(shards: TokenShards, end: int, start: int, stop: int):
    assert stop <= end
    return TokenShards.tokens(shards, start, stop)


@pytest.mark.parametrize("tokens", [10, 60, 64, 400])
def test_the_batch_that_is_advised_fits(tokens: int, tmp_path: Path, corpus: Corpus) -> None:
    class Short:
        """A split of so many tokens."""

        n_tokens = tokens

        def __len__(self) -> int:
            return 3

    short = Corpus.open(corpus.folder)
    short.train = Short()
    with pytest.raises(DataError, match="Prepare more text") as caught:
        check_enough(load_recipe("llama-tiny"), short)
    _, *advised = str(caught.value).split("--set ")
    assert bool(advised) == (tokens >= 64)
    if advised:
        check_enough(load_recipe("llama-tiny", [setting.strip() for setting in advised]), short)


def test_sigterm_saves_and_the_run_goes_on(corpus: Corpus, out: Path, small: list[str]) -> None:
    settings = [*small, *LLAMA, "run.steps=100000", "run.save_every=5", "run.eval_every=400"]
    command = ["train", str(corpus.folder), "--recipe", "llama-tiny", "--out", str(out), "--resume"]
    command += [word for setting in settings for word in ("--set", setting)]
    process = subprocess.Popen(
        [sys.executable, "-c", "from sensorium.cli.app import main; main()", *command],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list((out / "run").glob("state-*.json")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the state is saved" in errors
    assert not (out / "config.json").exists()
    stopped = newest_state(out / "run")
    assert stopped is not None
    step = int(stopped.stem.removeprefix("state-"))
    assert f"stopped at step {step};" in errors
    last = step + 20
    run = train(corpus, recipe="llama-tiny", out=out, overrides=[*settings, f"run.steps={last}"], resume=True)
    assert run.steps == last
    assert (out / "config.json").is_file()
