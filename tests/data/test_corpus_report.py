"""What is known of a corpus is read and shown: all of it, of an older corpus what there is; damage is told."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sensorium import prepare
from sensorium.data.corpus_page import page, share, size
from sensorium.data.corpus_report import CorpusReport
from sensorium.data.parallel.prepare import prepare_parallel
from sensorium.data.shards import Corpus
from sensorium.errors import DataError, InputError
from tests.data.corpus_folder import ENGLISH, corpus_folder
from tests.reports.test_page import Reader


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus_folder(tmp_path_factory.mktemp("report"))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = tmp_path_factory.mktemp("older")
    for number in range(4):
        (raw / f"{number}.txt").write_text(ENGLISH[number // 2])
    out = raw.with_name("older-corpus")
    prepare(raw, out=out)
    for name in ("report.json", "timing.json", "dropped.parquet"):
        (out / name).unlink(missing_ok=True)
    return out


def test_everything_is_read(folder: Path) -> None:
    found = CorpusReport.open(folder)
    assert [stage.name for stage in found.stages] == ["clean", "gopher", "same documents"]
    assert found.reasons == [("gopher", "too few words", 1), ("same documents", "duplicate", 1)]
    corpus = Corpus.open(folder)
    assert sum(split.documents for split in found.splits) == 50
    assert [split.tokens for split in found.splits] == [(corpus.train.n_tokens,), (corpus.validation.n_tokens,)]
    assert sum(found.token_lengths.counts.values()) == 50
    assert found.fertility["en"]["words"] > 0
    assert "sample" not in found.to_dict()["report"]["before"]


def test_dropped_documents_come_rule_by_rule(folder: Path) -> None:
    found = CorpusReport.open(folder)
    rules = [one.rule for one in found.dropped()]
    assert rules == ["too few words", "duplicate", "too few words", "too few words"]
    assert [one.rule for one in found.dropped(sample=2)] == rules[:2]
    assert [one.source for one in found.dropped(stage="gopher")] == ["a.txt#0", "a.txt#1", "a.txt#2"]
    assert [one.stage for one in found.dropped(rule="duplicate")] == ["same documents"]
    assert found.dropped(stage="clean") == []


def test_an_unknown_stage_or_rule_is_named_with_those_known(folder: Path) -> None:
    found = CorpusReport.open(folder)
    with pytest.raises(InputError, match=r"did you mean 'gopher'.*clean"):
        found.dropped(stage="gofer")
    with pytest.raises(InputError, match="unknown rule 'duplicate'"):
        found.dropped(stage="gopher", rule="duplicate")


def test_the_page_shows_every_part_and_escapes_what_it_shows(folder: Path) -> None:
    html = page(CorpusReport.open(folder)).html()
    reader = Reader(html)
    assert [section.title for section in page(CorpusReport.open(folder)).sections] == [
        "What became of the documents", "What was dropped, and why", "Languages and scripts", "Lengths",
        "Commonest words", "Near-duplicates", "What the stages counted", "The tokenizer", "Sources and licences",
        "What could not be read", "Settings",
    ]  # fmt: skip
    text = reader.text
    for shown in (
        "e-mail addresses masked",
        "too few words: 0 of 50",
        "公园",
        "CC0",
        "91.txt",
        "Han",
        "reading: 1.5 min",
        "1.2 s",
    ):
        assert shown in text, shown
    assert "<script>alert" not in html
    assert "<script>alert(1)</script>" in text
    assert not re.search(r"""(src|href)="(?!#|data:)""", html)
    assert html == page(CorpusReport.open(folder)).html()


def test_an_older_corpus_shows_what_its_manifest_tells(older: Path) -> None:
    found = CorpusReport.open(older)
    assert found.reasons == [("", "duplicate", 2)]
    titles = [section.title for section in page(found).sections]
    assert titles[0] == "What became of the documents"
    assert "Commonest words" not in titles
    assert "duplicate" in page(found).html()
    with pytest.raises(InputError, match=r"no dropped\.parquet"):
        found.dropped()


def test_problems_are_counted_beyond_those_that_are_listed(older: Path) -> None:
    found = CorpusReport.open(older)
    listed = [{"where": f"{number}.txt", "reason": "not text"} for number in range(60)]
    counted = {**found.manifest, "input": {**found.manifest["input"], "counts": {"problems": 12_345}}}
    html = page(replace(found, manifest=counted, problems=listed)).html()
    assert "Files or rows: 12,345; the first 50" in html
    assert "49.txt" in html
    assert "50.txt" not in html
    assert "Files or rows: 1<" in page(replace(found, problems=listed[:1])).html()


def test_a_corpus_of_pairs_has_a_page_too(tmp_path: Path) -> None:
    rows = "".join(f"The cat sat on mat {number}.\t猫坐在{number}号垫子上。\n" for number in range(12))
    (tmp_path / "pairs.tsv").write_text(f"en\tzh\n{rows}", encoding="utf-8")
    prepare_parallel([tmp_path / "pairs.tsv"], out=tmp_path / "corpus", source="en", target=["zh"])
    found = CorpusReport.open(tmp_path / "corpus")
    assert found.kind == "parallel"
    assert "12" in page(found).html()
    assert page(found).facts[0].label == "pairs"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("report.json", b"{"),
        ("report.json", b"[]"),
        ("report.json", b'{"stages": [{}]}'),
        ("report.json", b'{"stages": 3}'),
        ("report.json", b'{"stages": [{"name": "a", "documents_in": "many"}]}'),
        ("report.json", b'{"languages": [1]}'),
        ("report.json", b"\xff"),
        ("timing.json", b'{"reading": "long"}'),
        ("train/documents.npy", b"no"),
    ],
)
def test_a_damaged_report_is_told(copy: Path, name: str, content: bytes) -> None:
    (copy / name).write_bytes(content)
    with pytest.raises(DataError, match="Prepare it again") as raised:
        CorpusReport.open(copy)
    assert name in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"PAR1 no PAR1"])
def test_a_damaged_sample_is_told(copy: Path, content: bytes) -> None:
    (copy / "dropped.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"dropped\.parquet: cannot be read"):
        CorpusReport.open(copy).dropped()


def test_fertility_follows_from_counts_where_it_was_not_measured(copy: Path) -> None:
    known = json.loads((copy / "report.json").read_text())
    measured = known["tokenizer"].pop("fertility")
    (copy / "report.json").write_text(json.dumps(known))
    fits = CorpusReport.open(copy).fertility["en"]
    words, counts = measured["en"]["words"], CorpusReport.open(copy).languages["en"]
    assert fits == {
        "tokens_per_word": 500 / words, "tokens_per_character": 500 / counts["characters"],
        "bytes_per_token": counts["bytes"] / 500,
    }  # fmt: skip


def test_numbers_that_make_no_sense_on_a_page_are_told(copy: Path) -> None:
    known = json.loads((copy / "report.json").read_text())
    known["after"] = {"ngrams": {"1": [["a"]]}}
    (copy / "report.json").write_text(json.dumps(known))
    with pytest.raises(DataError, match=r"report\.json"):
        page(CorpusReport.open(copy))


def test_numbers_are_short() -> None:
    assert [size(number) for number in (12, 4_500, 12_345_678, 3e9)] == ["12 B", "4.5 kB", "12.3 MB", "3 GB"]
    assert (share(1, 3), share(0, 0)) == ("33.3%", "–")
