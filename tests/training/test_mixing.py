"""Training on several corpora: their shares, one tokenizer, resuming, what is told in the end; on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sensorium import prepare
from sensorium.cli.train import corpora
from sensorium.data.shards import Corpus
from sensorium.errors import CheckpointError, ConfigError, InputError
from sensorium.files import file_hash
from sensorium.training.mixture import open_mixture
from sensorium.training.train import train

LLAMA = ["model.kv_heads=1", "run.precision=fp32"]


@pytest.fixture(scope="module")
def second(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Another corpus of the same tokenizer, a few documents long."""
    folder = tmp_path_factory.mktemp("few")
    for i in range(4):
        text = " ".join(f"The ships of {i} and {j} sail at {i * j}." for j in range(12))
        (folder / f"{i}.txt").write_text(text, encoding="utf-8")
    return prepare(folder, out=folder.with_name(f"{folder.name}-corpus"), tokenizer=str(corpus.folder), validation=0.3)


def test_a_mixture_trains_resumes_to_the_same_bits_and_tells_how_often_each_was_read(
    corpus: Corpus, second: Corpus, tmp_path: Path, small: list[str]
) -> None:
    mixed = {str(corpus.folder): 3.0, str(second.folder): 1.0}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run = train(mixed, recipe="llama-tiny", out=whole, overrides=[*small, *LLAMA])
    train(mixed, recipe="llama-tiny", out=cut, overrides=[*small, *LLAMA])
    for path in (cut / "run").glob("state-000000012.*"):
        path.unlink()
    (cut / "config.json").unlink()
    again = train(mixed, recipe="llama-tiny", out=cut, overrides=[*small, *LLAMA], resume=True)
    one, two = (load_file(out / "model.safetensors") for out in (whole, cut))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert run.notes == again.notes
    (first_note, second_note) = run.notes
    assert first_note.startswith(f"{corpus.folder}: 0.")
    assert "epochs" in second_note
    facts = json.loads((whole / "sensorium.json").read_text())["corpus"]
    shares = [part["tokens"] / run.tokens for part in facts["mixture"]]
    assert [part["weight"] for part in facts["mixture"]] == [0.75, 0.25]
    assert shares == pytest.approx([0.75, 0.25], abs=32 / run.tokens)
    assert sum(part["tokens"] for part in facts["mixture"]) == run.tokens
    assert facts["splits"]["train"]["documents"] == len(corpus.train) + len(second.train)
    assert "| corpus | weight | tokens | epochs |" in (whole / "README.md").read_text()
    assert run.metrics["loss"] > 0


def test_epochs_count_for_the_corpus_that_was_read_least(
    corpus: Corpus, second: Corpus, out: Path, small: list[str]
) -> None:
    mixed = {str(corpus.folder): 0.5, str(second.folder): 0.5}
    settings = [*small, *LLAMA, "run.steps=1000", "run.epochs=0.2", "run.eval_every=1000", "run.save_every=1000"]
    train(mixed, recipe="llama-tiny", out=out, overrides=settings)
    epochs = [part["epochs"] for part in json.loads((out / "sensorium.json").read_text())["corpus"]["mixture"]]
    assert min(epochs) == pytest.approx(0.2, abs=0.1)
    assert epochs[1] > epochs[0]


def test_corpora_without_weights_count_by_their_tokens(corpus: Corpus, second: Corpus) -> None:
    mixed = open_mixture([corpus.folder, second.folder])
    tokens = [corpus.train.n_tokens, second.train.n_tokens]
    assert mixed.train.weights == pytest.approx([count / sum(tokens) for count in tokens])
    assert mixed.train.n_tokens == sum(tokens)
    assert mixed.manifest["splits"]["train"]["tokens"] == sum(tokens)
    other = open_mixture({corpus.folder: 1.0, second.folder: 2.0})
    assert other.fingerprint not in (mixed.fingerprint, corpus.fingerprint)


def test_what_does_not_go_together_is_refused(corpus: Corpus, tmp_path: Path, small: list[str]) -> None:
    (tmp_path / "a.txt").write_text("Other words have other pieces. " * 30, encoding="utf-8")
    other = prepare(tmp_path / "a.txt", out=tmp_path / "other", tokenizer="bpe:280", validation=0.0)
    with pytest.raises(InputError, match=r"has another tokenizer than .* --tokenizer"):
        open_mixture([corpus.folder, other.folder])
    with pytest.raises(InputError, match="is given twice"):
        open_mixture([corpus.folder, f"{corpus.folder}/../{corpus.folder.name}"])
    with pytest.raises(ConfigError, match="has the weight 0"):
        open_mixture({corpus.folder: 0.0})
    with pytest.raises(InputError, match="no corpus is given"):
        open_mixture([])
    with pytest.raises(InputError, match="no such folder"):
        open_mixture([corpus.folder, tmp_path / "nowhere"])
    with pytest.raises(InputError, match="not from several"):
        train({"a.csv": 0.5, "b.csv": 0.5}, recipe="classify-small", out=tmp_path / "out")


def test_a_run_goes_on_with_the_same_weights_only(corpus: Corpus, second: Corpus, out: Path, small: list[str]) -> None:
    settings = [*small, *LLAMA, "run.steps=2"]
    train({corpus.folder: 0.5, second.folder: 0.5}, recipe="llama-tiny", out=out, overrides=settings)
    with pytest.raises(InputError, match="another corpus"):
        train({corpus.folder: 0.6, second.folder: 0.4}, recipe="llama-tiny", out=out, overrides=settings, resume=True)


def test_a_state_of_another_format_is_refused(corpus: Corpus, out: Path, small: list[str]) -> None:
    train(corpus, recipe="llama-tiny", out=out, overrides=[*small, *LLAMA, "run.steps=2"])
    (path,) = (out / "run").glob("state-*.pt")
    state = torch.load(path, weights_only=True)
    del state["format"]
    torch.save(state, path)
    path.with_suffix(".json").write_text(json.dumps({"xxh3_128": file_hash(path)}))
    with pytest.raises(CheckpointError, match="has format 1, this version goes on from format 2"):
        train(corpus, recipe="llama-tiny", out=out, overrides=[*small, *LLAMA, "run.steps=2"], resume=True)


def test_words_of_the_command_line_name_corpora_and_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x=1").mkdir()
    assert corpora(["a"]) == "a"
    assert corpora(["x=1"]) == "x=1"
    assert corpora(["a", "x=1"]) == ["a", "x=1"]
    assert corpora(["a=0.7", "b/c=3"]) == {"a": 0.7, "b/c": 3.0}
    assert corpora(["x=1=2"]) == {"x=1": 2.0}
    for words, problem in ((["a=1", "b"], "others have none"), (["a=1", "a=2"], "twice"), (["a=much"], "no share")):
        with pytest.raises(InputError, match=problem):
            corpora(words)
