"""The model card says how the model was made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sensorium.data.prepare.prepare import prepare
from sensorium.data.shards import Corpus
from sensorium.training.train import train


def test_the_card_shows_settings_and_corpus(corpus: Corpus, out: Path, small: list[str]) -> None:
    settings = [*small, "run.steps=2", "optim.lr=0.0025", "schedule.kind=wsd", "batch.accumulate=3", "run.seed=7"]
    train(corpus, recipe="bert-tiny", out=out, overrides=settings)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "| optimiser | muon, lr 0.0025," in card
    assert "| schedule | wsd, warmup " in card
    assert "| batch | seq_len 32, tokens 128, accumulate 3 |" in card
    assert "| seed | 7 |" in card
    assert corpus.fingerprint in card
    assert card.count("xxh3 `") == 24
    assert "more, which" not in card


def test_the_card_says_when_it_does_not_name_all_files(tmp_path: Path, out: Path, small: list[str]) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for i in range(103):
        (texts / f"{i:03}.txt").write_text(f"The number {i} is followed by {i + 1}.", encoding="utf-8")
    made = prepare(texts, out=tmp_path / "many", tokenizer="bpe:300")
    train(made, recipe="bert-tiny", out=out, overrides=[*small, "run.steps=1", "objective.pairs=none"])
    card = (out / "README.md").read_text(encoding="utf-8")
    assert card.count("xxh3 `") == 100
    assert "- and 3 more, which the corpus's manifest.json names" in card
    assert json.loads((out / "sensorium.json").read_text())["corpus"]["n_files"] == 103


def test_a_model_made_in_the_current_folder_has_its_name(
    corpus: Corpus, out: Path, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out.mkdir()
    monkeypatch.chdir(out)
    train(corpus, recipe="bert-tiny", out=".", overrides=[*small, "run.steps=1"])
    assert f"# {out.name}\n" in Path("README.md").read_text(encoding="utf-8")
