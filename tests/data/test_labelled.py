"""Labelled tables and tagged sentences: which columns are what, and what cannot be used."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensorium.data.labelled.classes import Labelled, read_labelled
from sensorium.data.labelled.tags import read_tagged
from sensorium.data.sample import Ledger
from sensorium.errors import DataError, InputError

REVIEWS = [("A fine town, and warm.", "good"), ("Cold and wet all year.", "bad"), ("Nothing to say of it.", "good")]


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def table(path: Path, rows: list[dict]) -> Path:
    """Rows in the form that the file's name says."""
    names = list(rows[0])
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        written(path, "".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        written(path, json.dumps(rows))
    else:
        separator = "\t" if path.suffix == ".tsv" else ","
        lines = [names, *[[f'"{value}"' if separator == "," else str(value) for value in row.values()] for row in rows]]
        written(path, "\n".join(separator.join(map(str, line)) for line in lines))
    return path


def texts(rows: list[Labelled]) -> list[tuple[str, str]]:
    return [(row.text, row.label) for row in rows]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
@pytest.mark.parametrize("names", [("text", "label"), ("Sentence", "Sentiment"), ("was gesagt wurde", "urteil")])
def test_columns_are_found_in_every_format(suffix: str, names: tuple[str, str], tmp_path: Path) -> None:
    rows = [
        {"id": i, names[1]: label, names[0]: text, "source": f"web {i}"} for i, (text, label) in enumerate(REVIEWS * 4)
    ]
    ledger = Ledger()
    assert texts(read_labelled(table(tmp_path / f"t{suffix}", rows), ledger)) == REVIEWS * 4
    assert ledger.files[0]["path"] == f"t{suffix}"
    assert not ledger.problems


def test_a_packed_table_is_unpacked(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "t.csv.gz", "wt", encoding="utf-8") as file:
        file.write("text,label\nA,x\nB,y\n")
    assert texts(read_labelled(tmp_path / "t.csv.gz", Ledger())) == [("A", "x"), ("B", "y")]


def test_the_user_names_the_columns(tmp_path: Path) -> None:
    rows = [
        {"text": f"not this {i}", "body": text, "label": i, "stars": label} for i, (text, label) in enumerate(REVIEWS)
    ]
    path = table(tmp_path / "t.csv", rows)
    assert texts(read_labelled(path, Ledger(), columns={"text": "body", "label": "stars"})) == REVIEWS
    with pytest.raises(InputError, match="unknown column 'star'; did you mean 'stars'"):
        read_labelled(path, Ledger(), columns={"label": "star"})
    with pytest.raises(InputError, match=r"unknown column 'labels'; did you mean 'label'.*known: label, pair, text"):
        read_labelled(path, Ledger(), columns={"labels": "stars"})


@pytest.mark.parametrize("names", [("premise", "hypothesis"), ("sentence1", "sentence2"), ("question", "sentence")])
def test_pairs_of_texts_go_by_usual_names(names: tuple[str, str], tmp_path: Path) -> None:
    rows = [{names[0]: "A b c", names[1]: "D e f", "label": i % 2} for i in range(4)]
    found = read_labelled(table(tmp_path / "t.jsonl", rows), Ledger())
    assert [(row.text, row.pair, row.label) for row in found] == [("A b c", "D e f", str(i % 2)) for i in range(4)]


def test_labels_of_several_types_become_text(tmp_path: Path) -> None:
    rows = [{"text": "a b", "label": value} for value in (True, False, 3, 2.0, " x ")]
    found = read_labelled(table(tmp_path / "t.jsonl", rows), Ledger())
    assert [row.label for row in found] == ["true", "false", "3", "2", "x"]


def test_rows_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    values = [("a b", "x"), (" ", "y"), ("c", None), (4, "y")]
    rows = [*({"text": text, "label": label} for text, label in values), {"label": "y"}]
    ledger = Ledger()
    assert len(read_labelled(table(tmp_path / "t.jsonl", rows), ledger)) == 1
    assert [problem["reason"] for problem in ledger.problems] == [
        "has no text", "has no label", "has no text", "has no text",
    ]  # fmt: skip
    assert ledger.problems[0]["where"].endswith("t.jsonl:2")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\n", "holds no rows"),
        ("text,text\na,b\n", "two columns are called 'text'"),
        ("a,b\nx y z,1\nu v w,1\n", r"which column is the label\? none of them.*--columns label=NAME.*present: b"),
        ("text,label\n" + "".join(f"t {i},l{i}\n" for i in range(30)), "has 30 labels in 30 rows"),
    ],
)
def test_tables_that_say_nothing_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", content)
    with pytest.raises(DataError, match=message):
        read_labelled(path, Ledger())


def test_amounts_and_lists_are_no_classes(tmp_path: Path) -> None:
    for value, message in ((0.5, "0.5 is no class"), (["a", "b"], "holds list, not one class")):
        path = table(tmp_path / "t.jsonl", [{"text": "a", "label": value}])
        with pytest.raises(DataError, match=message):
            read_labelled(path, Ledger())


