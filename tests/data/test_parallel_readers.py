"""Whatever translations are packed in, the same rows come out; what is not aligned or not told is refused."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensorium.data.parallel.columns import Wanted, language_in_name, languages_in_name
from sensorium.data.parallel.readers import find_parallel, read_parallel
from sensorium.data.reading import tables
from sensorium.data.sample import Ledger
from sensorium.errors import DataError, InputError, SensoriumError

ROWS = [("Open the file", "打开文件"), ('Say "yes"', "说“是”"), ("A, b; c", "甲，乙；丙")]
EN_ZH = Wanted(source="en", targets=("zh",))


def read(*paths: Path, wanted: Wanted = EN_ZH, ledger: Ledger | None = None) -> list[tuple[dict[str, str], str | None]]:
    ledger = ledger or Ledger(strict=True)
    found = find_parallel(list(paths), wanted, ledger)
    return [(row.texts, row.group) for row in read_parallel(found, wanted, ledger)]


def texts(*paths: Path, wanted: Wanted = EN_ZH, ledger: Ledger | None = None) -> list[dict[str, str]]:
    return [row for row, _ in read(*paths, wanted=wanted, ledger=ledger)]


def tsv(*rows: tuple[str, ...]) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)


def quoted(*rows: tuple[str, ...]) -> str:
    sink = io.StringIO(newline="")
    csv.writer(sink).writerows(rows)
    return sink.getvalue()


def jsonl(*rows: dict) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


EXPECTED = [{"en": en, "zh": zh} for en, zh in ROWS]
NESTED = [{"translation": {"en": en, "zh": zh}, "id": "7"} for en, zh in ROWS]
TABLES: dict[str, str] = {
    "plain.tsv": tsv(*ROWS),
    "header.tsv": tsv(("en", "zh"), *ROWS),
    "named.tsv": tsv(("Chinese", "note", "English"), *[(zh, "x", en) for en, zh in ROWS]),
    "sides.tsv": tsv(("Source", "Target"), *ROWS),
    "plain.csv": quoted(*ROWS),
    "header.csv": quoted(("id", "zh", "en"), *[("1", zh, en) for en, zh in ROWS]),
    "keys.jsonl": jsonl(*[{"id": 1, "en": en, "zh": zh} for en, zh in ROWS]),
    "sides.jsonl": jsonl(*[{"src": en, "tgt": zh} for en, zh in ROWS]),
    "nested.jsonl": jsonl(*NESTED),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", TABLES)
def test_tables_give_the_same_rows(tmp_path: Path, name: str, encoding: str, packed: bool) -> None:
    data = TABLES[name].encode(encoding)
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(data) if packed else data)
    assert texts(path) == EXPECTED


def test_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"en": [en for en, _ in ROWS], "zh": [zh for _, zh in ROWS]}), tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pylist(NESTED), tmp_path / "b.parquet")
    assert texts(tmp_path / "a.parquet") == texts(tmp_path / "b.parquet") == EXPECTED


@pytest.mark.parametrize(
    "names", [("t.en", "t.zh"), ("en.txt", "zh.txt"), ("a.en.txt.gz", "a.zh_CN.txt"), ("1.txt", "2.txt")]
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_aligned_files_give_the_same_rows(tmp_path: Path, names: tuple[str, str], newline: str) -> None:
    for side, name in enumerate(names):
        data = newline.join(row[side] for row in ROWS).encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    rows = texts(tmp_path / names[0], tmp_path / names[1])
    assert [list(row.values()) for row in rows] == [list(row) for row in ROWS]


def test_memories_and_catalogues_give_the_same_rows(tmp_path: Path) -> None:
    units = "".join(
        f'<tu><tuv xml:lang="en-US"><seg>{en}</seg></tuv><tuv xml:lang="zh-CN"><seg>{zh}</seg></tuv></tu>'
        for en, zh in ROWS
    )
    (tmp_path / "a.tmx").write_text(f"<tmx><header/><body>{units}</body></tmx>", encoding="utf-8")
    assert texts(tmp_path / "a.tmx") == [{"en-US": en, "zh-CN": zh} for en, zh in ROWS]
    entries = "".join(f"msgid {json.dumps(en)}\nmsgstr {json.dumps(zh, ensure_ascii=False)}\n\n" for en, zh in ROWS)
    (tmp_path / "zh_CN.po").write_text(entries, encoding="utf-8")
    assert texts(tmp_path / "zh_CN.po") == [{"en": en, "zh-CN": zh} for en, zh in ROWS]


def test_files_that_name_no_language_follow_the_order_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("甲\tOne\n", encoding="utf-8")
    assert texts(tmp_path / "a.tsv", wanted=Wanted("zh", ("en",))) == [{"zh": "甲", "en": "One"}]
    (tmp_path / "a.en-zh.tsv").write_text("One\t甲\n", encoding="utf-8")
    for wanted in (Wanted(), Wanted("zh", ("en",)), EN_ZH):
        assert texts(tmp_path / "a.en-zh.tsv", wanted=wanted) == [{"en": "One", "zh": "甲"}]
    assert texts(tmp_path / "a.en-zh.tsv", wanted=Wanted("fr", ("zh",))) == [{"fr": "One", "zh": "甲"}]


@pytest.mark.parametrize("header", [True, False])
def test_the_group_is_a_column_beside_the_languages(tmp_path: Path, header: bool) -> None:
    rows = [("gimp", *row) for row in ROWS]
    (tmp_path / "a.tsv").write_text(tsv(*([("package", "en", "zh")] if header else []), *rows), encoding="utf-8")
    assert read(tmp_path / "a.tsv") == [(row, "gimp") for row in EXPECTED]
    (tmp_path / "b.tsv").write_text(tsv(("source", "en", "zh"), *rows), encoding="utf-8")
    assert read(tmp_path / "b.tsv") == [(row, "gimp") for row in EXPECTED]
    (tmp_path / "c.tsv").write_text(tsv(("en", "zh", "book"), *[(*row, "one") for row in ROWS]), encoding="utf-8")
    assert [group for _, group in read(tmp_path / "c.tsv")] == [None] * 3
    wanted = Wanted("en", ("zh",), group="book")
    assert [group for _, group in read(tmp_path / "c.tsv", wanted=wanted)] == ["one"] * 3


def test_columns_that_are_named_hold_the_languages(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(tsv(("k", "x", "y"), *[("1", zh, en) for en, zh in ROWS]), encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(jsonl(*[{"x": zh, "y": en} for en, zh in ROWS]), encoding="utf-8")
    for name in ("a.tsv", "b.jsonl"):
        wanted = Wanted("en", ("zh",), columns={"en": "y", "zh": "x"})
        assert texts(tmp_path / name, wanted=wanted) == EXPECTED
    (tmp_path / "c.tsv").write_text(tsv(*[("1", zh, en) for en, zh in ROWS]), encoding="utf-8")
    assert texts(tmp_path / "c.tsv", wanted=Wanted(columns={"en": "3", "zh": "2"})) == EXPECTED


def test_several_languages_are_read_from_one_file(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(tsv(("en", "zh", "fr", "id"), ("One", "一", "Un", "7")), encoding="utf-8")
    assert texts(tmp_path / "a.tsv", wanted=Wanted("en", ("fr", "zh"))) == [{"en": "One", "fr": "Un", "zh": "一"}]
    assert texts(tmp_path / "a.tsv", wanted=Wanted()) == [{"en": "One", "zh": "一", "fr": "Un"}]
    for code, text in {"en": "One", "zh": "一", "fr": "Un"}.items():
        (tmp_path / f"t.{code}").write_text(text, encoding="utf-8")
    paths = [tmp_path / f"t.{code}" for code in ("en", "zh", "fr")]
    assert texts(*paths, wanted=Wanted("en", ("zh",))) == [{"en": "One", "zh": "一"}]
    assert texts(*paths, wanted=Wanted()) == [{"en": "One", "zh": "一", "fr": "Un"}]


def test_a_folder_holds_all_of_these(tmp_path: Path) -> None:
    for name in ("po/zh_CN.po", "zh_CN/LC_MESSAGES/app.po", "fr/LC_MESSAGES/app.po", "text/t.en", "text/t.zh", "x.tsv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f'msgid "{name}"\nmsgstr "{name}"\n', encoding="utf-8")
    (tmp_path / "x.tsv").write_text("One\t一\n", encoding="utf-8")
    (tmp_path / ".git").mkdir()
    for name in ("README", "picture.png", ".git/zh.po"):
        (tmp_path / name).write_bytes(b"\x89")
    ledger = Ledger()
    rows = texts(tmp_path, ledger=ledger)
    assert [list(row) for row in rows] == [["en", "zh-CN"], ["en", "zh"], ["en", "zh-CN"], ["en", "zh"], ["en", "zh"]]
    assert ledger.counts["files of other kinds"] == 2
    assert ledger.counts["catalogues in other languages"] == 1
    assert not ledger.problems


def test_a_catalogue_says_its_languages_itself(tmp_path: Path) -> None:
    head = 'msgid ""\nmsgstr ""\n"Language: {to}\\n"\n"X-Source-Language: {of}\\n"\n\nmsgid "Eins"\nmsgstr "Un"\n'
    (tmp_path / "x.po").write_text(head.format(to="fr", of="de"), encoding="utf-8")
    assert texts(tmp_path / "x.po", wanted=Wanted()) == [{"de": "Eins", "fr": "Un"}]
    (tmp_path / "y.po").write_text('msgid "Eins"\nmsgstr "Un"\n', encoding="utf-8")
    assert texts(tmp_path / "y.po", wanted=Wanted("de", ("fr",))) == [{"de": "Eins", "fr": "Un"}]
    with pytest.raises(DataError, match=r"does not say its language, nor does its path\. Name it with --to"):
        texts(tmp_path / "y.po", wanted=Wanted())


REFUSED: dict[str, tuple[dict[str, bytes], Wanted, str]] = {
    "shorter": ({"t.en": b"a\nb\nc\n", "t.zh": b"a\nb\n"}, EN_ZH, r"t\.zh: ends after line 2, but .*t\.en has 3\. A"),
    "longer": ({"t.en": b"a\n", "t.zh": b"a\n" * 99}, EN_ZH, r"t\.en: ends after line 1, but .*t\.zh has 99"),
    "binary": ({"t.en": b"a\0b", "t.zh": b"a"}, EN_ZH, r"t\.en: a binary file, not text\. Aligned files"),
    "no text": ({"t.en": b"a", "t.zh": b"\xff\xfa"}, EN_ZH, r"t\.zh: not valid UTF-8 near byte 0"),
    "blank": ({"t.en": b"", "t.zh": b"a"}, EN_ZH, r"t\.en: the file is empty"),
    "alone": ({"t.en": b"a"}, EN_ZH, r"t\.en: there is no other text file that it is aligned with"),
    "no names": ({"1.txt": b"a", "2.txt": b"b"}, Wanted(), r"1\.txt: neither its name nor that of 2\.txt tells"),
    "three": ({"1.txt": b"a", "2.txt": b"b", "t.zh": b"c"}, EN_ZH, r"1\.txt: its name tells no language"),
    "no header": ({"a.tsv": b"One\tEins\n"}, Wanted(), r"a\.tsv:1: its first line is no header that names two"),
    "one column": ({"a.tsv": b"One\n"}, EN_ZH, r"no header names the languages of its 1 column"),
    "four columns": ({"a.csv": b"1,2,3,4\n"}, EN_ZH, r"its 4 column\(s\)\. Say which they are, .*--columns en=1,zh=2"),
    "several": ({"a.tsv": b"One\tEins\tUn\n"}, Wanted("en", ("de", "fr")), r"no header that names en and de and fr"),
    "no key": ({"a.jsonl": b'{"a": "x", "b": "y"}'}, EN_ZH, r"a\.jsonl:1: no key names a language.*\(present: a, b\)"),
    "no column": ({"a.tsv": b"en\tzh\n"}, Wanted(columns={"en": "x", "zh": "y"}), r"no column 'x'\. Its columns"),
    "no group": ({"a.tsv": b"en\tzh\n"}, Wanted("en", ("zh",), group="g"), r"no column 'g'\. Its columns are: en, zh"),
    "other kind": ({"a.pdf": b"%PDF"}, EN_ZH, r"files of the kind '\.pdf' hold no pairs\. Readable: .*\.tmx"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_told_is_refused_with_its_place(tmp_path: Path, case: str) -> None:
    files, wanted, reason = REFUSED[case]
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(SensoriumError, match=reason):
        texts(*(tmp_path / name for name in files), wanted=wanted, ledger=Ledger())


def test_inputs_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no input given"):
        texts()
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        texts(tmp_path / "nowhere")
    with pytest.raises(InputError, match="translations are not read from standard input"):
        texts(Path("-"))
    with pytest.raises(DataError, match="empty: the folder holds no translations"):
        texts(tmp_path / "empty")


DAMAGED: dict[str, tuple[bytes, str]] = {
    "binary.tsv": (b"\0" * 50, "a binary file, not text"),
    "latin.tsv": ("One\tÉté\n".encode("latin-1"), "not valid UTF-8"),
    "empty.tsv": (b"", "the file is empty"),
    "cut.tsv.gz": (gzip.compress(b"One\tEins\n" * 99)[:-9], "cannot be read"),
    "quote.csv": (b'en,zh\n"One,' + b"x" * 2000, "cannot be read: field larger"),
    "cut.parquet": (b"PAR1", "not a readable Parquet file"),
    "zh.po": (b'msgid "One\n', "neither a keyword nor a quoted string"),
    "zh.mo": (b"\xde\x12\x04\x95\0\0\0\0\1", "the file is cut"),
    "bomb.tmx": (b'<!DOCTYPE tmx [<!ENTITY a "b">]><tmx/>', "declares the entity 'a'"),
    "cut.tmx": (b"<tmx><body><tu>", "no element found"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_skipped_counted_and_listed(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensorium.data.parallel.tables.MAX_ROW", 1000)
    content, reason = DAMAGED[name]
    (tmp_path / name).write_bytes(content)
    (tmp_path / "good.tsv").write_text("One\t一\n", encoding="utf-8")
    ledger = Ledger()
    rows = texts(tmp_path, ledger=ledger)
    assert {"en": "One", "zh": "一"} in rows
    assert (len(ledger.problems), ledger.counts["problems"]) == (1, 1)
    assert ledger.problems[0]["where"].startswith(str(tmp_path / name))
    assert reason in ledger.problems[0]["reason"]
    with pytest.raises(DataError, match=name):
        texts(tmp_path)


def test_a_damaged_row_is_skipped_and_listed_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROW", 1000)
    (tmp_path / "a.tsv").write_text("en\tzh\nOne\t一\nTwo\n\n" + "x" * 2000 + "\nThree\t三\textra\n", encoding="utf-8")
    ledger = Ledger()
    assert texts(tmp_path / "a.tsv", ledger=ledger) == [{"en": "One", "zh": "一"}, {"en": "Three", "zh": "三"}]
    found = {problem["where"][-2:]: problem["reason"] for problem in ledger.problems}
    assert found == {":3": "has 1 columns, not 2", ":5": f"a line of more than {1 << 25} characters"}
    rows = ['{"en": "One", "zh": "一"}', "[1]", '{"en": "Two", "zh": 2}', '{"en": "Three"}', "{"]
    (tmp_path / "b.jsonl").write_text("\n".join(rows), encoding="utf-8")
    ledger = Ledger()
    assert texts(tmp_path / "b.jsonl", ledger=ledger) == [{"en": "One", "zh": "一"}, {"en": "Three"}]
    assert [problem["where"][-2:] for problem in ledger.problems] == [":2", ":3", ":5"]
    assert ledger.problems[1]["reason"] == "'zh' holds int, not text"


@pytest.mark.parametrize(
    ("name", "one", "two"),
    [
        ("train.en", "en", None), ("zh.txt", "zh", None), ("zh_CN.po", "zh-CN", None), ("app.pt_BR.po", "pt-BR", None),
        ("english.txt", "en", None), ("news-2024_de.txt.gz", "de", None), ("a.tsv", None, None),
        ("notes.txt", None, None), ("en-zh.tsv", None, ("en", "zh")), ("news.en_zh.csv", None, ("en", "zh")),
        ("en-zh_CN.tsv", None, ("en", "zh-CN")), ("top-ten.tsv", None, None), ("README", None, None),
    ],
)  # fmt: skip
def test_names_of_files_tell_languages(name: str, one: str | None, two: tuple[str, str] | None) -> None:
    assert languages_in_name(Path(name)) == two
    if two is None:
        assert language_in_name(Path(name)) == one
