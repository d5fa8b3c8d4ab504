"""`prepare`: the same bytes each time, splits that hang on each document alone, and two languages told apart."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from sensorium.data.prepare import learn, reading, tokens
from sensorium.data.prepare.prepare import prepare
from sensorium.data.shards import SPLITS, Corpus
from sensorium.errors import DataError, InputError
from sensorium.files import file_hash
from tests.data.prepare.texts import CHINESE, ENGLISH, TEXTS, files, jsonl, texts_of


@pytest.mark.parametrize("spec", ["bpe:400", "wordpiece:150", None])
def test_preparing_twice_gives_the_same_bytes(tmp_path: Path, spec: str | None) -> None:
    source = jsonl(tmp_path / "a.jsonl", TEXTS)
    for name in ("one", "two"):
        prepare(source, out=tmp_path / name, tokenizer=spec)
    code = "import sys, sensorium; sensorium.prepare(sys.argv[1], out=sys.argv[2], tokenizer="
    environment = {**os.environ, "PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "3"}
    command = [sys.executable, "-c", f"{code}{spec!r})", str(source), str(tmp_path / "three")]
    subprocess.run(command, check=True, env=environment)
    one = files(tmp_path / "one")
    assert "train/tokens-00000.bin" in one
    assert one == files(tmp_path / "two") == files(tmp_path / "three")


def test_a_unigram_vocabulary_gives_the_same_documents_and_can_be_used_again(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "a.jsonl", TEXTS)
    made = [prepare(source, out=tmp_path / str(n), tokenizer="unigram:150", validation=0.2) for n in range(2)]
    for split in SPLITS:
        assert texts_of(made[0], split) == texts_of(made[1], split)
    assert set(made[0].tokenizer.backend.get_vocab()) == set(made[1].tokenizer.backend.get_vocab())
    again = [prepare(source, out=tmp_path / name, tokenizer=tmp_path / "0", validation=0.2) for name in ("x", "y")]
    assert made[0].fingerprint == again[0].fingerprint == again[1].fingerprint


def test_a_documents_split_hangs_on_its_text_alone(tmp_path: Path) -> None:
    shuffled = random.Random(0).sample(TEXTS, len(TEXTS))
    half = TEXTS[::2]
    held_out = {}
    for name, texts in (("straight", TEXTS), ("shuffled", shuffled), ("half", half)):
        source = jsonl(tmp_path / f"{name}.jsonl", texts)
        corpus = prepare(source, out=tmp_path / name, tokenizer="bpe:400", validation=0.2)
        held_out[name] = set(texts_of(corpus, "validation"))
        assert held_out[name] | set(texts_of(corpus, "train")) == set(texts)
    assert held_out["straight"] == held_out["shuffled"]
    assert held_out["half"] == held_out["straight"] & set(half)
    assert 20 < len(held_out["straight"]) < 80


def test_the_seed_chooses_another_share_and_the_share_its_size(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "a.jsonl", TEXTS)
    held_out = [
        set(texts_of(prepare(source, out=tmp_path / str(n), tokenizer="bpe:400", **options), "validation"))
        for n, options in enumerate([{"validation": 0.1}, {"validation": 0.3}, {"validation": 0.1, "seed": 1}])
    ]
    assert held_out[0] < held_out[1]
    assert held_out[0] != held_out[2]
    assert len(held_out[1]) > 2 * len(held_out[0])


@pytest.mark.parametrize(
    ("count", "share", "expected"), [(1, 0.5, (1, 0)), (2, 0.02, (1, 1)), (3, 0.99, (1, 2)), (5, 0.0, (5, 0))]
)
def test_both_splits_hold_something_where_two_documents_are_there(
    tmp_path: Path, count: int, share: float, expected: tuple[int, int]
) -> None:
    corpus = prepare(jsonl(tmp_path / "a.jsonl", TEXTS[:count]), out=tmp_path / "c", validation=share)
    assert (len(corpus.train), len(corpus.validation)) == expected


def test_how_much_is_held_at_a_time_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = jsonl(tmp_path / "a.jsonl", TEXTS)
    prepare(source, out=tmp_path / "whole", tokenizer="bpe:400", keep_keys=False)
    monkeypatch.setattr(reading, "BATCH", 100)
    monkeypatch.setattr(tokens, "_HELD", 30)
    prepare(source, out=tmp_path / "pieces", tokenizer="bpe:400", keep_keys=False)
    assert files(tmp_path / "whole") == files(tmp_path / "pieces")


def test_a_tokenizer_learns_from_a_share_of_each_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*(f"{text} {i}" for i in range(9) for text in ENGLISH), *CHINESE[:9]]
    monkeypatch.setattr(learn, "LEARNED_FROM", 40_000)
    learned: list[str] = []

    def spy(staged: learn.Staged, shares: dict[str, float]) -> list[str]:
        learned.extend(real(staged, shares))
        return learned

    real = learn.texts
    monkeypatch.setattr("sensorium.data.prepare.finish.texts", spy)
    prepare(jsonl(tmp_path / "a.jsonl", texts), out=tmp_path / "c", tokenizer="bpe:270", validation=0.0)
    assert set(CHINESE[:9]) <= set(learned) < set(texts)
    assert sum(len(text) * (1 if text.isascii() or "Ship" in text else 8) for text in learned) == pytest.approx(
        40_000, rel=0.15
    )


def test_the_shares_of_languages_fill_the_limit_and_favour_the_small() -> None:
    sizes = {"en": 1_000_000, "zh": 10_000, "fr": 100}
    taken = learn.shares(sizes, 100_000.0)
    assert sum(sizes[language] * taken[language] for language in sizes) == pytest.approx(100_000)
    assert taken["fr"] == 1.0
    assert taken["zh"] / taken["en"] == pytest.approx(100**0.3)
    assert learn.shares(sizes, 1e9) == dict.fromkeys(sizes, 1.0)


def test_what_is_dear_to_learn_from_weighs_more() -> None:
    sizes = learn.Sizes({"en": 1_000_000, "zh": 1_000_000}, {"en": 1_000_000, "zh": 8_000_000})
    taken = learn.shares_within(sizes, 900_000)
    assert taken["en"] == pytest.approx(0.1)
    assert taken["zh"] == pytest.approx(0.1)
    assert learn.shares_within(sizes, 9_000_000) == {"en": 1.0, "zh": 1.0}


def test_duplicates_and_blanks_are_dropped_and_counted(tmp_path: Path) -> None:
    source = jsonl(
        tmp_path / "a.jsonl", [*ENGLISH, ENGLISH[3].upper(), f"  {ENGLISH[4]}\n", " ", "\u200b", *ENGLISH[:2]]
    )
    manifest = prepare(source, out=tmp_path / "c").manifest
    assert manifest["dropped"] == {"duplicate": 4, "empty": 2}
    assert manifest["input"]["counts"]["documents"] == len(ENGLISH) + 6
    assert sum(manifest["splits"][split]["documents"] for split in SPLITS) == len(ENGLISH)


def test_languages_are_told_by_their_script(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "a.jsonl", [*TEXTS, "Это по-русски, и это не нужно.", "12345 67890 !!"])
    for languages, kept in ((["en"], ENGLISH), (["zh"], CHINESE), (["en", "zh"], TEXTS)):
        out = tmp_path / "-".join(languages)
        corpus = prepare(source, out=out, tokenizer="bpe:400", languages=languages)
        assert {text for split in SPLITS for text in texts_of(corpus, split)} == set(kept)
        assert corpus.manifest["dropped"]["another script"] == len(TEXTS) + 2 - len(kept)


def test_a_given_tokenizer_is_used_as_it_is(tmp_path: Path) -> None:
    first = prepare(jsonl(tmp_path / "a.jsonl", TEXTS), out=tmp_path / "one", tokenizer="bpe:400")
    second = prepare(jsonl(tmp_path / "b.jsonl", ENGLISH[:9]), out=tmp_path / "two", tokenizer=tmp_path / "one")
    assert second.tokenizer.vocab_size == 400
    assert file_hash(tmp_path / "one" / "tokenizer.json") == file_hash(tmp_path / "two" / "tokenizer.json")
    assert set(texts_of(second, "train")) <= set(texts_of(first, "train")) | set(texts_of(first, "validation"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "manifest.json").write_text("{"),
        lambda folder: (folder / "manifest.json").write_text("[]"),
        lambda folder: (folder / "manifest.json").write_text('{"format": 99}'),
        lambda folder: (folder / "train" / "documents.npy").unlink(),
        lambda folder: (folder / "train" / "documents.npy").write_bytes(b""),
        lambda folder: (folder / "train" / "sentences.npy").write_bytes(b"\x93NUMPY junk"),
        lambda folder: (folder / "train" / "tokens-00000.bin").unlink(),
        lambda folder: os.truncate(folder / "train" / "tokens-00000.bin", 101),
        lambda folder: os.truncate(folder / "train" / "tokens-00000.bin", 100),
    ],
    ids=["manifest cut", "manifest no object", "other format", "no offsets", "offsets empty", "offsets damaged",
         "no tokens", "tokens cut in a token", "tokens cut"],
)  # fmt: skip
def test_a_damaged_corpus_is_refused(tmp_path: Path, damage) -> None:
    prepare(jsonl(tmp_path / "a.jsonl", TEXTS), out=tmp_path / "c", tokenizer="bpe:400")
    assert len(Corpus.open(tmp_path / "c").train) > 200
    damage(tmp_path / "c")
    with pytest.raises(DataError, match=r"[Pp]repare it again"):
        Corpus.open(tmp_path / "c")


@pytest.mark.parametrize("spec", ["bpe:400", "wordpiece:150", "unigram:150"])
def test_special_tokens_that_a_text_names_are_text(tmp_path: Path, spec: str) -> None:
    named = [f"Ship {i} says [MASK] and [EOS], [CLS] [SEP] [PAD] too." for i in range(60)]
    corpus = prepare(jsonl(tmp_path / "a.jsonl", [*TEXTS, *named]), out=tmp_path / "out", tokenizer=spec)
    ids = corpus.train.tokens(0, corpus.train.n_tokens).tolist()
    framing = corpus.tokenizer.special_ids - {corpus.tokenizer.unk_id}
    assert framing
    assert not framing & set(ids)
    if spec.startswith("bpe"):
        assert any("says [MASK] and [EOS]" in text for text in texts_of(corpus, "train"))
    assert corpus.tokenizer.mask_id in corpus.tokenizer.encode("a [MASK] b")


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_a_seed_out_of_range_is_an_error(tmp_path: Path, seed: int) -> None:
    with pytest.raises(InputError, match="seed="):
        prepare(jsonl(tmp_path / "a.jsonl", TEXTS), out=tmp_path / "out", seed=seed)


def test_a_file_whose_name_is_not_utf8_is_read_and_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/n\xff.txt")).write_text(" ".join(ENGLISH), encoding="utf-8")
    corpus = prepare(tmp_path / "in", out=tmp_path / "out")
    assert json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8")) == corpus.manifest
    assert os.fsencode(corpus.manifest["input"]["files"][0]["path"]) == b"in/n\xff.txt"
