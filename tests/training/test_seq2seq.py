"""Encoder-decoders learn, resume to the same bits, and leave folders from which stock `transformers` translates."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from sensorium.core import stack as core
from sensorium.core.encoder_decoder import EncoderDecoder
from sensorium.data.corpus import ParallelCorpus, language_token
from sensorium.data.labelled.question_pairs import prepare_questions
from sensorium.data.parallel.prepare import prepare_parallel
from sensorium.data.shards import Corpus
from sensorium.errors import CheckpointError, ConfigError, DataError, InputError
from sensorium.families import marian
from sensorium.families.checkpoint import LoadedModel
from sensorium.inference.fixtures import verify
from sensorium.inference.native_seq2seq import NativeSeq2SeqEngine
from sensorium.objectives.denoising import SENTINELS, sentinel
from sensorium.tasks.model import load
from sensorium.training.recipe import load_recipe
from sensorium.training.special import decoder_start
from sensorium.training.train import train
from tests.training.labelled import questions
from tests.training.pairs import pairs, rows

STOCK = {
    "marian": hf.MarianMTModel,
    "bart": hf.BartForConditionalGeneration,
    "t5": hf.T5ForConditionalGeneration,
}
SMALL = [
    "model.dim=64", "model.layers=1", "model.decoder_layers=1", "model.heads=2", "model.feedforward=128",
    "model.context=64", "batch.seq_len=32", "batch.tokens=512", "run.steps=12", "run.eval_every=6",
    "run.save_every=4", "run.precision=fp32", "schedule.warmup=5", "optim.lr=5e-3",
]  # fmt: skip


@pytest.fixture(scope="module")
def one_way(tmp_path_factory: pytest.TempPathFactory) -> ParallelCorpus:
    return pairs(tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def two_ways(tmp_path_factory: pytest.TempPathFactory) -> ParallelCorpus:
    return pairs(tmp_path_factory.mktemp("two"), both_ways=True)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def equal(a: Path, b: Path) -> bool:
    one, two = weights(a), weights(b)
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def losses(folder: Path, split: str) -> list[float]:
    found = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in found if row["split"] == split]


def greedy(folder: Path, texts: list[str]) -> list[list[int]]:
    """What our engine writes, token by token."""
    engine = NativeSeq2SeqEngine.open(folder)
    written = []
    for text in texts:
        state, logits = engine.read([engine.tokenizer.encode(text)], 40)
        ids: list[int] = []
        while len(ids) < 40 and not (ids and ids[-1] in engine.eos_ids):
            allowed = logits[0].clone()
            allowed[list(engine.facts.suppressed)] = -torch.inf
            ids.append(int(allowed.argmax()))
            logits = state.step(ids[-1:])
        written.append(ids)
    return written


@pytest.mark.parametrize("family", STOCK)
def test_a_run_learns_to_translate_and_stock_does_it_from_the_folder(
    family: str, one_way: ParallelCorpus, out: Path
) -> None:
    more = [f"model.family={family}", "run.steps=220", "run.eval_every=55", "run.save_every=500", "model.dropout=0.0"]
    run = train(one_way, recipe="translate-tiny", out=out, overrides=[*SMALL, *more])
    assert run.metrics["accuracy"] > 0.9
    assert run.metrics["loss"] == losses(out, "validation")[-1] < losses(out, "validation")[0]
    theirs, info = STOCK[family].from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    tokenizer = hf.AutoTokenizer.from_pretrained(out)
    known = dict(rows())
    held_out = [one_way.tokenizer.decode(one_way.validation.source.document(i)) for i in range(6)]
    batch = tokenizer(held_out, return_tensors="pt", padding=True)
    found = theirs.eval().generate(**batch, num_beams=1, max_length=41)
    for ids, ours in zip(found.tolist(), greedy(out, held_out), strict=True):
        assert ids[0] == theirs.config.decoder_start_token_id
        assert ids[1 : len(ours) + 1] == ours
        assert set(ids[len(ours) + 1 :]) <= {theirs.config.pad_token_id}
    written = tokenizer.batch_decode(found, skip_special_tokens=True)
    assert sum(known[text] == translation for text, translation in zip(held_out, written, strict=True)) >= 4
    assert verify(out).passed
    assert verify(out, engine="transformers").passed


def test_the_folder_says_how_to_write(one_way: ParallelCorpus, out: Path) -> None:
    train(one_way, recipe="translate-tiny", out=out, overrides=SMALL)
    settings = json.loads((out / "generation_config.json").read_text())
    tokenizer = one_way.tokenizer
    assert settings["decoder_start_token_id"] == settings["pad_token_id"] == tokenizer.pad_id
    assert settings["eos_token_id"] == settings["forced_eos_token_id"] == tokenizer.eos_id
    assert settings["bad_words_ids"] == [[tokenizer.pad_id]]
    assert (settings["num_beams"], settings["max_length"]) == (4, 64)
    names = json.loads((out / "tokenizer_config.json").read_text())
    assert (names["source_lang"], names["target_lang"]) == ("en", "fr")
    facts = json.loads((out / "sensorium.json").read_text())
    assert {fixture["task"] for fixture in facts["fixtures"]} == {"translate"}
    card = (out / "README.md").read_text()
    assert 'translate(text, source="en", target="fr")' in card
    assert f"{len(one_way.train):,} pairs" in card
    assert 'pipeline_tag: translation\nlanguage:\n- "en"\n- "fr"\n' in card


def test_a_changed_weight_is_found(one_way: ParallelCorpus, out: Path) -> None:
    train(one_way, recipe="translate-tiny", out=out, overrides=SMALL)
    tensors = weights(out)
    tensors["model.decoder.layers.0.encoder_attn.v_proj.weight"][3] += torch.linspace(-1, 1, 64)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    assert [check.name for check in verify(out).checks if not check.passed and check.name.startswith("logits")]


def test_a_t5_says_how_long_its_texts_were(one_way: ParallelCorpus, out: Path) -> None:
    train(one_way, recipe="translate-tiny", out=out, overrides=[*SMALL, "model.family=t5"])
    assert json.loads((out / "config.json").read_text())["n_positions"] == 64
    engine = NativeSeq2SeqEngine.open(out)
    assert engine.context == engine.facts.max_length == 64


@pytest.mark.parametrize("family", ["marian", "t5"])
def test_resuming_gives_the_same_bits(family: str, one_way: ParallelCorpus, tmp_path: Path) -> None:
    settings = [*SMALL, f"model.family={family}"]
    train(one_way, recipe="translate-tiny", out=tmp_path / "whole", overrides=settings)

    class StopError(Exception):
        pass

    from sensorium.training import loop

    real, calls = loop.Loop._step, 0

    def failing(self: Any, stream: Any) -> float:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise StopError
        return real(self, stream)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Loop, "_step", failing)
        with pytest.raises(StopError):
            train(one_way, recipe="translate-tiny", out=tmp_path / "cut", overrides=settings)
    run = train(one_way, recipe="translate-tiny", out=tmp_path / "cut", overrides=settings, resume=True)
    assert run.steps == 12
    assert equal(tmp_path / "whole", tmp_path / "cut")
    assert losses(tmp_path / "whole", "train") == losses(tmp_path / "cut", "train")


def test_the_shown_loss_is_without_smoothing(one_way: ParallelCorpus, tmp_path: Path) -> None:
    still = [*SMALL, "model.dropout=0.0", "optim.lr=0.0", "optim.muon_lr=0.0", "run.steps=10"]
    found = []
    for smoothing in (0.0, 0.5):
        name = tmp_path / str(smoothing)
        train(one_way, recipe="translate-tiny", out=name, overrides=[*still, f"objective.label_smoothing={smoothing}"])
        found.append(losses(name, "train"))
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_both_ways_are_learned_by_the_token_of_the_language(two_ways: ParallelCorpus, out: Path) -> None:
    more = ["run.steps=300", "run.eval_every=300", "run.save_every=500", "batch.tokens=768"]
    run = train(two_ways, recipe="translate-tiny", out=out, overrides=[*SMALL, *more])
    assert run.metrics["accuracy"] > 0.85
    theirs = hf.MarianMTModel.from_pretrained(out).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(out)
    for code, text, word in (
        ("fr", "The cat sees the dog today.", "jour"),
        ("en", "Le chat voit le chien ce jour.", "today"),
    ):
        batch = tokenizer(f"{language_token(code)} {text}", return_tensors="pt")
        assert word in tokenizer.decode(theirs.generate(**batch)[0], skip_special_tokens=True)


def test_given_weights_are_trained_on_and_keep_their_settings(one_way: ParallelCorpus, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(one_way, recipe="translate-tiny", out=first, overrides=[*SMALL, "model.family=bart"])
    generation = json.loads((first / "generation_config.json").read_text())
    (first / "generation_config.json").write_text(json.dumps({**generation, "num_beams": 7, "length_penalty": 0.6}))
    still = [*SMALL, "model.family=bart", "run.steps=1", "optim.lr=0.0", "optim.muon_lr=0.0"]
    train(one_way, recipe="translate-tiny", out=second, overrides=still, init=first)
    assert equal(first, second)
    kept = json.loads((second / "generation_config.json").read_text())
    assert (kept["num_beams"], kept["length_penalty"]) == (7, 0.6)
    assert kept["decoder_start_token_id"] == generation["decoder_start_token_id"] == one_way.tokenizer.eos_id
    with pytest.raises(CheckpointError, match=r"model\.layers=2 is not what the given model has"):
        train(one_way, recipe="translate-tiny", out=tmp_path / "x", overrides=[*still, "model.layers=2"], init=first)


def test_gradient_checkpointing_recomputes_the_blocks_of_both_stacks(
    one_way: ParallelCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recomputed = []
    original = core.checkpoint

    def counted(*given: Any, **options: Any) -> Any:
        recomputed.append(given[0])
        return original(*given, **options)

    monkeypatch.setattr(core, "checkpoint", counted)
    train(one_way, recipe="translate-tiny", out=tmp_path / "plain", overrides=SMALL)
    assert not recomputed
    asked = [*SMALL, "run.gradient_checkpointing=true"]
    train(one_way, recipe="translate-tiny", out=tmp_path / "checkpointed", overrides=asked)
    assert len(recomputed) == 2 * 12  # a block of each stack, twelve steps
    plain, checkpointed = weights(tmp_path / "plain"), weights(tmp_path / "checkpointed")
    for name, weight in plain.items():
        torch.testing.assert_close(checkpointed[name], weight, atol=1e-4, rtol=1e-3, msg=name)


COMPILED = """
import sys
from torch import nn
from sensorium.training.train import train
corpus, out, *overrides = sys.argv[1:]
compiled, original = [], nn.Module.compile
def eagerly(module, **options):  # the default back-end needs a C++ compiler on the machine
    compiled.append(type(module).__name__)
    original(module, backend="aot_eager", **options)
