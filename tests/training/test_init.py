"""A given model is trained on whatever its size, if it can do what the recipe trains and reads the corpus's tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers as hf

from sensorium.data.parallel.prepare import prepare_parallel
from sensorium.data.prepare.prepare import prepare
from sensorium.data.shards import Corpus
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, CheckpointError, ConfigError
from sensorium.tasks.model import load
from sensorium.training.train import train
from tests.data.test_piece_folders import marian

STEP = ["run.steps=1", "batch.tokens=128", "batch.seq_len=16", "run.eval_every=1", "optim.lr=0.0", "optim.muon_lr=0.0"]
SMALL = ["model.dim=32", "model.layers=1", "model.heads=2", "model.feedforward=48", "model.context=64"]
LINES = [f"the {a} sees the {b} in the {c}" for a in ("cat", "dog") for b in ("man", "ant") for c in ("house", "rain")]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("init")
    (folder / "a.txt").write_text("\n\n".join(f"{line}, {n} times." for line in LINES for n in range(30)))
    return prepare(folder / "a.txt", out=folder / "corpus", tokenizer="bpe:280")


def llama(corpus: Corpus, folder: Path, **other: int) -> Path:
    """A folder of stock transformers with the corpus's tokenizer."""
    sizes = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 40} | other
    rows = sizes.pop("vocab_size", corpus.tokenizer.vocab_size)
    model = hf.LlamaForCausalLM(hf.LlamaConfig(vocab_size=rows, max_position_embeddings=12, **sizes))
    model.save_pretrained(folder)
    corpus.tokenizer.save(folder, kind="decoder")
    return folder


def test_the_models_numbers_count_and_the_recipe_tells_them(corpus: Corpus, tmp_path: Path) -> None:
    given = llama(corpus, tmp_path / "given")
    train(corpus, recipe="llama-tiny", out=tmp_path / "out", overrides=STEP, init=given)
    before, after = (hf.AutoModelForCausalLM.from_pretrained(folder) for folder in (given, tmp_path / "out"))
    assert all((before.state_dict()[name] == value).all() for name, value in after.state_dict().items())
    recipe = json.loads((tmp_path / "out" / "sensorium.json").read_text())["recipe"]
    assert {key: recipe["model"][key] for key in ("dim", "layers", "feedforward", "context")} == {
        "dim": 24, "layers": 3, "feedforward": 40, "context": 12,
    }  # fmt: skip
    assert recipe["batch"]["seq_len"] == 12


def test_rows_to_spare_are_no_other_vocabulary(corpus: Corpus, tmp_path: Path) -> None:
    given = llama(corpus, tmp_path / "given", vocab_size=corpus.tokenizer.vocab_size + 24)
    train(corpus, recipe="llama-tiny", out=tmp_path / "out", overrides=STEP, init=given)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["vocab_size"] == corpus.tokenizer.vocab_size + 24


