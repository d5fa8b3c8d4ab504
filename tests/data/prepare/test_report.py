"""What the report of a run says of files, of how the tokenizer fits, and of near-duplicates."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sensorium.data.corpus_page import page
from sensorium.data.corpus_report import CorpusReport
from sensorium.data.dedup.near import NearDuplicates
from sensorium.data.fertility import fertility
from sensorium.data.language import script
from sensorium.data.prepare import clusters, units
from sensorium.data.prepare.arrow import ArrowWriter
from sensorium.data.prepare.clusters import largest
from sensorium.data.prepare.executor import Processes
from sensorium.data.prepare.prepare import prepare
from sensorium.data.shards import Corpus
from sensorium.data.stages import documents
from sensorium.reports.blocks import Table
from tests.data.prepare.texts import CHINESE, ENGLISH, SPEC, TEXTS, USUAL, files, jsonl, kept

SENTENCE = "Page {0} tells of harbour {0}, where {0} ships lay at anchor until the tide of night {0} came in. "


def report_of(corpus: Corpus) -> dict[str, Any]:
    return json.loads((corpus.folder / "report.json").read_bytes())


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with 1,000 rows in a file, a crawl, an archive, and two files of one name."""
    folder = tmp_path / "in"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        (folder / name / "x.txt").write_text(SENTENCE.format(name) * 3)
    jsonl(folder / "rows.jsonl", [SENTENCE.format(f"r{i}") for i in range(1000)])
    records = b""
    for i in range(30):
        body = f"<html><body><p>{SENTENCE.format(f'w{i}') * 5}</p></body></html>"
        http = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://e.org/{i}!p:{i}\r\n"
        head += "WARC-Record-ID: <urn:uuid:0>\r\nWARC-Date: 2020-01-01T00:00:00Z\r\n"
        head += f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
        records += gzip.compress(f"{head}{http}\r\n\r\n".encode())
    (folder / "crawl.warc.gz").write_bytes(records)
    with zipfile.ZipFile(folder / "Hey! You.zip", "w") as archive:
        archive.writestr("m/one.txt", SENTENCE.format("one"))
        archive.writestr("two.csv", "text\n" + "".join(f'"{SENTENCE.format(f"c{i}")}"\n' for i in range(20)))
    return folder


def test_documents_are_counted_by_the_files_that_the_manifest_names(mixed: Path, tmp_path: Path) -> None:
    told = report_of(prepare(mixed, out=tmp_path / "corpus", tokenizer=SPEC))
    counted = {name: of["documents"] for name, of in told["after"]["files"]["counts"].items()}
    assert counted == {
        "in/Hey! You.zip": 21, "in/a/x.txt": 1, "in/b/x.txt": 1, "in/crawl.warc.gz": 30, "in/rows.jsonl": 1000
    }  # fmt: skip
    assert [file["path"] for file in told["inputs"]] == sorted(counted)
    assert told["before"]["files"]["counts"].keys() == counted.keys()
    rendered = page(CorpusReport.open(tmp_path / "corpus")).html()
    assert "crawl.warc.gz" in rendered
    assert "e.org" not in rendered


