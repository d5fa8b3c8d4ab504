"""`sensorium prepare --parallel` from the shell: what it prints, and what it refuses in one line, leaving nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import Done, apart, shell, tree

PAIRS = [(f"Ship {i} left the port.", f"第{i}只船离开了港口。") for i in range(60)]
LINES = "".join(f"{en}\t{zh}\n" for en, zh in PAIRS)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("translations") / "files"
    folder.mkdir()
    content: dict[str, str | bytes] = {
        "pairs.tsv": LINES,
        "named.tsv": f"en\tzh\n{LINES}",
        "grouped.tsv": "package\ten\tzh\n" + "".join(f"p{i % 6}\t{en}\t{zh}\n" for i, (en, zh) in enumerate(PAIRS)),
        "train.en": "".join(f"{en}\n" for en, _ in PAIRS),
        "train.zh": "".join(f"{zh}\n" for _, zh in PAIRS),
        "short.zh": "".join(f"{zh}\n" for _, zh in PAIRS[:-2]),
        "sides.tsv": "Only this\t\n\t只有这\n",
        "same.tsv": "Same\tSame\n",
        "plain.txt": "A text.\n" * 9,
        "empty.tsv": "",
        "binary.tsv": bytes(range(256)),
        "binary.zh": bytes(range(256)),
        "broken.tmx": "<tmx><header/><body><tu></body></tmx>",
        "bomb.tmx": '<!DOCTYPE tmx [<!ENTITY a "aaaa">]><tmx/>',
        "zh.po": 'msgid "One"\nmsgstr "一\n',
        "zh.mo": b"\xde\x12\x04\x95" + bytes(4) + b"\xff" * 12,
        "keys.jsonl": '{"a": "x", "b": "y"}\n',
        "paper.pdf": b"%PDF",
        "folder/zh_CN.po": 'msgid "Open the file"\nmsgstr "打开文件"\n\n#, fuzzy\nmsgid "Close"\nmsgstr "关"\n',
        "folder/fr.po": 'msgid "Open the file"\nmsgstr "Ouvrir le fichier"\n',
        "folder/bad/zh.po": 'msgid "One\n',
        "folder/notes.pdf": b"%PDF",
    }
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


@pytest.fixture(autouse=True)
def here(files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work beside the files; nothing may have changed among them afterwards."""
    monkeypatch.chdir(files)
    before = tree(files.parent)
    yield
    assert tree(files.parent) == before


def refused(done: Done, *phrases: str) -> None:
    assert (done.code, done.out) == (2, ""), done
    assert done.err.startswith("error: "), done.err
    assert done.err.count("\n") == 1, done.err
    assert "internal error" not in done.err
    for phrase in phrases:
        assert phrase in done.err, done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["pairs.tsv", "--from", "en", "--to", "zh"],
        ["named.tsv"],
        ["train.en", "train.zh"],
        ["pairs.tsv", "--columns", "en=1,zh=2"],
    ],
)
def test_a_corpus_of_pairs_is_made(tmp_path: Path, arguments: list[str]) -> None:
    done = shell("prepare", "--parallel", *arguments, "--out", str(tmp_path / "corpus"), "--json")
    assert (done.code, done.err) == (0, "")
    manifest = json.loads(done.out)
    assert manifest["languages"] == {"source": "en", "target": "zh"}
    assert sum(split["pairs"] for split in manifest["splits"].values()) == 60
    assert manifest == json.loads((tmp_path / "corpus" / "manifest.json").read_text(encoding="utf-8"))


def test_what_was_made_and_dropped_is_told(tmp_path: Path) -> None:
    options = ["--group", "package", "--hold-out", "p1", "--hold-out", "p2", "--both-ways", "--tokenizer", "bpe:300"]
    done = shell("prepare", "grouped.tsv", "--parallel", *options, "--out", str(tmp_path / "a"))
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("     train: 80 pairs, ")
    assert lines[1].startswith("validation: 40 pairs, ")
    assert lines[2] == "  held out: p1, p2"
    assert "directions: en → zh, zh → en" in lines
    done = shell("prepare", "--parallel", "folder", "--to", "zh", "--from", "en", "--out", str(tmp_path / "b"))
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    for line in (
        "     train: 1 pairs",
        "   dropped: 1 fuzzy",
        "   ignored: 1 files of other kinds",
        "   ignored: 1 catalogues in other languages",
        "unreadable: folder/bad/zh.po:1: neither a keyword nor a quoted string",
    ):
        assert any(found.startswith(line) for found in lines), (line, lines)


