"""`prepare_parallel`: the pairs come back as they were, the same bytes each time, directions told by a token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import transformers as hf

from sensorium.bundled import default_folder
from sensorium.data.corpus import ParallelCorpus, open_corpus
from sensorium.data.parallel import prepare as parallel
from sensorium.data.parallel.prepare import prepare_parallel
from sensorium.data.prepare.prepare import prepare
from sensorium.data.shards import SPLITS, Corpus
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.data.tokens.train import parse_spec, train_tokenizer
from sensorium.errors import DataError, InputError
from sensorium.files import file_hash

PAIRS = [
    (f"Ship {i} left port {i * 7 % 13} in the %s.", f"第{i}只船在%s离开了{i * 7 % 13}号港口。") for i in range(200)
]
FRENCH = [f"Le navire {i} a quitté le port {i * 7 % 13} dans le %s." for i in range(200)]


def table(path: Path, rows=PAIRS, header: tuple[str, ...] = ("en", "zh")) -> Path:
    path.write_text("".join("\t".join(row) + "\n" for row in (header, *rows)), encoding="utf-8")
    return path


def files(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): file_hash(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def texts(corpus: ParallelCorpus, split: str, *, special: bool = True) -> list[tuple[str, str]]:
    shards = getattr(corpus, split)
    decode = corpus.tokenizer.decode
    return [
        (decode(source, skip_special=special), decode(target, skip_special=special))
        for source, target in map(shards.pair, range(len(shards)))
    ]


def every(corpus: ParallelCorpus) -> list[tuple[str, str]]:
    return [pair for split in SPLITS for pair in texts(corpus, split)]


def test_the_pairs_come_back_as_they_were(tmp_path: Path) -> None:
    corpus = prepare_parallel(table(tmp_path / "a.tsv"), out=tmp_path / "c", tokenizer="bpe:310", validation=0.1)
    assert sorted(every(corpus)) == sorted(PAIRS)
    assert 8 < len(corpus.validation) < 40
    assert corpus.languages == {"source": "en", "target": "zh"}
    assert (corpus.directions, corpus.language_tokens) == ((("en", "zh"),), {})
    source, target = corpus.train.lengths
    assert (source.sum(), target.sum()) == (corpus.train.source.n_tokens, corpus.train.n_tokens)
    assert corpus.train.source.n_bytes == sum(len(a.encode()) for a, _ in texts(corpus, "train"))
    first = corpus.train.first(3)
    assert (len(first), len(first.directions)) == (3, 3)
    assert first.pair(2)[1].tolist() == corpus.train.pair(2)[1].tolist()
    splits = corpus.manifest["splits"]
    assert splits["train"]["pairs"] + splits["validation"]["pairs"] == 200
    assert corpus.manifest["held_out"] == {"by": "source text", "groups": []}
    assert not corpus.tokenizer.special_ids & set(corpus.train.source.tokens(0, corpus.train.source.n_tokens).tolist())


@pytest.mark.parametrize("options", [{}, {"both_ways": True, "tokenizer": "wordpiece:120", "validation": 0.1}])
def test_preparing_twice_gives_the_same_bytes(tmp_path: Path, options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    source = table(tmp_path / "a.tsv")
    one = prepare_parallel(source, out=tmp_path / "one", **options)
    monkeypatch.setattr(parallel, "_BATCH", 7)
    prepare_parallel(source, out=tmp_path / "two", **options)
    code = f"import sys; import sensorium as sm; sm.prepare_parallel(sys.argv[1], out=sys.argv[2], **{options})"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "3"}
    command = [sys.executable, "-c", code, str(source), str(tmp_path / "three")]
    subprocess.run(command, check=True, env=environment)
    found = files(tmp_path / "one")
    assert {"train/source/tokens-00000.bin", "validation/target/documents.npy", "train/directions.npy"} <= set(found)
    assert found == files(tmp_path / "two") == files(tmp_path / "three")
    assert one.fingerprint == ParallelCorpus.open(tmp_path / "two").fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tsv", "one", "three", "two"]


def test_both_ways_each_source_asks_for_its_language(tmp_path: Path) -> None:
    options = {"tokenizer": "bpe:310", "validation": 0.1, "both_ways": True}
    corpus = prepare_parallel(table(tmp_path / "a.tsv"), out=tmp_path / "c", **options)
    assert corpus.directions == (("en", "zh"), ("zh", "en"))
    zh, en = corpus.language_tokens["zh"], corpus.language_tokens["en"]
    assert (zh, en) == (7, 8)
    assert {zh, en} <= corpus.tokenizer.special_ids
    pairs = every(corpus)
    assert sorted(pairs) == sorted([*PAIRS, *[(b, a) for a, b in PAIRS]])
    for split in SPLITS:
        shards = getattr(corpus, split)
        for i in range(0, len(shards), 2):
            (a, b), (c, d) = shards.pair(i), shards.pair(i + 1)
            assert (a[0], c[0]) == (zh, en)
            assert (a[1:].tolist(), b.tolist()) == (d.tolist(), c[1:].tolist())
        assert shards.directions.tolist() == [0, 1] * (len(shards) // 2)
    text = texts(corpus, "train")[0][0]
    asked = corpus.tokenizer.encode(f">>zh<< {text}")
    assert asked == corpus.train.pair(0)[0].tolist() == corpus.tokenizer.encode(f">>zh<<{text}")


@pytest.mark.parametrize("spec", ["bpe:400", "unigram:150"])
def test_several_targets_share_a_corpus_and_stock_opens_its_tokenizer(tmp_path: Path, spec: str) -> None:
    rows = [(en, zh, fr) for (en, zh), fr in zip(PAIRS, FRENCH, strict=True)]
    source = table(tmp_path / "a.tsv", rows, ("en", "zh", "fr"))
    corpus = prepare_parallel(source, out=tmp_path / "c", source="en", target=["fr", "zh"], tokenizer=spec)
    assert corpus.directions == (("en", "fr"), ("en", "zh"))
    assert list(corpus.language_tokens) == ["fr", "zh"]
    assert sorted(every(corpus)) == sorted([*PAIRS, *[(en, fr) for en, _, fr in rows]])
    counts = np.bincount(np.concatenate([corpus.train.directions, corpus.validation.directions]))
    assert counts.tolist() == [200, 200]
    (tmp_path / "model").mkdir()
    corpus.tokenizer.save(tmp_path / "model", kind="seq2seq", context=64)
    stock, ours = (
        hf.AutoTokenizer.from_pretrained(tmp_path / "model"),
        type(corpus.tokenizer).from_folder(tmp_path / "model"),
    )
    for text in (f">>fr<< {PAIRS[0][0]}", PAIRS[1][1], ""):
        ids = stock(text)["input_ids"]
        assert ids == ours.encode(text)
        assert ids[-1] == ours.eos_id == stock.eos_token_id
    assert stock(f">>fr<< {PAIRS[0][0]}")["input_ids"][0] == corpus.language_tokens["fr"]
    assert stock.decode(stock(">>fr<<Ship 1")["input_ids"], skip_special_tokens=True).strip() == "Ship 1"


def test_a_language_that_a_text_names_is_text(tmp_path: Path) -> None:
    rows = [*PAIRS, ("Write >>zh<< before it, then [EOS]", "在前面写上>>zh<<，然后是[EOS]")]
    corpus = prepare_parallel(table(tmp_path / "a.tsv", rows), out=tmp_path / "c", both_ways=True, validation=0.0)
    source, target = corpus.train.pair(400)
    assert corpus.tokenizer.decode(source) == rows[-1][0]
    assert not corpus.tokenizer.special_ids & {*source[1:].tolist(), *target.tolist()}


def test_languages_are_those_asked_for_or_else_the_first_rows(tmp_path: Path) -> None:
    source = table(tmp_path / "a.tsv")
    turned = prepare_parallel(source, out=tmp_path / "b", source="zh", target="en", validation=0.1)
    assert sorted(every(turned)) == sorted((b, a) for a, b in PAIRS)
    assert prepare_parallel(source, out=tmp_path / "c", source="zh").directions == (("zh", "en"),)
    assert prepare_parallel(source, out=tmp_path / "d", target="en").directions == (("zh", "en"),)
    narrow = table(tmp_path / "n.tsv", header=("en_GB", "zh_CN"))
    assert prepare_parallel(narrow, out=tmp_path / "e", source="en", target="zh").directions == (("en", "zh"),)
    assert prepare_parallel(narrow, out=tmp_path / "f").directions == (("en-GB", "zh-CN"),)


def test_whole_groups_are_held_out(tmp_path: Path) -> None:
    rows = [(f"book {i // 20}", *pair) for i, pair in enumerate(PAIRS)]
    rows += [("book 0", *PAIRS[150]), ("book 1", "Something else, and not a ship, %s.", PAIRS[150][1])]
    source = table(tmp_path / "a.tsv", rows, ("package", "en", "zh"))
    corpus = prepare_parallel(source, out=tmp_path / "c", validation=0.15)
    assert corpus.manifest["held_out"]["by"] == "group"
    assert len(corpus.manifest["held_out"]["groups"]) == 1
    assert len(corpus.validation) == 20
    asked = prepare_parallel(source, out=tmp_path / "d", hold_out=["book 7", "book 2"])
    assert sorted(asked.manifest["held_out"]["groups"]) == ["book 2", "book 7"]
    # Pair 150 is left out, for its Chinese stands in book 1.
    assert texts(asked, "validation") == [*PAIRS[40:60], *PAIRS[140:150], *PAIRS[151:160]]
    assert asked.manifest["dropped"] == {"duplicate": 1, "held out, but also in training": 1}


def test_what_is_dropped_is_counted_by_reason(tmp_path: Path) -> None:
    rows = [*PAIRS, PAIRS[3], ("", "空"), ("Same", "Same"), ("Open %s", "打开"), ("This is English", "And so is this")]
    manifest = prepare_parallel(table(tmp_path / "a.tsv", rows), out=tmp_path / "c").manifest
    assert manifest["dropped"] == {
        "duplicate": 1, "empty on one side": 1, "copied, not translated": 1, "placeholders that differ": 1,
        "not in zh": 1,
    }  # fmt: skip
    assert manifest["input"]["counts"]["pairs"] == 205
    assert manifest["kind"] == "parallel"
    assert manifest["input"]["files"][0]["path"] == "a.tsv"


def test_a_given_tokenizer_is_used_as_it_is(tmp_path: Path) -> None:
    source = table(tmp_path / "a.tsv")
    first = prepare_parallel(source, out=tmp_path / "one", both_ways=True, tokenizer="bpe:310")
    again = prepare_parallel(source, out=tmp_path / "two", both_ways=True, tokenizer=tmp_path / "one")
    assert again.fingerprint == first.fingerprint
    assert again.language_tokens == first.language_tokens
    prepare_parallel(source, out=tmp_path / "plain", tokenizer="bpe:310")
    with pytest.raises(InputError, match=r"plain: the tokenizer has no token >>zh<< or >>en<<.*prepare one direction"):
        prepare_parallel(source, out=tmp_path / "x", both_ways=True, tokenizer=tmp_path / "plain")
    assert not (tmp_path / "x").exists()


def test_one_direction_of_a_model_of_several_languages_asks_for_its_language(tmp_path: Path) -> None:
    source, given = table(tmp_path / "a.tsv"), tmp_path / "given"
    given.mkdir()
    texts = [text for pair in PAIRS for text in pair]
    train_tokenizer(lambda: texts, parse_spec("bpe:310"), extra=[">>fra<<", ">>zho<<"]).save(given)
    corpus = prepare_parallel(source, out=tmp_path / "corpus", tokenizer=given)
    sources = [corpus.train.pair(number)[0] for number in range(len(corpus.train))]
    assert {int(ids[0]) for ids in sources} == {corpus.tokenizer.id(">>zho<<")}
    assert corpus.language_tokens == {"zh": corpus.tokenizer.id(">>zho<<")}
    with pytest.raises(InputError, match=r"given: the tokenizer has no token >>en<<.*choose among fra, zho"):
        prepare_parallel(source, out=tmp_path / "x", source="zh", target="en", tokenizer=given)


def test_two_languages_never_share_a_token(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    train_tokenizer(lambda: (a for a, _ in PAIRS), parse_spec("bpe:300"), extra=[">>zh<<"]).save(given)
    rows = "".join(f"{a}\t{b}\t{b}\n" for a, b in PAIRS)
    (tmp_path / "a.tsv").write_text(f"en\tzh-CN\tzh-TW\n{rows}", encoding="utf-8")
    with pytest.raises(InputError, match="given: the tokenizer has one token for two of zh-CN, zh-TW"):
        prepare_parallel(tmp_path / "a.tsv", out=tmp_path / "x", target=["zh-CN", "zh-TW"], tokenizer=given)


def test_a_bundled_model_lends_its_tokenizer(tmp_path: Path) -> None:
    corpus = prepare_parallel(table(tmp_path / "a.tsv"), out=tmp_path / "c", tokenizer="default:decoder")
    assert corpus.tokenizer.backend.to_str() == Tokenizer.from_folder(default_folder("decoder")).backend.to_str()
    (tmp_path / "t.txt").write_text("A text. " * 99, encoding="utf-8")
    assert prepare(tmp_path / "t.txt", out=tmp_path / "t", tokenizer="default").tokenizer.vocab_size == 8192
    with pytest.raises(InputError, match=r"tokenizer 'defaults'.*or one of default, default:encoder"):
        prepare(tmp_path / "t.txt", out=tmp_path / "x", tokenizer="defaults")


def test_open_corpus_opens_either_kind_and_each_refuses_the_other(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("A text. " * 99, encoding="utf-8")
    prepare(tmp_path / "t.txt", out=tmp_path / "text")
    prepare_parallel(table(tmp_path / "a.tsv"), out=tmp_path / "pairs")
    assert isinstance(open_corpus(tmp_path / "text"), Corpus)
    assert isinstance(open_corpus(tmp_path / "pairs"), ParallelCorpus)
    with pytest.raises(InputError, match=r"pairs: a corpus of kind 'parallel', where one of kind 'text' is needed"):
        Corpus.open(tmp_path / "pairs")
    with pytest.raises(InputError, match=r"of kind 'text', where .* 'parallel' is needed.* --parallel"):
        ParallelCorpus.open(tmp_path / "text")
    with pytest.raises(InputError, match="no such folder"):
        open_corpus(tmp_path / "none")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "manifest.json").write_text('{"format": 1, "kind": "parallel"}'),
        lambda folder: (folder / "train" / "directions.npy").unlink(),
        lambda folder: np.save(folder / "train" / "directions.npy", np.zeros(3, dtype=np.uint8)),
        lambda folder: (folder / "train" / "target" / "documents.npy").write_bytes(b""),
        lambda folder: os.truncate(folder / "validation" / "source" / "tokens-00000.bin", 10),
    ],
)
def test_a_damaged_corpus_is_refused(tmp_path: Path, damage) -> None:
    prepare_parallel(table(tmp_path / "a.tsv"), out=tmp_path / "c", validation=0.1)
    damage(tmp_path / "c")
    with pytest.raises(DataError, match=r"[Pp]repare it again"):
        open_corpus(tmp_path / "c")


REFUSED: dict[str, tuple[dict, type[Exception], str]] = {
    "language": ({"source": "xx"}, InputError, r"unknown language 'xx'.* \(known: af, "),
    "one of several": ({"source": "en", "target": ["zh", "qq"]}, InputError, "unknown language 'qq'"),
    "the same": ({"source": "en", "target": "en"}, InputError, "'en' is both source and target"),
    "absent": ({"source": "de", "target": "zh"}, DataError, r"a\.tsv:1: its header names en and zh, and no de\. Check"),
    "one absent": ({"source": "en", "target": ["zh", "fr"]}, DataError, "no usable pair from en to fr. Leave fr out"),
    "column": ({"columns": {"en": "en", "zh": "x"}}, InputError, "no column 'x'. Its columns are: en, zh"),
    "a column missing": ({"columns": {"en": "en"}, "source": "en", "target": "zh"}, InputError, "is given for zh"),
    "column language": ({"columns": {"qq": "en"}}, InputError, "unknown language 'qq'"),
    "group": ({"hold_out": ["x"]}, InputError, "no pair belongs to the group 'x'. The groups are: none"),
    "length": ({"max_characters": 0}, InputError, "max_characters=0 leaves no text"),
    "too short": ({"max_characters": 3}, DataError, r"no usable pair \(200 too long\)"),
    "ratio": ({"max_ratio": 0.5}, InputError, "max_ratio=0.5 is below 1"),
    "share": ({"validation": 1.0}, InputError, "validation=1.0 is not a share"),
    "seed": ({"seed": -1}, InputError, "seed=-1 is not"),
    "tokenizer": ({"tokenizer": "bep:9"}, InputError, "did you mean 'bpe'"),
    "vocabulary": ({"tokenizer": "bpe:90000"}, DataError, "larger than the text supports"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments_are_refused_and_nothing_is_left(tmp_path: Path, case: str) -> None:
    options, kind, reason = REFUSED[case]
    table(tmp_path / "a.tsv")
    with pytest.raises(kind, match=reason):
        prepare_parallel(tmp_path / "a.tsv", out=tmp_path / "c", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tsv"]


def test_files_of_other_languages_than_the_first_are_refused_unless_asked(tmp_path: Path) -> None:
    one, two = table(tmp_path / "a.tsv"), table(tmp_path / "b.tsv", [("One", "Un")], ("en", "fr"))
    with pytest.raises(DataError, match=r"b\.tsv:2: holds en and fr, where the first row holds en and zh"):
        prepare_parallel([one, two], out=tmp_path / "c")
    corpus = prepare_parallel([one, two], out=tmp_path / "c", source="en", target=["zh", "fr"])
    assert corpus.directions == (("en", "zh"), ("en", "fr"))
    three = table(tmp_path / "x.tsv", [("One", "一", "Un")], ("en", "zh", "fr"))
    with pytest.raises(DataError, match=r"x\.tsv:2: holds en and zh and fr\. Say which two are meant with --from"):
        prepare_parallel(three, out=tmp_path / "d")


def test_a_row_that_lacks_a_language_is_counted_where_none_is_named(tmp_path: Path) -> None:
    objects = [{"en": "Only one", "zh": None}, *({"en": a, "zh": b} for a, b in PAIRS), {"en": None, "zh": "空"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in objects))
    pq.write_table(pa.Table.from_pylist(objects), tmp_path / "b.parquet")
    tuv = '<tuv xml:lang="{}"><seg>{}</seg></tuv>'.format
    units = ["<tu>" + "".join(tuv(*item) for item in row.items() if item[1]) + "</tu>" for row in objects]
    (tmp_path / "c.tmx").write_text(f"<tmx><header/><body>{''.join(units)}</body></tmx>", encoding="utf-8")
    for name in ("a.jsonl", "b.parquet", "c.tmx"):
        corpus = prepare_parallel(tmp_path / name, out=tmp_path / name[0], tokenizer="bpe:310")
        assert corpus.manifest["dropped"]["without a text in both languages"] == 2
        assert corpus.directions == (("en", "zh"),)
        assert sorted(every(corpus)) == sorted(PAIRS)


def test_a_tokenizer_learns_from_a_share_of_a_large_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [pair if i % 4 == 0 else (f"Strange ⓧ{i}ⓧ", f"怪ⓧ{i}ⓧ") for i, pair in enumerate(PAIRS)]
    monkeypatch.setattr(parallel, "_LEARNED_FROM", sum(len(a) + len(b) for a, b in rows) // 3)
    corpus = prepare_parallel(
        table(tmp_path / "a.tsv", rows), out=tmp_path / "c", tokenizer="unigram:120", validation=0.0
    )
    assert len(corpus.train) == 200
    assert "ⓧ" not in "".join(corpus.tokenizer.backend.get_vocab())


@pytest.mark.parametrize(("source", "out"), [("a\0.tsv", "x"), ("a.tsv", "x\0")])
def test_a_path_with_a_zero_byte_is_refused(tmp_path: Path, source: str, out: str) -> None:
    table(tmp_path / "a.tsv")
    for make in (prepare, prepare_parallel):
        with pytest.raises(InputError, match="is no path: it has a zero byte in it"):
            make(str(tmp_path / source), out=str(tmp_path / out))
