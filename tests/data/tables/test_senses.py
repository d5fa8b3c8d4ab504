"""Rows of each modality as tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sensorium.data.tables.data import FusedData
from sensorium.data.tables.schema import Sense
from sensorium.data.tables.senses import Augment, Texts
from sensorium.data.tables.specs import SenseSpec, read_senses
from sensorium.data.tables.table import read_table
from sensorium.data.tokens.train import TokenizerSpec, train_tokenizer
from sensorium.modalities.pixels import ImageSpec, image_batch

WORDS = ["a red car stands there", "", "the blue house is old", "night"]


@pytest.fixture
def data(tmp_path: Path) -> FusedData:
    rng = np.random.default_rng(0)
    for number in (0, 2, 3):
        Image.fromarray(rng.integers(0, 255, (20, 30, 3), np.uint8)).save(tmp_path / f"{number}.png")
    rows = [{"p": f"{number}.png", "t": words} for number, words in enumerate(WORDS)]
    tokenizer = train_tokenizer(lambda: iter(WORDS), TokenizerSpec("bpe", 300), exact=False)
    specs = [
        SenseSpec(sense=Sense("p", "image", ("p",)), image=ImageSpec(resize=(16, 16))),
        SenseSpec(sense=Sense("t", "text", ("t",)), tokenizer=tokenizer, length=6),
    ]
    senses, notes = read_senses(specs, read_table(rows, root=tmp_path), some=True)
    assert notes == ["column 'p': 1 file could not be read (1.png: No such file or directory)"]
    return FusedData(senses, np.eye(2)[[0, 1, 0, 1]], np.arange(4))


def test_only_rows_that_are_there_are_held_as_the_model_reads_them(data: FusedData, tmp_path: Path) -> None:
    batch = data.batch(np.array([3, 1, 0]))
    picture = batch.inputs["p"]
    assert picture.present.tolist() == [True, False, True]
    expected = image_batch([tmp_path / "3.png", tmp_path / "0.png"], ImageSpec(resize=(16, 16)))
    assert (picture.values - expected).abs().max() < 1e-6
    text = batch.inputs["t"]
    assert text.present.tolist() == [True, False, True]
    assert text.valid is not None
    assert text.values.shape == text.valid.shape == (2, 6), "what is longer is cut, between its special tokens"
    special = [text.values[1, 0].item(), text.values[1, -1].item()]
    assert special == list(data.senses["t"].special[:2]) if isinstance(data.senses["t"], Texts) else False


def test_training_rows_change_by_their_seed_and_others_never(data: FusedData) -> None:
    augmented = FusedData(data.senses, data.targets, data.rows, Augment(words=0.9, colour=0.5))
    places = np.arange(4)
    first, again, other = (augmented.batch(places, seed=seed).inputs for seed in (1, 1, 2))
    for name in ("p", "t"):
        assert torch.equal(first[name].values, again[name].values)
        assert not torch.equal(first[name].values, other[name].values)
    plain = data.batch(places, seed=1).inputs
    kept = next(augmented.batches(4)).inputs
    assert all(torch.equal(plain[name].values, kept[name].values) for name in ("p", "t"))
    assert len(augmented.head(2)) == 2
    assert augmented.select(np.array([1])).augment is None


def test_a_modality_can_be_taken_away(data: FusedData) -> None:
    batch = data.batch(np.arange(4)).only(frozenset({"t"}))
    assert not batch.inputs["p"].present.any()
    assert len(batch.inputs["p"].values) == 0
    less = batch.inputs["t"].without(torch.tensor([True, False, False, False]))
    assert less.present.tolist() == [False, False, True, True]
    assert torch.equal(less.values, batch.inputs["t"].values[1:])
