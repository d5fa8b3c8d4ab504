"""An index of a folder is kept, refreshed where files changed, and searched by words and by files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import sensorium as sm
from sensorium.errors import CapabilityError, CheckpointError, DataError, InputError
from sensorium.tasks.aligned import open_aligned
from sensorium.training.align import align
from tests.training.senses import COLOURS, SMALL, coloured_squares, square


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> sm.AlignedModel:
    folder = tmp_path_factory.mktemp("squares")
    table = coloured_squares(folder)
    settings = [*SMALL, "run.steps=80", "run.epochs=100", "run.held_out=0.0"]
    align(table, out=folder / "run", overrides=settings, device="cpu", show_progress=False)
    return sm.load(folder / "run", device="cpu")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    (tmp_path / "deep").mkdir()
    for name in COLOURS:
        square(name, rng).save(tmp_path / "deep" / f"{name}.png")
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    (tmp_path / ".hidden.png").write_bytes(b"x")
    return tmp_path


def test_words_find_pictures_and_pictures_find_pictures(model: sm.AlignedModel, photos: Path) -> None:
    index = model.index(photos)
    assert len(index) == len(COLOURS)
    assert model.search("a red square", index)[0].path == "deep/red.png"
    hits = model.search(None, index, like=photos / "deep" / "blue.png", top_k=2)
    assert hits[0].path == "deep/blue.png"
    assert hits[0].score == pytest.approx(1, abs=1e-5)
    assert len(hits) == 2
    assert hits[0].score >= hits[1].score


def test_the_index_is_kept_and_only_what_changed_is_read_again(model: sm.AlignedModel, photos: Path) -> None:
    first = model.index(photos)
    assert first.kept
    assert first.read == len(COLOURS) + 1
    again = model.index(photos)
    assert again.read == 0
    np.testing.assert_array_equal(again.vectors, first.vectors)
    shutil.copyfile(photos / "deep" / "red.png", photos / "deep" / "blue.png")
    os.utime(photos / "deep" / "blue.png", ns=(1, 1))
    (photos / "deep" / "pink.png").unlink()
    shutil.copyfile(photos / "deep" / "green.png", photos / "new.png")
    changed = model.index(photos)
    assert changed.read == 2
    assert "deep/pink.png" not in changed.paths
    assert "new.png" in changed.paths
    rows = {path: changed.vectors[place] for place, path in enumerate(changed.paths)}
    np.testing.assert_allclose(rows["deep/blue.png"], rows["deep/red.png"])


def test_a_damaged_index_is_made_anew_and_another_model_has_its_own(model: sm.AlignedModel, photos: Path) -> None:
    first = model.index(photos)
    (file,) = photos.glob(".sensorium-index-*")
    file.write_bytes(file.read_bytes()[:50])
    assert model.index(photos).read == first.read
    other = open_aligned(model.source, device="cpu")
    other.model.scale.data += 0.1
    assert other.index(photos).read == first.read
    assert len(list(photos.glob(".sensorium-index-*"))) == 2


def test_what_cannot_be_read_is_told_and_not_tried_again(model: sm.AlignedModel, photos: Path) -> None:
    (photos / "broken.png").write_bytes((photos / "deep" / "red.png").read_bytes()[:40])
    first = model.index(photos)
    assert [path for path, _ in first.problems] == ["broken.png"]
    again = model.index(photos)
    assert again.read == 0
    assert again.problems == first.problems


def test_a_folder_that_cannot_be_written_is_searched_all_the_same(
    model: sm.AlignedModel, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    index = model.index(photos, file=photos / "notes.txt" / "index")
    assert not index.kept
    assert len(index) == len(COLOURS)
    assert model.index(photos, file=elsewhere / "index").kept
    assert not list(photos.glob(".sensorium-index-*"))


def test_nothing_but_an_index_is_overwritten(model: sm.AlignedModel, photos: Path) -> None:
    diary = photos / "notes.txt"
    with pytest.raises(InputError, match="is not overwritten"):
        model.index(photos, file=diary)
    assert diary.read_text() == "no picture"
    with pytest.raises(InputError, match="is not overwritten"):
        model.index(photos, file=photos / "deep")
    model.index(photos)
    (place,) = photos.glob(".sensorium-index-*")
    place.write_bytes(b"something else")
    with pytest.raises(InputError, match="is not overwritten"):
        model.index(photos)
    assert place.read_bytes() == b"something else"


def test_what_only_its_name_says_is_a_picture_is_told(model: sm.AlignedModel, photos: Path) -> None:
    (photos / "empty.png").write_bytes(b"")
    (photos / "text.jpg").write_text("words")
    (photos / "sound.wav").write_bytes(b"")
    index = model.index(photos)
    assert dict(index.problems)["empty.png"] == "the file is empty"
    assert "it looks like a text file" in dict(index.problems)["text.jpg"]
    assert len(index.problems) == 2
    assert model.index(photos).read == 0


def test_half_a_character_is_told(model: sm.AlignedModel, photos: Path) -> None:
    for give in (
        lambda: model.embed(["a", "b \ud800"]),
        lambda: model.search("\ud800", photos),
        lambda: model.classify([photos / "deep" / "red.png"], ["a", "\ud800"]),
        lambda: model.search(None, photos, like="\ud800.png"),
        lambda: model.index(photos, file="\ud800"),
    ):
        with pytest.raises(InputError, match="not valid Unicode"):
            give()
    with pytest.raises(InputError, match="no such folder"):
        model.index("\ud800")


def test_bad_questions_are_told(model: sm.AlignedModel, photos: Path, tmp_path: Path) -> None:
    index = model.index(photos)
    with pytest.raises(InputError, match="give a text, or a file"):
        model.search(None, index)
    with pytest.raises(InputError, match="the text is empty"):
        model.search("  ", index)
    with pytest.raises(InputError, match="top_k is 0"):
        model.search("red", index, top_k=0)
    for query, options in ((None, {}), ("red", {"like": "x"}), ("red", {"top_k": 0}), (None, {"like": "absent.png"})):
        with pytest.raises(InputError):  # before the folder is looked at
            model.search(query, photos / "deep", **options)
    assert not list((photos / "deep").glob(".sensorium-index-*"))
    with pytest.raises(InputError, match="no such folder"):
        model.index(tmp_path / "nothing")
    with pytest.raises(InputError, match="holds no picture"):
        model.search(None, index, like=photos / "notes.txt")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no file in it that the model reads"):
        model.index(empty)


def test_embed_takes_one_sense_and_gives_unit_vectors(model: sm.AlignedModel, photos: Path) -> None:
    found = model.embed(["red", "a very long text " * 50])
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    single = np.concatenate([model.embed("red"), model.embed("a very long text " * 50)])
    np.testing.assert_allclose(found, single, atol=1e-6)
    assert model.similarity(found, found)[0, 0] == pytest.approx(1, abs=1e-6)
    for wrong in ({}, {"texts": ["a"], "images": ["b"]}, {"texts": []}):
        with pytest.raises(InputError, match="give one sense"):
            model.embed(**wrong)
    with pytest.raises(CapabilityError, match="reads no audio"):
        model.embed(sounds=[photos / "notes.txt"])


def test_classify_refuses_what_makes_no_sense(model: sm.AlignedModel, photos: Path) -> None:
    picture = [photos / "deep" / "red.png"]
    for labels in (["red"], ["red", "red"], "red"):
        with pytest.raises(InputError, match="two labels"):
            model.classify(picture, labels)
    with pytest.raises(InputError, match="no place for the label"):
        model.classify(picture, ["red", "blue"], template="a picture")
    several = model.classify(picture, ["red", "blue"], template=["a {} square", "{}"])
    assert several[0].label == "red"


def test_load_tells_a_language_model_from_an_aligned_one(model: sm.AlignedModel, tmp_path: Path) -> None:
    assert isinstance(sm.load(model.source), sm.AlignedModel)
    with pytest.raises(InputError, match="are for language models"):
        sm.load(model.source, verify=True)
    with pytest.raises(CapabilityError, match="no senses that share a space"):
        open_aligned(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(model.source, copy, ignore=shutil.ignore_patterns("run"))
    (copy / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match="nothing says how pictures are made"):
        sm.load(copy)