def test_a_file_of_which_nothing_is_left_is_shown_so(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        jsonl(tmp_path / "in" / f"{name}.jsonl", ENGLISH)
    corpus = prepare(tmp_path / "in", out=tmp_path / "corpus", tokenizer=SPEC)
    section = next(one for one in page(CorpusReport.open(corpus.folder)).sections if one.title.startswith("Sources"))
    table = section.blocks[-1]
    assert isinstance(table, Table)
    assert [[row[0], row[2]] for row in table.rows] == [["in/a.jsonl", "120"], ["in/b.jsonl", "0"]]


def test_how_the_tokenizer_fits_is_measured_by_language(folder: Path, tmp_path: Path) -> None:
    corpus = prepare(folder, out=tmp_path / "corpus", tokenizer=SPEC)
    told = report_of(corpus)
    held: dict[str, list[str]] = {}
    for text in sorted(kept(corpus)):
        held.setdefault(script(text), []).append(text)
    expected = {code: fit.to_dict() for code, fit in fertility(corpus.tokenizer, held).items()}
    assert list(expected) == ["han", "latin"]
    assert told["tokenizer"]["fertility"] == expected
    assert 0 < expected["han"]["coverage"] < 1
    for code, fit in expected.items():
        assert {name: told["languages"][code][name] for name in ("words", "tokens")} == {
            name: fit[name] for name in ("words", "tokens")
        }


def test_unknown_tokens_are_counted(tmp_path: Path) -> None:
    first = prepare(jsonl(tmp_path / "en.jsonl", ENGLISH), out=tmp_path / "en", tokenizer="wordpiece:80")
    both = prepare(jsonl(tmp_path / "both.jsonl", TEXTS), out=tmp_path / "both", tokenizer=first.folder)
    fits = report_of(both)["tokenizer"]["fertility"]
    assert fits["han"]["unknown"] > fits["han"]["tokens"] / 3
    assert fits["latin"]["coverage"] == 1


def test_the_largest_clusters_of_near_duplicates_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: Processes
) -> None:
    monkeypatch.setattr(units, "UNIT", 1)
    (tmp_path / "in").mkdir()
    sizes = {"han": 9, "b": 7, "c": 2}
    bodies = {"han": "".join(CHINESE[:20]), "b": " ".join(ENGLISH[:20]), "c": " ".join(ENGLISH[30:50])}
    for i in range(9):
        copies = [f"{bodies[name]} {i * 77}" for name, size in sizes.items() if i < size]
        jsonl(tmp_path / "in" / f"{i}.jsonl", [*copies, SENTENCE.format(f"alone{i}")])
    stages = [*USUAL, NearDuplicates()]
    one = prepare(tmp_path / "in", out=tmp_path / "one", tokenizer=SPEC, stages=stages)
    found = report_of(one)["clusters"]
    assert [(cluster["size"], cluster["kept"]) for cluster in found] == [
        (size, str(tmp_path / "in" / f"0.jsonl:{row}")) for row, size in enumerate(sizes.values(), 1)
    ]
    assert found[0]["examples"] == [str(tmp_path / "in" / f"{i}.jsonl:1") for i in (1, 2, 3)]
    assert len(found[2]["examples"]) == 1
    rendered = page(CorpusReport.open(one.folder)).html()
    assert "The largest of 3 clusters." in rendered
    assert "0.jsonl:1" in rendered
    two = prepare(tmp_path / "in", out=tmp_path / "two", tokenizer=SPEC, stages=stages, executor=pair)
    assert files(one.folder) == files(two.folder)


def test_without_near_duplicates_no_cluster_is_told(folder: Path, tmp_path: Path) -> None:
    assert report_of(prepare(folder, out=tmp_path / "corpus", tokenizer=SPEC))["clusters"] == []


def test_however_many_clusters_there_are_few_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "HELD", 64)
    names = [f"single {i}" for i in range(500)]
    for place in range(0, 500, 4):
        names[place] = f"large {place % 3}"
    keys, decided = tmp_path / "keys.arrow", tmp_path / "decided.arrow"
    with ArrowWriter(keys, packed=False) as of_keys, ArrowWriter(decided) as writer:
        for start in range(0, 500, 50):
            rows = range(start, start + 50)
            of_keys.write(documents([""] * 50, [f"row {i}" for i in rows]))
            column = pa.array([names[i] if i % 7 else None for i in rows], pa.string())
            writer.write(pa.record_batch({"duplicate_of": column, "similarity": pa.array([0.9] * 50, pa.float32())}))
    truth = Counter(name for i, name in enumerate(names) if i % 7)
    found = largest([keys], [decided], 3)
    assert {cluster["kept"]: cluster["size"] - 1 for cluster in found} == dict(truth.most_common(3))
    first = found[0]["kept"]
    assert found[0]["examples"] == [f"row {i}" for i, name in enumerate(names) if i % 7 and name == first][:3]