REFUSED: dict[str, tuple[list[str], list[str]]] = {
    "unequal line counts": (["train.en", "short.zh"], ["short.zh: ends after line 58, but train.en has 60", "part"]),
    "a side that is binary": (["train.en", "binary.zh"], ["binary.zh: a binary file, not text"]),
    "a file alone": (["train.en"], ["train.en: there is no other text file that it is aligned with"]),
    "empty sides": (["sides.tsv", "--from", "en", "--to", "zh"], ["no usable pair (2 empty on one side)"]),
    "copies alone": (["same.tsv", "--from", "en", "--to", "zh"], ["no usable pair (1 copied, not translated)"]),
    "an unknown source": (["pairs.tsv", "--from", "xx", "--to", "zh"], ["unknown language 'xx'", "known: af, am,"]),
    "an unknown target": (["pairs.tsv", "--from", "en", "--to", "zh,yy"], ["unknown language 'yy'"]),
    "languages unsaid": (["pairs.tsv"], ["pairs.tsv:1: its first line is no header", "Add --from and --to"]),
    "other languages": (["named.tsv", "--from", "en", "--to", "fr"], ["names en and zh, and no fr"]),
    "keys of no language": (["keys.jsonl", "--from", "en", "--to", "zh"], ["no key names a language", "present: a, b"]),
    "an empty file": (["empty.tsv"], ["no usable pair (1 unreadable, first empty.tsv: the file is empty)"]),
    "a binary file": (["binary.tsv"], ["binary.tsv: a binary file, not text"]),
    "broken XML": (["broken.tmx"], ["broken.tmx:1: not well-formed XML: mismatched tag"]),
    "entities": (["bomb.tmx"], ["bomb.tmx:1: it declares the entity 'a', which is refused"]),
    "a broken .po": (["zh.po"], ["zh.po:2: neither a keyword nor a quoted string"]),
    "a broken .po, strictly": (["zh.po", "named.tsv", "--strict"], ["zh.po:2: neither a keyword", "without --strict"]),
    "a broken .mo": (["zh.mo"], ["zh.mo: the file is cut: its tables point beyond its end"]),
    "a format that holds no pairs": (["paper.pdf"], ["'.pdf' hold no pairs", "Readable: .csv"]),
    "a path that is not there": (["nowhere"], ["nowhere: no such file or folder"]),
    "a catalogue of which language": (["folder"], ["folder/zh_CN.po:1: holds en and zh-CN", "Say which are meant"]),
    "a group that is not there": (["grouped.tsv", "--hold-out", "q"], ["'q'. The groups are: p0, p1, p2, p3, p4, p5"]),
    "a column that is not there": (["named.tsv", "--group", "book"], ["no column 'book'. Its columns are: en, zh"]),
    "columns in another form": (["named.tsv", "--columns", "en"], ["--columns 'en' has another form", "en=1,zh="]),
    "a ratio below one": (["named.tsv", "--max-ratio", "0"], ["max_ratio=0.0 is below 1"]),
    "options of texts": (["named.tsv", "--column", "en"], ["--column is for texts. Leave it out"]),
    "the languages of texts": (["named.tsv", "--languages", "en"], ["--languages is for texts"]),
    "an output in the input": (["folder", "--out", "folder/x"], ["the output folder lies inside an input folder"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused(case: str) -> None:
    arguments, phrases = REFUSED[case]
    out = [] if "--out" in arguments else ["--out", "new"]
    refused(shell("prepare", "--parallel", *arguments, *out), *phrases)


@pytest.mark.parametrize(
    "option", [["--from", "en"], ["--to", "zh"], ["--both-ways"], ["--max-ratio", "3"], ["--hold-out", "x"]]
)
def test_options_of_translations_need_the_word(option: list[str]) -> None:
    refused(shell("prepare", "plain.txt", *option, "--out", "new"), f"{option[0]} is for translations. Add --parallel")


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = io.open

    def guarded(file, *rest, **options):
        if str(file).endswith("train.zh"):
            raise PermissionError(13, "Permission denied", str(file))
        return real(file, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(io, "open", guarded)
        patch.setattr("builtins.open", guarded)
        done = shell("prepare", "--parallel", "train.en", "train.zh", "--out", str(tmp_path / "new"))
    refused(done, "train.zh: Permission denied. Check the path and its permissions")


def test_the_verb_is_quiet_but_for_what_it_made(tmp_path: Path) -> None:
    done = apart("prepare", "--parallel", "named.tsv", "--out", str(tmp_path / "new"))
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == f"corpus at {tmp_path / 'new'}"
