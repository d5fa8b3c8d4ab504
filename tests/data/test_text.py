"""Raw text to a corpus: every reader, repair, sentences, tokens, and the same bytes each time."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import transformers as hf
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.data.cleaning.text import clean
from sensorium.data.prepare.prepare import prepare
from sensorium.data.reading.inputs import read_inputs
from sensorium.data.sample import Ledger
from sensorium.data.segment import sentences
from sensorium.data.shards import Corpus
from sensorium.errors import DataError, InputError

TEXTS = [f"Mr. Li saw {i} birds. They sang! 春天来了。花开了。\n\nA new day, No. {i}." for i in range(30)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("raw")
    for i, text in enumerate(TEXTS):
        (folder / f"{i:02}.txt").write_text(text, encoding="utf-8")
    return prepare(folder, out=folder.with_name(f"{folder.name}-corpus"), tokenizer="bpe:290", validation=0.2)


def test_every_format_gives_the_same_documents(tmp_path: Path) -> None:
    rows = [{"text": text} for text in TEXTS[:3]]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    quoted = "".join('"' + text + '"\n' for text in TEXTS[:3])
    (tmp_path / "c.csv").write_text("text\n" + quoted, encoding="utf-8-sig")
    pq.write_table(pa.table({"text": TEXTS[:3]}), tmp_path / "d.parquet")
    for name in ("a.jsonl", "b.jsonl.gz", "c.csv", "d.parquet"):
        ledger = Ledger()
        assert [sample.text for sample in read_inputs([tmp_path / name], ledger)] == TEXTS[:3], name
        assert not ledger.problems
    with pytest.raises(DataError, match=r"no column 'body'.*present: text"):
        list(read_inputs([tmp_path / "d.parquet"], Ledger(), column="body"))


def test_a_long_line_is_cut_and_nothing_is_lost(tmp_path: Path) -> None:
    long = "A sentence of some length stands here. " * 20_000
    (tmp_path / "long.txt").write_text(long, encoding="utf-8")
    parts = [sample.text for sample in read_inputs([tmp_path / "long.txt"], Ledger())]
    assert len(parts) > 5
    assert max(map(len, parts)) <= 100_000
    assert "".join(parts) == long


@pytest.mark.parametrize(
    ("raw", "repaired"),
    [
        ("schÃ¶n", "schön"),
        ("a\u200bb\u0007c\ufeff", "abc"),
        ("a \t b \r\n\r\n\r\n c", "a b\n\nc"),
        ("e\u0301", "\u00e9"),
    ],
)
def test_text_is_repaired(raw: str, repaired: str) -> None:
    assert clean(raw) == repaired


@settings(max_examples=300)
@given(st.text(alphabet=st.characters(max_codepoint=126), max_size=60))
def test_text_that_needs_no_repair_is_spared_it_and_comes_out_the_same(text: str) -> None:
    whole = clean(f"{text}é")
    assert clean(text) == whole.removesuffix("é").rstrip(" \n")


@settings(max_examples=200)
@given(st.text(alphabet='aB 1.!?。！\n"”中Dr,', max_size=60))
def test_sentences_join_back_to_the_text(text: str) -> None:
    assert "".join(sentences(text)) == text


def test_sentences_end_where_a_reader_says() -> None:
    text = 'Dr. Wu paid 3.50 to J. Smith. "Well!" she said. 他说：“走吧。”我们走了。'
    assert sentences(text) == ["Dr. Wu paid 3.50 to J. Smith.", ' "Well!" she said.', " 他说：“走吧。”", "我们走了。"]


@settings(max_examples=100)
@given(st.text(max_size=80))
def test_byte_level_tokens_decode_to_the_text(corpus: Corpus, text: str) -> None:
    cleaned = clean(text)
    if not any(token in cleaned for token in corpus.tokenizer.special.values()):
        assert corpus.tokenizer.decode(corpus.tokenizer.encode(cleaned, special=False)) == cleaned


def test_shards_hold_what_the_tokenizer_gives(corpus: Corpus) -> None:
    held = [corpus.tokenizer.decode(s.document(i)) for s in (corpus.train, corpus.validation) for i in range(len(s))]
    assert sorted(held) == sorted(TEXTS)
    assert len(corpus.validation) >= 1
    for shards in (corpus.train, corpus.validation):
        assert shards.n_bytes == sum(
            len(corpus.tokenizer.decode(shards.document(i)).encode()) for i in range(len(shards))
        )
        for i in range(len(shards)):
            pieces = shards.sentences(i)
            assert [t for piece in pieces for t in piece] == list(shards.document(i))


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
@pytest.mark.parametrize("spec", ["bpe:290", "wordpiece:90", "unigram:70"])
def test_stock_opens_a_saved_tokenizer_with_the_same_ids(spec: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS), encoding="utf-8")
    made = prepare(tmp_path / "t.jsonl", out=tmp_path / "c", tokenizer=spec).tokenizer
    (tmp_path / "saved").mkdir()
    made.save(tmp_path / "saved", kind="encoder" if kind == "encoder" else "decoder", context=64)
    stock = hf.AutoTokenizer.from_pretrained(tmp_path / "saved")
    ours = type(made).from_folder(tmp_path / "saved")
    for text in ("They saw a [MASK] bird. 春天[MASK]了", TEXTS[0], ""):
        assert stock(text)["input_ids"] == ours.encode(text)
    assert stock.mask_token_id == ours.mask_id
    assert stock.pad_token_id == ours.pad_id


def test_the_same_input_gives_the_same_bytes_and_out_is_kept(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS * 2), encoding="utf-8")
    one = prepare(tmp_path / "t.jsonl", out=tmp_path / "one", tokenizer="bpe:290")
    two = prepare(tmp_path / "t.jsonl", out=tmp_path / "two", tokenizer="bpe:290")
    assert one.fingerprint == two.fingerprint
    assert one.manifest == two.manifest
    assert one.manifest["dropped"] == {"duplicate": len(TEXTS)}
    with pytest.raises(InputError, match="already exists"):
        prepare(tmp_path / "t.jsonl", out=tmp_path / "one")
    with pytest.raises(DataError):
        prepare(tmp_path / "t.jsonl", out=tmp_path / "three", tokenizer="bpe:90000")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "t.jsonl", "two"]