def test_other_tokens_are_refused_though_they_are_as_many(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("\n\n".join(f"Zwölf Boxkämpfer jagen Viktor {n}" for n in range(300)))
    other = prepare(tmp_path / "b.txt", out=tmp_path / "other", tokenizer=f"bpe:{corpus.tokenizer.vocab_size}")
    assert other.tokenizer.vocab_size == corpus.tokenizer.vocab_size
    given = llama(other, tmp_path / "given")
    with pytest.raises(CheckpointError, match=r"the model's tokens are others than the corpus's.*--tokenizer"):
        train(corpus, recipe="llama-tiny", out=tmp_path / "out", overrides=STEP, init=given)


@pytest.mark.parametrize(
    ("recipe", "phrase"),
    [("bert-tiny", "no attention in both directions"), ("t5-mini", "no decoder beside its encoder")],
)
def test_a_model_that_lacks_what_is_trained_is_refused(
    recipe: str, phrase: str, corpus: Corpus, tmp_path: Path
) -> None:
    with pytest.raises(CapabilityError, match=phrase):
        train(corpus, recipe=recipe, out=tmp_path / "out", overrides=STEP, init=llama(corpus, tmp_path / "given"))


def test_a_size_that_is_asked_for_must_be_the_models(corpus: Corpus, tmp_path: Path) -> None:
    given = llama(corpus, tmp_path / "given")
    train(corpus, recipe="llama-tiny", out=tmp_path / "out", overrides=[*STEP, "model.kv_heads=2"], init=given)
    with pytest.raises(CheckpointError, match=r"model\.dim=64 is not what the given model has: 24"):
        train(corpus, recipe="llama-tiny", out=tmp_path / "x", overrides=[*STEP, "model.dim=64"], init=given)


@pytest.fixture
def pairs_of_two_scripts(tmp_path: Path) -> Path:
    table = tmp_path / "pairs.en-zh.tsv"
    table.write_text(
        "en\tzh\n" + "".join(f"{line} {n}\t天气很好，我们出去走走吧 {n}\n" for line in LINES for n in range(9))
    )
    return table


def test_a_fresh_model_has_one_vocabulary(pairs_of_two_scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    given = marian(tmp_path / "given", separate=True)
    pairs = prepare_parallel(pairs_of_two_scripts, out=tmp_path / "pairs", tokenizer=given)
    with pytest.raises(ConfigError, match="a vocabulary for each side"):
        train(pairs, recipe="translate-tiny", out=tmp_path / "x", overrides=[*STEP, "batch.seq_len=40"])


def test_a_stock_marian_with_a_part_for_each_side_learns_from_pairs(pairs_of_two_scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    given = marian(tmp_path / "given", separate=False)
    tokenizer = Tokenizer.from_folder(given)
    pairs = prepare_parallel(pairs_of_two_scripts, out=tmp_path / "pairs", tokenizer=given)
    steps = [*STEP, "batch.seq_len=40"]
    end, pad = tokenizer.eos_id, tokenizer.pad_id
    config = hf.MarianConfig(
        vocab_size=tokenizer.vocab_size, decoder_vocab_size=tokenizer.target.vocab_size, d_model=16, encoder_layers=1,
        decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        max_position_embeddings=48, pad_token_id=pad, eos_token_id=end, bos_token_id=end, decoder_start_token_id=pad,
        forced_eos_token_id=end,
    )  # fmt: skip
    hf.MarianMTModel(config).save_pretrained(given)
    train(pairs, recipe="translate-tiny", out=tmp_path / "out", overrides=steps, init=given)
    before, after = (hf.MarianMTModel.from_pretrained(folder) for folder in (given, tmp_path / "out"))
    assert all((before.state_dict()[name] == value).all() for name, value in after.state_dict().items())
    assert load(tmp_path / "out").translate("the cat", target="zh", max_new_tokens=4).tokens


def test_a_stock_marian_of_another_activation_learns_from_pairs(tmp_path: Path) -> None:
    table = tmp_path / "pairs.en-fr.tsv"
    table.write_text("en\tfr\n" + "".join(f"{line} {n}\tle {line[::-1]} {n}\n" for line in LINES for n in range(20)))
    first = prepare_parallel(table, out=tmp_path / "first", tokenizer="bpe:280")
    given, size = tmp_path / "given", first.tokenizer.vocab_size
    pad, end = first.tokenizer.pad_id, first.tokenizer.eos_id
    config = hf.MarianConfig(
        vocab_size=size, decoder_vocab_size=size, d_model=24, encoder_layers=2, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
        max_position_embeddings=48, activation_function="swish", pad_token_id=pad, eos_token_id=end,
        bos_token_id=end, decoder_start_token_id=pad, forced_eos_token_id=end,
    )  # fmt: skip
    hf.MarianMTModel(config).save_pretrained(given)
    first.tokenizer.save(given, kind="seq2seq")
    pairs = prepare_parallel(table, out=tmp_path / "pairs", tokenizer=given)
    steps = [*STEP[:2], "batch.seq_len=40", "run.steps=8", "run.eval_every=8", "optim.lr=1e-2"]
    run = train(pairs, recipe="translate-tiny", out=tmp_path / "out", overrides=steps, init=given)
    assert run.steps == 8
    kept = hf.AutoConfig.from_pretrained(tmp_path / "out")
    assert (kept.activation_function, kept.encoder_layers, kept.d_model) == ("silu", 2, 24)  # another name for swish