nn.Module.compile = eagerly
plain = train(corpus, recipe="translate-tiny", out=out + "/plain", overrides=overrides)
fast = train(corpus, recipe="translate-tiny", out=out + "/compiled", overrides=overrides, compile=True)
assert compiled == ["Block"] * 2, compiled
assert abs(fast.metrics["loss"] / plain.metrics["loss"] - 1) < 1e-3, (fast.metrics, plain.metrics)
"""


def test_compile_compiles_the_blocks_of_both_stacks(one_way: ParallelCorpus, tmp_path: Path) -> None:
    # In a process of its own: torch.compile cannot trace the type checks that tests run with.
    command = [sys.executable, "-c", COMPILED, str(one_way.folder), str(tmp_path), *SMALL]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_half_precision_is_near(one_way: ParallelCorpus, tmp_path: Path) -> None:
    found = []
    for precision in ("bf16", "fp32"):
        name = tmp_path / precision
        more = ["run.steps=24", "run.eval_every=12", f"run.precision={precision}"]
        train(one_way, recipe="translate-tiny", out=name, overrides=[*SMALL, *more])
        found.append(losses(name, "validation"))
    assert found[0] != found[1]
    assert found[0] == pytest.approx(found[1], rel=0.05)
    assert all(tensor.dtype == torch.float32 for tensor in weights(tmp_path / "bf16").values())


PRETRAINED = {"t5-mini": "t5", "bart-mini": "bart"}


@pytest.mark.parametrize("recipe", PRETRAINED)
def test_plain_text_teaches_a_model_to_restore_it(recipe: str, corpus: Corpus, out: Path) -> None:
    more = ["run.steps=90", "run.eval_every=30", "run.save_every=500", "batch.tokens=1024", "batch.seq_len=48"]
    train(corpus, recipe=recipe, out=out, overrides=[*SMALL, *more])
    found = losses(out, "validation")
    assert found[-1] < 0.9 * found[0]
    theirs, info = STOCK[PRETRAINED[recipe]].from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert verify(out).passed
    size = corpus.tokenizer.vocab_size
    tokenizer = hf.AutoTokenizer.from_pretrained(out)
    if recipe == "bart-mini":
        assert theirs.config.vocab_size == size
        return
    assert theirs.config.vocab_size == size + SENTINELS
    assert tokenizer(f"a{sentinel(SENTINELS - 1)}")["input_ids"][-2:] == [size, corpus.tokenizer.eos_id]
    assert "pipeline_tag: text2text-generation" in (out / "README.md").read_text()


def test_a_pretrained_model_learns_to_translate(corpus: Corpus, one_way: ParallelCorpus, tmp_path: Path) -> None:
    """BART's way: a vocabulary of one corpus serves the other."""
    train(corpus, recipe="bart-mini", out=tmp_path / "bart", overrides=SMALL)
    table = tmp_path / "pairs.tsv"
    table.write_text("en\tfr\n" + "".join(f"{a}\t{b}\n" for a, b in rows()), encoding="utf-8")
    again = prepare_parallel(table, out=tmp_path / "corpus", source="en", target="fr", tokenizer=tmp_path / "bart")
    more = ["model.family=bart", "model.dropout=0.1"]
    run = train(again, recipe="translate-tiny", out=tmp_path / "out", overrides=[*SMALL, *more], init=tmp_path / "bart")
    assert run.steps == 12
    assert json.loads((tmp_path / "out" / "config.json").read_text())["vocab_size"] == corpus.tokenizer.vocab_size


