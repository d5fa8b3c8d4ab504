"""Bad input at the command line: one line that says what to do, exit code 2 or 1, and nothing left behind."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import SETS
from tests.cli.shell import Done, shell, tree

TEXT = "The cat sat on the mat. " * 2000
BERT = ["corpus", "--recipe", "bert-tiny", *SETS]


@pytest.fixture(scope="module")
def bad(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the home with everything in it that can be wrong with a file."""
    folder = tmp_path_factory.mktemp("bad") / "home"
    shutil.copytree(home, folder)
    for name in ("empty", "pictures", "mixed"):
        (folder / name).mkdir()
    lines = "".join(json.dumps({"text": f"{i} {TEXT[:200]}"}) + "\n" for i in range(500)).encode()
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as out:
        out.write(os.urandom(4000).hex().encode())
    frame = packed.getvalue().to_pybytes()
    pq.write_table(pa.table({"text": [TEXT] * 10}), folder / "cut.parquet")
    whole = (folder / "cut.parquet").read_bytes()
    files = {
        "empty.txt": b"",
        "blank.txt": b" \n\n\t \n",
        "binary.txt": bytes(range(256)),
        "short.txt": "schön".encode("latin-1"),
        "half.txt": "\ufeffabc".encode("utf-16-le")[:-1],
        "cut.txt.gz": gzip.compress(lines)[:-20],
        "not.txt.gz": b"\x1f\x8bno gzip at all",
        "cut.txt.zst": frame[: len(frame) // 2],
        "not.txt.zst": b"\x28\xb5\x2f\xfdno zstd at all",
        "cut.parquet": whole[: len(whole) // 2],
        "not.parquet": b"PAR1 or not",
        "cut.jsonl": b'{"text": "a',
        "other.jsonl": b'{"txt": "a"}\n',
        "other.csv": b"a,b\n1,2\n",
        "header.csv": b"text\n",
        "paper.pdf": b"%PDF-1.7",
        "paper.doc": b"\xd0\xcf\x11\xe0",
        "pictures/a.png": b"\x89PNG",
        "mixed/a.txt": b"Good text.",
        "mixed/b.txt": b"\xff\xfe\xff",
        "recipe.toml": b"[model\n",
        "weights.bin": b"x",
        "bad.gguf": b"GGUF nonsense",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(autouse=True)
def here(bad: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in that folder, off the network; nothing may have changed in it or beside it afterwards."""
    monkeypatch.chdir(bad)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = tree(bad.parent)
    yield bad
    after = tree(bad.parent)
    shutil.rmtree(bad / "new", ignore_errors=True)  # one that was made by mistake fails no other test
    assert after == before


def refused(done: Done, code: int, *phrases: str) -> None:
    """One line on stderr, nothing on stdout, the exit code, no word of an internal error, and these phrases."""
    assert (done.code, done.out) == (code, ""), done
    assert done.err.startswith("error: "), done.err
    assert done.err.count("\n") == 1, done.err
    assert "internal error" not in done.err
    for phrase in phrases:
        assert phrase in done.err, done.err


PREPARE: dict[str, tuple[list[str], list[str]]] = {
    "an empty file": (["empty.txt"], ["no usable document", "empty.txt", "the file is empty"]),
    "a file of blanks": (["blank.txt"], ["no usable document (1 empty)"]),
    "an empty folder": (["empty"], ["empty: the folder holds no file that can be read", "Readable: .arrow"]),
    "a folder of other files": (["pictures"], ["no file that can be read"]),
    "a binary file": (["binary.txt"], ["binary.txt: a binary file, not text"]),
    "an encoding that too little tells": (["short.txt"], ["short.txt: not valid UTF-8 near byte 3"]),
    "an encoding that it is not in": (["short.txt", "--encoding", "ascii"], ["short.txt: not valid "]),
    "an encoding that is not known": (["texts", "--encoding", "utf9"], ["unknown encoding 'utf9'", "gb18030"]),
    "half a character of UTF-16": (["half.txt"], ["not valid UTF-16"]),
    "a cut gzip file": (["cut.txt.gz"], ["cut.txt.gz: cannot be read", "end-of-stream"]),
    "no gzip file": (["not.txt.gz"], ["not.txt.gz: cannot be read"]),
    "a cut zstd file": (["cut.txt.zst"], ["cut.txt.zst: cannot be read: Truncated"]),
    "no zstd file": (["not.txt.zst"], ["not.txt.zst: cannot be read"]),
    "a cut Parquet file": (["cut.parquet"], ["cut.parquet: not a readable Parquet file"]),
    "no Parquet file": (["not.parquet"], ["not.parquet: not a readable Parquet file"]),
    "cut JSON": (["cut.jsonl"], ["cut.jsonl:1: not valid JSON"]),
    "JSON without the key": (["other.jsonl"], ["other.jsonl:1: no column 'text'", "--column (present: txt)"]),
    "a table without the column": (["other.csv"], ["no column 'text'", "--column (present: a, b)"]),
    "a table without rows": (["header.csv"], ["no usable document (the input is empty)"]),
    "a damaged PDF": (["paper.pdf"], ["paper.pdf: not a readable PDF file"]),
    "a format that is not known": (["paper.doc"], ["'.doc' cannot be read", "Readable:"]),
    "a path that is not there": (["nowhere"], ["nowhere: no such file or folder. Check the path"]),
    "every kind of damage, strictly": (["mixed", "--strict"], ["mixed/b.txt: not valid UTF-16", "without --strict"]),
    "a script that no text has": (["texts", "--languages", "zh"], ["no usable document", "another script"]),
    "a language that is not known": (["texts", "--languages", "zz"], ["unknown language 'zz' (known: en, zh)"]),
    "a share above one": (["texts", "--validation", "1.5"], ["validation=1.5 is not a share", "Try 0.02"]),
    "a Unicode form that is not known": (["texts", "--form", "NFD"], ["'NFD'. Use NFC or NFKC"]),
    "a vocabulary beyond it": (["texts", "--tokenizer", "bpe:90000"], ["than the text supports", "--tokenizer bpe:"]),
    "a vocabulary beyond a little text": (["mixed/a.txt", "--tokenizer", "unigram:64"], ["more text"]),
    "a vocabulary too small": (["texts", "--tokenizer", "bpe:9"], ["'9' is not a number from 263", "bpe:8000"]),
    "a vocabulary that is no number": (["texts", "--tokenizer", "bpe:²"], ["'²' is not a number"]),
    "a misspelt tokenizer": (["texts", "--tokenizer", "bep:900"], ["did you mean 'bpe'?", "a folder that holds one"]),
    "a folder without a tokenizer": (["texts", "--tokenizer", "empty"], ["empty: no tokenizer found"]),
}  # fmt: skip


@pytest.mark.parametrize("case", PREPARE)
def test_prepare_refuses(case: str) -> None:
    arguments, phrases = PREPARE[case]
    refused(shell("prepare", *arguments, "--out", "new"), 2, *phrases)


@pytest.mark.parametrize(
    ("stdin", "phrase"),
    [
        (b"", "standard input: the file is empty"),
        (b"caf\xe9", "standard input: not valid UTF-8"),
        (b"\xff\xfea\0b", "standard input: not valid UTF-16"),
        (bytes(range(256)), "standard input: a binary file, not text"),
        (gzip.compress(b"text " * 99)[:-9], "standard input: cannot be read: "),
    ],
    ids=["empty", "an unknown encoding", "half a character", "binary", "cut gzip"],
)
def test_prepare_refuses_a_pipe_of(stdin: bytes, phrase: str) -> None:
    refused(shell("prepare", "-", "--out", "new", stdin=stdin), 2, phrase)


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (["texts", "--out", "corpus"], "corpus: already exists. Choose another --out, or pass --force"),
        (["texts", "--out", "empty.txt"], "empty.txt: already exists"),
        (["texts", "--out", "paper.doc/new"], "a file stands where a folder would have to be"),
        (["texts", "--out", "texts/new"], "the output folder lies inside an input folder"),
        (["texts", "--out", "texts", "--force"], "the output would replace the input texts"),
        (["texts/0.txt", "--out", "texts", "--force"], "the output would replace the input texts/0.txt"),
        (["texts/0.txt", "--out", "texts/0.txt", "--force"], "the output would replace the input texts/0.txt"),
        (["texts", "--out", ".", "--force"], "the output would replace the input texts"),
        (["texts", "--out", "n" * 300], "the name is too long. Choose a shorter --out"),
        (["texts", "--out", "mixed", "--force"], "mixed: --force replaces only what Sensorium made, and this holds no"),
        (["texts", "--out", "bert", "--force"], "this holds no manifest.json. Choose another --out"),
        (["texts", "--out", "blank.txt", "--force"], "blank.txt: --force replaces only what Sensorium made"),
    ],
)
def test_prepare_keeps_what_stands_at_out(arguments: list[str], phrase: str) -> None:
    refused(shell("prepare", *arguments), 2, phrase)


def test_prepare_never_replaces_the_folder_that_it_is_called_in(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    monkeypatch.chdir(tmp_path)
    refused(shell("prepare", str(home / "texts"), "--out", ".", "--force"), 2, "the current folder stands there")
    assert tree(tmp_path).keys() == {"mine.txt"}


TRAIN: dict[str, tuple[list[str], list[str]]] = {
    "no corpus": (["texts", "--recipe", "bert-tiny"], ["texts: is not a prepared corpus", "sensorium prepare"]),
    "a missing corpus": (["nowhere", "--recipe", "bert-tiny"], ["nowhere: no such folder", "sensorium prepare"]),
    "less than a batch": (["corpus", "--recipe", "bert-mini"], ["one batch takes 8192", "--set batch."]),
    "a misspelt recipe": (["corpus", "--recipe", "bert-mni"], ["did you mean 'bert-mini'?"]),
    "a missing recipe": (["corpus", "--recipe", "none.toml"], ["none.toml: no such recipe file"]),
    "a recipe that is no TOML": (["corpus", "--recipe", "recipe.toml"], ["recipe.toml: not valid TOML"]),
    "an unknown device": ([*BERT, "--device", "gpu9"], ["--device cpu"]),
    "a device that computes nothing": ([*BERT, "--device", "meta"], ["--device cpu"]),
    "a missing model to start from": ([*BERT, "--init", "nowhere"], ["no such model"]),
    "a model of another kind": ([*BERT, "--init", "gpt"], ["gpt: GPT2LMHeadModel has no attention in both directions"]),
}  # fmt: skip


@pytest.mark.parametrize("case", TRAIN)
def test_train_refuses(case: str) -> None:
    arguments, phrases = TRAIN[case]
    refused(shell("train", *arguments, "--out", "new"), 2, *phrases)


@pytest.mark.parametrize(
    ("override", "phrase"),
    [
        ("nonsense", "'nonsense' does not read section.key=value. For example --set optim.lr=3e-4"),
        ("=3", "does not read section.key=value"),
        ("optim.lrr=1", "unknown key optim.lrr; did you mean optim.lr?"),
        ("modle.dim=4", "unknown key modle; did you mean model?"),
        ("model=3", "model is not a table"),
        ("model.dim.x=3", "model.dim.x has no parts"),
        ("optim.lr=fast", 'optim.lr="fast" is not of type float'),
        ("optim.lr=nan", "optim.lr=nan is out of range. It must be 0 or more"),
        ("optim.lr=-1", "optim.lr=-1.0 is out of range"),
        ("optim.beta1=1", "It must be 0 or more and below 1"),
        ("model.dropout=2", "model.dropout=2.0 is out of range"),
        ("model.dim=0", "model.dim=0 is out of range. It must be 1 or more"),
        ("model.heads=0", "model.heads=0 is out of range"),
        ("model.heads=7", "model.dim=32 is not a multiple of model.heads=7"),
        ("model.layers=-1", "model.layers=-1 is out of range"),
        ("model.context=0", "model.context=0 is out of range"),
        ("batch.seq_len=4096", "longer than model.context=64. Raise model.context"),
        ("batch.seq_len=2", "leaves no room for text"),
        ("objective.mask_rate=0", "It must be above 0 and below 1"),
        ("objective.kind=mask", "not one of masked, causal"),
        ("run.eval_every=0", "run.eval_every=0 is out of range"),
        ("run.save_every=0", "run.save_every=0 is out of range"),
        ("run.seed=-1", "run.seed=-1 is out of range. It must be 0 or more, at most"),
        ("run.max_minutes=0", "It must be above 0"),
    ],
)
def test_train_refuses_settings_that_make_no_sense(override: str, phrase: str) -> None:
    refused(shell("train", "corpus", "--recipe", "bert-tiny", "--out", "new", *SETS, "--set", override), 2, phrase)


@pytest.mark.parametrize(
    ("override", "phrase"),
    [
        ("model.kv_heads=3", "model.heads=2 is not a multiple of model.kv_heads=3"),
        ("model.heads=32", "rotates pairs of dimensions"),
        ("objective.pairs=next", "does not fit objective.kind='causal'"),
    ],
)
def test_train_refuses_a_llama_that_makes_no_sense(override: str, phrase: str) -> None:
    refused(shell("train", "corpus", "--recipe", "llama-tiny", "--out", "new", *SETS, "--set", override), 2, phrase)


@pytest.mark.parametrize(
    ("out", "phrase"),
    [
        ("bert", "bert: already exists. Go on with it by --resume, replace it by --force, or choose another --out"),
        ("empty.txt", "empty.txt: already exists"),
        ("empty.txt/new", "a file stands where a folder would have to be"),
        ("n" * 300, "the name is too long"),
    ],
)
def test_train_keeps_what_stands_at_out(out: str, phrase: str) -> None:
    refused(shell("train", "corpus", "--recipe", "bert-tiny", "--out", out, *SETS), 2, phrase)


def test_train_refuses_a_model_with_another_vocabulary(bad: Path, here: Path) -> None:
    made = shell("prepare", "texts", "--out", "../other", "--tokenizer", "bpe:290")
    assert made.code == 0, made.err
    try:
        done = shell("train", "../other", "--recipe", "bert-tiny", "--out", "new", *SETS, "--init", "bert")
        refused(done, 2, "the model's vocabulary has 300 tokens, the corpus's 290", "--tokenizer bert")
    finally:
        shutil.rmtree("../other")


USE: dict[str, tuple[list[str], list[str]]] = {
    "no mask": (["fill", "bert", "No mask here."], ["the text has no [MASK]", "write it where to fill"]),
    "another model's mask": (["fill", "bert", "A <mask>."], ["it has <mask>"]),
    "more masks than the length allows": (["fill", "bert", "[MASK]" * 63], ["65 tokens long, the model takes 64"]),
    "no candidates": (["fill", "bert", "A [MASK].", "--top-k", "0"], ["top_k=0 is out of range"]),
    "a target of several tokens": (["fill", "bert", "A [MASK].", "--targets", "zebra"], ["'zebra' is", "not one"]),
    "an empty target": (["fill", "bert", "A [MASK].", "--targets", "cat,"], ["a target is empty"]),
    "masks for a causal model": (["fill", "gpt", "A [MASK]."], ["cannot fill mask", "it can: generate, score"]),
    "a prompt longer than the context": (["generate", "gpt", "cat " * 400], ["context holds 64", "Shorten the prompt"]),
    "a prompt for a masked model": (["generate", "bert", "The"], ["cannot generate", "causal language model"]),
    "no new tokens": (["generate", "gpt", "The", "--max-new-tokens", "0"], ["max_new_tokens=0"]),
    "a temperature below zero": (["generate", "gpt", "The", "--temperature", "-1"], ["temperature=-1.0 is"]),
    "a seed beyond the numbers": (["generate", "gpt", "The", "--seed", str(1 << 64)], ["is out of range"]),
    "an empty stop string": (["generate", "gpt", "The", "--stop", ""], ["a stop string is empty"]),
    "a model that is not there": (["generate", "nowhere", "The"], ["nowhere: no such model", "Check the path"]),
    "a misspelt model": (["generate", "defualt", "The"], ["Did you mean 'default'?"]),
    "a hub model without a network": (["generate", "no/where", "The"], ["no/where: there is no folder", "network"]),
    "a file that is no model": (["generate", "weights.bin", "The"], ["is a file but no .gguf file"]),
    "a folder that is no model": (["generate", "texts", "The"], ["config.json is missing"]),
    "a damaged GGUF file": (["generate", "bad.gguf", "The"], ["bad.gguf", "GGUF"]),
    "a missing file to score": (["score", "gpt", "none.txt"], ["none.txt: No such file"]),
    "a folder to score": (["score", "gpt", "texts"], ["Is a directory. Name a text file"]),
    "an empty file to score": (["score", "gpt", "empty.txt"], ["the text is empty"]),
    "an undecodable file to score": (["score", "gpt", "short.txt"], ["short.txt: not valid UTF-8"]),
    "nothing to verify": (["verify", "texts"], ["config.json is missing"]),
    "an engine that is not known": (["verify", "bert", "--engine", "x"], ["'x'. Use native or transformers"]),
}  # fmt: skip


@pytest.mark.parametrize("case", USE)
def test_use_refuses(case: str) -> None:
    arguments, phrases = USE[case]
    refused(shell(*arguments), 2, *phrases)


LONG = "n" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ["prepare", LONG, "--out", "new"],
        ["train", LONG, "--recipe", "bert-tiny", "--out", "new"],
        ["train", "corpus", "--recipe", f"{LONG}.toml", "--out", "new"],
        ["train", *BERT, "--init", LONG, "--out", "new"],
        ["score", "gpt", LONG],
        ["verify", LONG],
        ["generate", LONG, "The"],
    ],
)
def test_a_path_too_long_to_read_is_named(arguments: list[str]) -> None:
    done = shell(*arguments)
    refused(done, 2, LONG)
    assert "standard output" not in done.err
    assert "--out" not in done.err


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("manifest.json", ["train", *BERT, "--out", "new"]),
        ("bert-tiny.toml", ["train", *BERT, "--out", "new"]),
        ("config.json", ["generate", "gpt", "The"]),
        ("tokenizer_config.json", ["prepare", "texts", "--tokenizer", "gpt", "--out", "new"]),
    ],
)
def test_a_file_that_may_not_be_read_is_named(name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    real = io.open

    def guarded(file, *rest, **options):
        if str(file).endswith(f"/{name}"):
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return real(file, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(io, "open", guarded)  # what pathlib opens with; root reads whatever the mode
        done = shell(*arguments)
    refused(done, 2, f"{name}: Permission denied. Check the path and its permissions")


@pytest.mark.parametrize("verb", ["fill", "score"])
def test_use_refuses_a_pipe_that_is_not_text(verb: str) -> None:
    arguments = {"fill": ["fill", "bert"], "score": ["score", "gpt", "-"]}[verb]
    refused(shell(*arguments, stdin=b"caf\xe9 [MASK]"), 2, "standard input: not valid UTF-8")
    refused(shell(*arguments, stdin=b""), 2, "text", "Give")


@pytest.mark.parametrize(
    ("arguments", "phrases"),
    [
        (["trian"], ["No such command 'trian'. Did you mean 'train'"]),
        (["train"], ["Missing argument 'corpus'. See: sensorium train --help"]),
        (["train", "corpus", "--recpie", "x"], ["--recpie", "--recipe", "See: sensorium train --help"]),
        (["prepare", "texts"], ["Missing option '--out'"]),
        (["fill", "bert", "a [MASK]", "--top-k", "few"], ["'--top-k'", "integer"]),
        (["recipes", "extra"], ["extra"]),
        (["--nonsense"], ["--nonsense", "See: sensorium --help"]),
    ],
)
def test_mistyped_commands_are_one_line_too(arguments: list[str], phrases: list[str]) -> None:
    refused(shell(*arguments), 2, *phrases)
