"""Columns are what their content is; what cannot be used is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sensorium.data.captions import Captions, between_ends
from sensorium.data.sense_pairs import load_pairs, split_pairs, with_partners
from sensorium.data.sense_table import read_sense_table
from sensorium.data.tokens.train import TokenizerSpec, train_tokenizer
from sensorium.errors import ConfigError, DataError, InputError
from sensorium.modalities.pixels import ImageSpec

SPECS = {"image": ImageSpec(resize=(8, 8))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        pixels = np.full((10, 10, 3), 60 * number, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.dat", format="PNG")  # the content decides
    return tmp_path


def table(folder: Path, text: str, name: str = "pairs.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode("utf-8"))
    return path


def captions(context: int = 12) -> Captions:
    tokenizer = train_tokenizer(lambda: iter(["black grey white"] * 3), TokenizerSpec("bpe", 300), exact=False)
    return Captions(between_ends(tokenizer), context)


ROWS = "photo,caption,number,always,nothing\n0.dat,black,1,x,\n1.dat,grey,2,x,\n2.dat,,3,x,\ngone.dat,white,4,x,\n"


def test_columns_are_typed_by_their_content(folder: Path) -> None:
    found = read_sense_table(table(folder, ROWS))
    assert {column.name: column.kind for column in found.columns} == {"photo": "image", "caption": "text"}
    assert [note.split("'")[1] for note in found.notes] == ["number", "always", "nothing"]
    assert found.kinds == ("image", "text")


def test_a_bom_does_not_hide_the_first_column(folder: Path) -> None:
    found = read_sense_table(table(folder, "﻿" + ROWS))
    assert found.columns[0].name == "photo"


def test_names_of_files_that_are_missing_hint_at_their_kind(folder: Path) -> None:
    found = read_sense_table(table(folder, "a,b\nx.wav,one\ny.wav,two\n"))
    assert found.columns[0].kind == "audio"


@pytest.mark.parametrize(
    ("text", "columns", "problem"),
    [
        ("caption\nblack\ngrey\n", None, "two senses or more are needed, and caption is text"),
        ("photo,photo\n0.dat,1.dat\n", None, "two columns are called 'photo'"),
        ("photo,caption\n", None, "there are no rows"),
        (ROWS, {"foto": "image", "caption": "text"}, "unknown column 'foto'; did you mean 'photo'"),
        (ROWS, {"photo": "picture", "caption": "text"}, "unknown kind of column 'picture'"),
        (ROWS, {"photo": "image"}, "two senses or more"),
    ],
)
def test_bad_tables_are_told(folder: Path, text: str, columns: dict[str, str] | None, problem: str) -> None:
    with pytest.raises((DataError, InputError), match=problem):
        read_sense_table(table(folder, text), columns=columns)


def test_lists_of_json_are_one_text_and_nan_is_none(folder: Path) -> None:
    path = table(
        folder, '{"p": "0.dat", "t": ["a", "b"]}\n{"p": "1.dat", "t": NaN}\n{"p": "2.dat", "t": "c"}\n', "pairs.jsonl"
    )
    found = read_sense_table(path)
    assert found.columns[1].cells == ("a, b", None, "c")


def test_rows_that_lack_a_partner_are_left_out_and_corrupt_files_counted(folder: Path) -> None:
    found = read_sense_table(table(folder, ROWS))
    pairs, notes = load_pairs(found, specs=SPECS, captions=captions())
    assert pairs.senses().tolist() == [2, 2, 1, 1]
    assert "1 file could not be read (gone.dat" in notes[0]
    assert with_partners(pairs, "here").rows.tolist() == [0, 1]
    assert pairs.n_bytes == len("blackgreywhite")


def test_no_row_with_a_partner_is_an_error(folder: Path) -> None:
    found = read_sense_table(table(folder, "photo,caption\n0.dat,\n,black\n1.dat,\n,grey\n"))
    pairs, _ = load_pairs(found, specs=SPECS, captions=captions())
    with pytest.raises(DataError, match="no row has two senses"):
        with_partners(pairs, "here")


def test_rows_of_one_picture_are_held_out_together(folder: Path) -> None:
    rows = "".join(f"{n % 4}.dat,text {n}\n" for n in range(40))
    found = read_sense_table(table(folder, "photo,caption\n" + rows))
    pairs, _ = load_pairs(found, specs=SPECS, captions=captions())
    train, held = split_pairs(pairs, found, 0.3)
    files = pairs.columns["photo"].files
    assert len(train) + len(held) == 40
    assert held.rows.size
    assert not set(files[train.rows]) & set(files[held.rows])


def test_two_tables_of_other_cells_have_other_fingerprints(folder: Path) -> None:
    first = read_sense_table(table(folder, ROWS)).fingerprint
    assert read_sense_table(table(folder, ROWS, "copy.csv")).fingerprint == first
    assert read_sense_table(table(folder, ROWS.replace("grey", "gray"), "other.csv")).fingerprint != first


def test_special_tokens_in_a_text_are_text_and_long_ones_are_cut_before_the_end_token() -> None:
    made = captions(context=6)
    eos = made.tokenizer.eos_id
    ids = made.ids(["black [EOS] white " * 9, "grey"])
    assert len(ids[0]) == 6
    assert ids[0][-1] == eos
    assert (ids[0] == eos).sum() == 1
    batch, valid = made.batch(ids)
    assert batch.shape == (2, 6)
    assert valid.sum().item() == 6 + len(ids[1])


def test_a_context_without_room_is_refused() -> None:
    with pytest.raises(ConfigError, match="no room"):
        captions(context=2)