def test_pairs_that_are_too_long_are_named(one_way: ParallelCorpus, out: Path) -> None:
    lengths = one_way.train.lengths
    most = int(sorted(max(a, b) for a, b in zip(*lengths, strict=True))[len(one_way.train) // 2])
    run = train(one_way, recipe="translate-tiny", out=out, overrides=[*SMALL, f"batch.seq_len={most + 1}"])
    assert len(run.notes) == 1
    assert f"of {len(one_way.train)} pairs are longer than batch.seq_len" in run.notes[0]


def test_pairs_that_are_all_too_long_are_refused_and_end_no_run_where_they_are_held_out(
    one_way: ParallelCorpus, out: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"every pair has more than batch\.seq_len=2 tokens on a side"):
        train(one_way, recipe="translate-tiny", out=out, overrides=[*SMALL, "batch.seq_len=2"])
    assert not out.exists()
    table = tmp_path / "long.tsv"
    table.write_text(
        "en\tfr\n" + "".join(f"{a} {a} {a} {a} {a}\t{b} {b} {b} {b} {b}\n" for a, b in rows()), encoding="utf-8"
    )
    long = prepare_parallel(table, out=tmp_path / "long", source="en", target="fr", tokenizer=one_way.folder)
    mixed = copy.copy(one_way)
    mixed.validation = long.validation
    run = train(mixed, recipe="translate-tiny", out=out, overrides=SMALL)
    assert run.metrics.keys() == {"loss"}
    assert not losses(out, "validation")


def test_a_model_of_questions_says_that_it_answers(tmp_path: Path, out: Path) -> None:
    given = questions(tmp_path / "qa.json")
    corpus = prepare_questions(given, out=tmp_path / "corpus", tokenizer="bpe:300", validation=0.2)
    assert corpus.train.n_tokens < 512 < corpus.train.n_tokens + corpus.train.source.n_tokens  # of a batch
    train(corpus, recipe="translate-tiny", out=out, overrides=[*SMALL, "run.steps=1", "model.family=t5"])
    card = (out / "README.md").read_text()
    assert "pipeline_tag: text2text-generation" in card
    call = 'answer(question, context=text, method="generate")'
    assert f".{call}" in card
    eval(f"lm.{call}", {"lm": load(out), "question": "Who?", "text": "Anna went to Paris."})


def test_a_setting_that_says_nothing_does_not_hide_the_decoders_start(one_way: ParallelCorpus) -> None:
    fresh, key = load_recipe("translate-tiny").fresh, "decoder_start_token_id"
    model = EncoderDecoder(marian.sized(vocab_size=9, dim=8, layers=1, heads=1, feedforward=8, context=8))
    assert decoder_start(fresh, one_way.tokenizer, LoadedModel(model, {key: 7}, "", {key: None})) == 7
    assert decoder_start(fresh, one_way.tokenizer, LoadedModel(model, {key: 7}, "", {key: 5})) == 5


def test_another_kind_of_corpus_is_refused(one_way: ParallelCorpus, corpus: Corpus, out: Path) -> None:
    with pytest.raises(InputError, match="learns from a corpus of kind 'parallel', this one is of kind 'text'"):
        train(corpus, recipe="translate-tiny", out=out)
    with pytest.raises(InputError, match="of kind 'text', this one is of kind 'parallel'"):
        train(one_way.folder, recipe="llama-tiny", out=out)
    with pytest.raises(ConfigError, match=r"does not fit model\.family='llama'"):
        train(one_way, recipe="translate-tiny", out=out, overrides=["model.family=llama", "model.decoder_layers=2"])
