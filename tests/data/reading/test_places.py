"""Which files are read: links, pipes, names, URLs; large files in spans; files that change; bad content at scale."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.data.reading import spans as spans_module
from sensorium.data.reading.files import read_file
from sensorium.data.reading.inputs import read_inputs
from sensorium.data.reading.listing import list_files, names_of
from sensorium.data.reading.places import Remote, UnreadableError
from sensorium.data.reading.spans import Span, split_file
from sensorium.data.sample import Ledger, Sample
from sensorium.errors import InputError


def texts(*inputs: Path | str, ledger: Ledger | None = None, **options) -> list[str]:
    return [sample.text for sample in read_inputs(list(inputs), ledger or Ledger(strict=True), **options)]


def test_links_that_leave_the_folder_are_listed_and_not_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    (folder / "a.txt").write_text("inside")
    (folder / "away.txt").symlink_to(outside / "secret.txt")
    (folder / "sub" / "up.txt").symlink_to("../../out/secret.txt")
    (folder / "folder").symlink_to(outside)
    (folder / "again.txt").symlink_to("a.txt")
    (folder / "loop.txt").symlink_to("loop.txt")
    (folder / "circle").symlink_to(folder)
    ledger = Ledger()
    assert texts(folder, ledger=ledger) == ["inside", "inside"]
    assert [problem["where"] for problem in ledger.problems] == [
        str(folder / name) for name in ("away.txt", "folder", "sub/up.txt")
    ]
    assert ledger.counts["links that leave the folder"] == 3
    assert ledger.counts["links that lead nowhere"] == 1
    assert ledger.counts["links to folders passed over"] == 1
    assert texts(folder / "away.txt") == ["secret"], "a link that the user names is meant"
    for protocol in ("file://", "local://"):
        ledger = Ledger()
        assert [sample.text for sample in read_inputs([f"{protocol}{folder}"], ledger)] == ["inside", "inside"]
        assert [entry["path"] for entry in ledger.files] == ["in/a.txt", "in/again.txt"]
        assert ledger.counts["links that leave the folder"] == 3


def test_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "a.txt").write_text("text")
    ledger = Ledger()
    assert texts(tmp_path, ledger=ledger) == ["text"]
    assert ledger.counts["pipes, sockets and devices passed over"] == 1
    for place in (tmp_path / "pipe.txt", Path("/dev/zero")):
        with pytest.raises(InputError, match="not a regular file"):
            texts(place)
    with pytest.raises(UnreadableError, match=r"not a regular file|empty"):
        list(read_file(tmp_path / "pipe.txt", Ledger()))


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("x/books/a", "x/books/b", "y/books/a"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "1.txt").write_text(folder)
    ledger = Ledger()
    found = list(read_inputs([tmp_path / "x" / "books"], ledger))
    assert [entry["path"] for entry in ledger.files] == ["books/a/1.txt", "books/b/1.txt"]
    assert len({sample.source for sample in found}) == 2
    both = [tmp_path / "x" / "books", tmp_path / "y" / "books"]
    names = names_of(list_files(both), both)
    assert len(set(names)) == 3
    assert "books/b/1.txt" in names


def test_many_files_of_one_name_are_named_in_linear_time() -> None:
    files = [Path(f"{number}/{name}.txt") for number in range(10_000) for name in ("page", f"page{number}")]
    begun = time.process_time()
    names = names_of(files, files)
    assert time.process_time() - begun < 2  # quadratic, it takes minutes
    assert names == [str(file) if file.stem == "page" else file.name for file in files]


def test_a_file_that_changes_while_it_is_read_gives_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"row {i}"}) + "\n" for i in range(10)))
    reading = read_file(path, Ledger())
    next(reading)
    with path.open("a") as file:
        file.write('{"text": "more"}\n')
    with pytest.raises(UnreadableError, match="changed while it was read"):
        list(reading)
    error = pickle.loads(pickle.dumps(UnreadableError("is damaged", where="a.txt")))
    assert (error.problem, error.where) == ("is damaged", "a.txt")


def test_what_an_unusable_file_said_of_itself_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "good"}\n{"no": 1}\n' * 3 + b"x" * (1 << 24) + b"\n\xff\xfe\n")
    ledger = Ledger()
    assert texts(tmp_path / "a.jsonl", ledger=ledger) == []
    assert ledger.counts == {"problems": 1}
    assert ledger.files == []


TEXT = "".join(f"Line {i} of a text, 第{i}行。\n" + "\n" * (i % 7 == 0) for i in range(3000))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("size", [1000, 4096, 60_000, 1 << 30])
def test_spans_give_what_the_file_gives(tmp_path: Path, size: int, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes(TEXT.encode(encoding))
    rows = [json.dumps({"text": line}, ensure_ascii=False) for line in TEXT.split("\n")]
    (tmp_path / "a.jsonl").write_bytes("\n".join([*rows, "[]"]).encode(encoding))
    spans = split_file(tmp_path / "a.txt", size)
    assert "".join(sample.text for span in spans for sample in read_file(span, Ledger(strict=True))) == TEXT
    whole, parts = Ledger(), Ledger()
    expected = list(read_file(tmp_path / "a.jsonl", whole))
    spans = split_file(tmp_path / "a.jsonl", size)
    assert [sample for span in spans for sample in read_file(span, parts)] == expected
    assert whole.problems == parts.problems
    assert whole.counts == parts.counts
    assert whole.files == parts.files
    assert [span.start for span in spans[1:]] == [span.stop for span in spans[:-1]]
    assert max(span.size for span in spans) < size + 200


@given(st.lists(st.text("ab\n é", max_size=30), max_size=30), st.integers(1, 50))
def test_every_span_begins_a_line(tmp_path_factory: pytest.TempPathFactory, parts: list[str], size: int) -> None:
    path = tmp_path_factory.mktemp("spans") / "a.txt"
    data = "".join(parts).encode()
    path.write_bytes(data)
    spans = split_file(path, size)
    assert b"".join(data[span.start : span.stop] for span in spans) == data
    for span in spans[1:]:
        assert data[span.start - 1 : span.start] == b"\n"
        assert span.line == data[: span.start].count(b"\n") + 1


def test_a_large_file_is_read_by_its_spans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.dumps({"text": "word " * 40}) + "\n"
    (tmp_path / "a.jsonl").write_text(line * 1000)
    monkeypatch.setattr(spans_module, "SPAN", 50_000)
    spans = split_file(tmp_path / "a.jsonl")
    assert len(spans) == 5
    sources = [sample.source for span in spans for sample in read_file(span, Ledger())]
    assert sources == [sample.source for sample in read_file(tmp_path / "a.jsonl", Ledger())]
    (tmp_path / "a.jsonl").write_text(line)
    with pytest.raises(UnreadableError, match="changed"):
        list(read_file(spans[1], Ledger()))


def test_what_has_no_lines_or_is_packed_is_not_split(tmp_path: Path) -> None:
    for name, data in {
        "a.txt": TEXT.encode("utf-16"),
        "b.txt": b"\x1f\x8b" + bytes(5000),
        "c.csv": b"text\nx\n" * 900,
        "d.txt": bytes(5000),
    }.items():
        (tmp_path / name).write_bytes(data)
        (span,) = split_file(tmp_path / name, 1000)
        assert (span.start, span.stop, span.line) == (0, len(data), 1)
    assert str(Span(Path("a.txt"), 5, 9, 3)) == "a.txt:3"


def test_urls_are_read_through_fsspec() -> None:
    memory = fsspec.filesystem("memory")
    for name, data in {"/crawl/b.txt": b"two", "/crawl/a.jsonl": b'{"text": "one"}\n', "/crawl/c.png": b"x"}.items():
        memory.pipe(name, data)
    ledger = Ledger(strict=True)
    files = list_files(["memory://crawl"], ledger)
    assert files == [Remote("memory:///crawl/a.jsonl", 16), Remote("memory:///crawl/b.txt", 3)] or all(
        isinstance(file, Remote) for file in files
    )
    assert texts("memory://crawl", ledger=ledger) == ["one", "two"]
    assert texts("memory://crawl/b.txt") == ["two"]
    assert ledger.counts["files of other kinds"] == 2
    with pytest.raises(InputError, match="no such file"):
        texts("memory://crawl/none.txt")
    with pytest.raises(InputError, match="cannot be reached"):
        texts("gopher-like://crawl/a.txt")
    with pytest.raises(InputError, match="chained"):
        texts("zip://a.txt::memory://crawl/a.zip")


def test_local_files_by_url(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    assert texts(f"file://{tmp_path}") == ["text"]


def test_zeros_and_halves_of_pairs_are_mended_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"text": "a\\u0000b"}\n{"text": "x\\ud83d y \\uDE00"}\n{"text": "\\ud83d\\ude00"}\n'
    )
    (tmp_path / "b.txt").write_bytes(b"Some text that is long enough." * 4 + b"\0 and more")
    ledger = Ledger(strict=True)
    assert texts(tmp_path, ledger=ledger) == [
        "ab",
        "x\ufffd y \ufffd",
        "😀",
        "Some text that is long enough." * 4 + " and more",
    ]
    assert ledger.counts["zero characters taken out"] == 2
    assert ledger.counts["halves of surrogate pairs replaced"] == 2


def test_rows_say_what_they_know_of_their_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "t", "url": "u", "license": "MIT", "language": null, "n": 3}\n')
    (tmp_path / "b.csv").write_text("url,text\nu,t\n")
    found = list(read_inputs([tmp_path], Ledger(strict=True)))
    assert found[0] == Sample("t", f"{tmp_path}/a.jsonl:1", {"url": "u", "licence": "MIT"})
    assert found[1].meta == {"url": "u"}


def test_empty_rows_are_documents_without_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": ""}\n' * 1000)
    ledger = Ledger()
    assert texts(tmp_path / "a.jsonl", ledger=ledger) == [""] * 1000
    assert not ledger.problems


def test_many_rows_without_text_are_counted_and_few_listed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": null}\n' * 5_000)
    ledger = Ledger()
    assert texts(tmp_path / "a.jsonl", ledger=ledger) == []
    assert ledger.counts["problems"] == 5_000
    assert len(ledger.problems) == Ledger.LISTED


PEAK = """
import resource, sys
from pathlib import Path
from sensorium.data.reading import spans as spans_module
from sensorium.data.reading.files import read_file
from sensorium.data.sample import Ledger
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
longest = max(len(sample.text) for sample in read_file(Path(sys.argv[1]), Ledger()))
print(longest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_document_is_cut_in_little_memory(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("w") as file:
        for _ in range(20):
            file.write("word " * (2_000_000 // 5))
    told = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "a.txt")], check=True, capture_output=True, text=True
    ).stdout
    longest, kilobytes = map(int, told.split())
    assert longest <= 100_000
    assert kilobytes < 60_000
