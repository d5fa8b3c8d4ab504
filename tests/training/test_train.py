"""Training learns, resumes to the same bits, stops cleanly, and leaves a folder that stock `transformers` opens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file

from sensorium.data.shards import Corpus
from sensorium.errors import CheckpointError, ConfigError, DataError, InputError
from sensorium.files import file_hash
from sensorium.tasks.model import load
from sensorium.training.recipe import list_recipes, load_recipe
from sensorium.training.train import train

SCRIPT = """
import sys, torch
from sensorium.training.train import train
torch.set_num_threads(1)
train(sys.argv[1], recipe=sys.argv[2], out=sys.argv[3], overrides=sys.argv[4:], resume=True)
"""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def equal(a: Path, b: Path) -> bool:
    one, two = weights(a), weights(b)
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


STOCK = {"bert-tiny": hf.BertForPreTraining, "llama-tiny": hf.LlamaForCausalLM, "gpt2-mini": hf.GPT2LMHeadModel}


@pytest.mark.parametrize(("recipe", "model"), STOCK.items())
def test_a_run_learns_and_stock_opens_it(recipe: str, model, corpus: Corpus, out: Path, small: list[str]) -> None:
    more = ["model.kv_heads=1"] if recipe == "llama-tiny" else []
    run = train(
        corpus,
        recipe=recipe,
        out=out,
        overrides=[*small, *more, "run.steps=240", "run.eval_every=40", "schedule.warmup=5", "optim.lr=5e-3"],
    )
    rows = [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["split"] == "validation"]
    # A masked model starts at the corpus's unigram distribution: the first steps leave less to gain.
    assert losses[-1] < losses[0] * (0.995 if recipe == "bert-tiny" else 0.9)
    assert run.metrics["loss"] == losses[-1]
    assert (out / "run" / "loss.png").stat().st_size > 5000
    theirs, info = model.from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    tokenizer = hf.AutoTokenizer.from_pretrained(out)
    text = "The cat sat by the [MASK] today. 今天" if recipe == "bert-tiny" else "The cat sat. 今天"
    lm = load(out, verify=True)
    assert tokenizer(text)["input_ids"] == lm.tokenizer.encode(text)
    assert theirs.config.vocab_size == 320


@pytest.mark.parametrize("recipe", ["bert-tiny", "llama-tiny"])
def test_resuming_gives_the_same_bits(recipe: str, corpus: Corpus, tmp_path: Path, small: list[str]) -> None:
    settings = [*small, "model.dropout=0.1", *(["model.kv_heads=1"] if recipe == "llama-tiny" else [])]
    train(corpus, recipe=recipe, out=tmp_path / "whole", overrides=settings)

    class StopError(Exception):
        pass

    from sensorium.training import loop

    real, calls = loop.Loop._step, 0

    def failing(self, stream):
        nonlocal calls
        calls += 1
        if calls == 7:
            raise StopError
        return real(self, stream)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Loop, "_step", failing)
        with pytest.raises(StopError):
            train(corpus, recipe=recipe, out=tmp_path / "cut", overrides=settings)
    run = train(corpus, recipe=recipe, out=tmp_path / "cut", overrides=settings, resume=True)
    assert run.steps == 12
    assert not run.notes
    again = train(corpus, recipe=recipe, out=tmp_path / "cut", overrides=settings, resume=True)
    assert (again.steps, again.metrics) == (12, run.metrics)
    assert again.notes == ("the run was done at step 12: to go on, raise where it ends",)
    assert equal(tmp_path / "whole", tmp_path / "cut")
    whole, cut = ((tmp_path / name / "run" / "metrics.jsonl").read_text() for name in ("whole", "cut"))
    assert [json.loads(x)["loss"] for x in whole.splitlines()] == [json.loads(x)["loss"] for x in cut.splitlines()]


def run_apart(corpus: Corpus, out: Path, settings: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(corpus.folder), "llama-tiny", str(out), *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for_state(out: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not list((out / "run").glob("state-*.json")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_killed_run_resumes_to_the_same_bits(corpus: Corpus, tmp_path: Path, small: list[str]) -> None:
    settings = [*small, "model.kv_heads=1", "run.steps=60"]
    whole = run_apart(corpus, tmp_path / "whole", settings)
    assert whole.wait() == 0, whole.communicate()[1]
    victim = run_apart(corpus, tmp_path / "killed", settings)
    wait_for_state(tmp_path / "killed", victim)
    victim.kill()
    victim.wait()
    (tmp_path / "killed" / "run" / ".state-000000099.pt.cut.part").write_bytes(b"half")
    (tmp_path / "killed" / "run" / "export.part").mkdir()
    again = run_apart(corpus, tmp_path / "killed", settings)
    assert again.wait() == 0, again.communicate()[1]
    assert equal(tmp_path / "whole", tmp_path / "killed")
    assert not list((tmp_path / "killed").rglob("*.part"))


@pytest.mark.parametrize("damage", ["cut", "empty", "no state", "another version", "another size", "no generator"])
def test_a_state_that_cannot_be_used_is_refused(damage: str, corpus: Corpus, out: Path, small: list[str]) -> None:
    train(corpus, recipe="bert-tiny", out=out, overrides=small)
    path = out / "run" / "state-000000012.pt"
    state = torch.load(path, weights_only=True)
    if damage in ("cut", "empty"):
        path.write_bytes(path.read_bytes()[: 9000 if damage == "cut" else 0])
    else:
        name = next(iter(state["model"]))
        state["model"] |= {name: state["model"][name][:-1]} if damage == "another size" else {}
        state["progress"] |= {"place": 3} if damage == "another version" else {}
        state["rng"] = None if damage == "no generator" else state["rng"]
        torch.save([1, 2] if damage == "no state" else state, path)
    path.with_suffix(".json").write_text(json.dumps({"xxh3_128": file_hash(path)}))
    with pytest.raises(CheckpointError, match=r"(?s)state-000000012\.pt: the state is damaged, or .*Remove the file"):
        train(corpus, recipe="bert-tiny", out=out, overrides=small, resume=True)
    path.unlink()
    assert train(corpus, recipe="bert-tiny", out=out, overrides=small, resume=True).steps == 12


def test_ctrl_c_saves_and_says_how_to_go_on(corpus: Corpus, out: Path, small: list[str]) -> None:
    process = run_apart(corpus, out, [*small, "model.kv_heads=1", "run.steps=100000"])
    wait_for_state(out, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "the state is saved" in errors
    assert "--resume" in errors
    assert not (out / "config.json").exists()


def test_what_stands_there_is_kept(corpus: Corpus, out: Path, small: list[str]) -> None:
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="already exists"):
        train(corpus, recipe="bert-tiny", out=out, overrides=small)
    assert (out / "mine.txt").read_text() == "precious"


def test_a_corpus_smaller_than_a_batch_is_refused(corpus: Corpus, out: Path) -> None:
    with pytest.raises(DataError, match=r"one batch takes 1000000.*batch\.tokens="):
        train(corpus, recipe="bert-tiny", out=out, overrides=["batch.tokens=1000000"])
    assert not out.exists()


@pytest.mark.parametrize("setting", ["optim.kind=adamw", "model.dropout=0.5", "batch.tokens=64", "run.seed=1"])
def test_resuming_another_run_is_refused(setting: str, corpus: Corpus, out: Path, small: list[str]) -> None:
    train(corpus, recipe="bert-tiny", out=out, overrides=small)
    with pytest.raises(InputError, match=rf"the run was started with {setting.split('=')[0]}=.*--set"):
        train(corpus, recipe="bert-tiny", out=out, overrides=[*small, setting], resume=True)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lrr=1", r"did you mean optim\.lr\?"),
        ("modle.dim=4", "did you mean model"),
        ("optim.lr=fast", "not of type float"),
        ("objective.kind=mask", "not one of masked, causal"),
        ("batch.seq_len=4096", "longer than model.context"),
        ("model.heads=7", "not a multiple"),
    ],
)
def test_wrong_recipe_keys_and_values_are_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("bert-mini", [override])


def test_every_recipe_of_the_package_loads() -> None:
    names = list_recipes()
    for family, sizes in (("bert", "tiny mini small"), ("llama", "tiny mini small"), ("gpt2", "mini")):
        assert {f"{family}-{size}" for size in sizes.split()} <= names.keys()
    for name in names:
        assert load_recipe(name).description == names[name]
    with pytest.raises(InputError, match="did you mean 'bert-mini'"):
        load_recipe("bert-mni")