def test_a_row_of_another_length_is_listed(tmp_path: Path) -> None:
    ledger = Ledger()
    path = written(tmp_path / "t.csv", 'text,label\na,x\nb, and c,y\n"d, e",y\n')
    assert texts(read_labelled(path, ledger)) == [("a", "x"), ("d, e", "y")]
    assert ledger.problems == [{"where": f"{path}:3", "reason": "has 3 cells, the header has 2"}]


def test_files_that_are_not_there_or_no_tables_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_labelled(tmp_path / "none.csv", Ledger())
    with pytest.raises(DataError, match=r"files of the kind '.txt' are no tables"):
        read_labelled(written(tmp_path / "t.txt", "a"), Ledger())
    with pytest.raises(DataError, match=r"t\.json: not valid JSON"):
        read_labelled(written(tmp_path / "t.json", '{"text": "a"}\n{"text": "b"}'), Ledger())
    (tmp_path / "b.csv").write_bytes(b"\x00\x01\x02")
    with pytest.raises(DataError, match="holds no rows: a binary file"):
        read_labelled(tmp_path / "b.csv", Ledger())


CONLL = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

# # B-NP O
Peter NNP B-NP B-PER

"""
CONLLU = """# sent_id = 1
# text = Don't go.
1-2\tDon't\t_\t_\t_\t_
1\tDo\tdo\tAUX\t_\t_
2\tn't\tnot\tPART\t_\t_
3\tgo\tgo\tVERB\t_\t_
"""


def test_files_of_columns_are_read(tmp_path: Path) -> None:
    found = read_tagged(written(tmp_path / "t.conll", CONLL), Ledger())
    assert [(s.words, s.tags) for s in found] == [
        (("EU", "rejects"), ("B-ORG", "O")),
        (("#", "Peter"), ("O", "B-PER")),
    ]
    chunks = read_tagged(tmp_path / "t.conll", Ledger(), columns={"tags": "3"})
    assert chunks[0].tags == ("B-NP", "B-VP")
    found = read_tagged(written(tmp_path / "t.conllu", CONLLU), Ledger())
    assert [(s.words, s.tags) for s in found] == [(("Do", "n't", "go"), ("AUX", "PART", "VERB"))]


def test_a_file_may_begin_with_a_word_that_is_a_hash_or_with_a_comment(tmp_path: Path) -> None:
    found = read_tagged(written(tmp_path / "a.conll", "# O\n1 B-RANK\n\n"), Ledger())
    assert [(s.words, s.tags) for s in found] == [(("#", "1"), ("O", "B-RANK"))]
    found = read_tagged(written(tmp_path / "b.conll", "# of two sentences\nOslo B-LOC\n\n# another\n# O\n"), Ledger())
    assert [s.words for s in found] == [("Oslo",), ("#", "#")]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".json"])
@pytest.mark.parametrize("names", [("tokens", "ner_tags"), ("words", "labels"), ("w", "t")])
def test_tables_of_lists_are_read(suffix: str, names: tuple[str, str], tmp_path: Path) -> None:
    rows = [{names[0]: ["Anna", "ran"], names[1]: [1, 0]}, {names[0]: ["Oslo"], names[1]: [2]}]
    columns = {"words": "w", "tags": "t"} if names == ("w", "t") else None
    found = read_tagged(table(tmp_path / f"t{suffix}", rows), Ledger(), columns=columns)
    assert [(s.words, s.tags) for s in found] == [(("Anna", "ran"), ("1", "0")), (("Oslo",), ("2",))]


def test_sentences_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    ledger = Ledger()
    rows = [{"tokens": ["a", "b"], "tags": ["X"]}, {"tokens": "a b", "tags": "X Y"}, {"tokens": 3, "tags": ["X"]},
            {"tokens": ["a"], "tags": [None]}]  # fmt: skip
    found = read_tagged(table(tmp_path / "t.jsonl", rows), ledger)
    assert [s.tags for s in found] == [("X", "Y")]
    assert [p["reason"] for p in ledger.problems] == [
        "2 words have 1 tags", "'tokens' and 'tags' are not lists of words and of their tags", "word 1 has no tag",
    ]  # fmt: skip
    ledger = Ledger()
    found = read_tagged(written(tmp_path / "t.txt", "a X\nb\n\nc Y\n"), ledger)
    assert [s.words for s in found] == [("c",)]
    assert ledger.problems == [{"where": f"{tmp_path / 't.txt'}:1", "reason": "line 2 has no word and tag"}]


def test_wrong_columns_of_sentences_are_told(tmp_path: Path) -> None:
    path = table(tmp_path / "t.jsonl", [{"tokens": ["a"], "kinds": ["X"]}])
    with pytest.raises(DataError, match=r"--columns tags=NAME \(present: tokens, kinds\)"):
        read_tagged(path, Ledger())
    with pytest.raises(InputError, match="unknown column 'kind'; did you mean 'kinds'"):
        read_tagged(path, Ledger(), columns={"tags": "kind"})
    with pytest.raises(InputError, match="unknown column 'label'"):
        read_tagged(path, Ledger(), columns={"label": "kinds"})
    with pytest.raises(InputError, match="go by numbers, not 'ner'"):
        read_tagged(written(tmp_path / "t.conll", CONLL), Ledger(), columns={"tags": "ner"})
    with pytest.raises(DataError, match="holds no tagged sentence"):
        read_tagged(written(tmp_path / "e.conll", "\n\n"), Ledger())
