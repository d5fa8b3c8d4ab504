"""SentencePiece files: our tokenizer cuts and joins text as the `sentencepiece` package does; bad files are refused."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sensorium.data.tokens import protobuf
from sensorium.data.tokens.sentencepiece import BYTE, CONTROL, UNKNOWN, PieceModel, build_backend, special_token
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CheckpointError
from tests.data.piece_files import TEXTS, processor, trained

MANY = settings(max_examples=300, derandomize=True)
FEWER = settings(max_examples=120, derandomize=True)
OPTIONS: dict[str, dict[str, Any]] = {
    "usual": {},
    "no rules": dict(normalization_rule_name="identity"),
    "nfkc": dict(normalization_rule_name="nfkc"),
    "lower case": dict(normalization_rule_name="nmt_nfkc_cf"),
    "all spaces": dict(remove_extra_whitespaces=False),
    "no prefix": dict(add_dummy_prefix=False),
    "neither": dict(add_dummy_prefix=False, remove_extra_whitespaces=False, normalization_rule_name="identity"),
    "over spaces": dict(split_by_whitespace=False),
    "bytes": dict(byte_fallback=True, vocab_size=900),
    "whole symbols": dict(user_defined_symbols=["<sep>", "有朋", "::"]),
    "control symbols": dict(control_symbols=["<ctl>", ">>zh<<"]),
    "t5": dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1),
    "few characters": dict(character_coverage=0.98, vocab_size=400),
}


def ours(data: bytes) -> Tokenizer:
    model = PieceModel.parse(data)
    pieces = [(piece.text, piece.score) for piece in model.pieces]
    special = [special_token(piece.text) for piece in model.pieces if piece.kind in (UNKNOWN, CONTROL)]
    return Tokenizer(build_backend(model, pieces, unk_id=model.unk_id, special=special), {})


@pytest.mark.parametrize("name", OPTIONS)
def test_text_is_cut_as_the_package_cuts_it(name: str) -> None:
    data = trained(**OPTIONS[name])
    reference, tokenizer = processor(data), ours(data)
    # Their literal texts are cut at one more place, so as never to be read as what they name.
    never = [piece.text for piece in PieceModel.parse(data).pieces if piece.kind in (UNKNOWN, CONTROL, BYTE)]

    @MANY
    @given(TEXTS)
    def check(text: str) -> None:
        assume(not any(name in text for name in never))
        assert tokenizer.encode_raw([text])[0] == reference.encode(text)

    check()


@pytest.mark.parametrize("name", OPTIONS)
def test_tokens_are_joined_as_the_package_joins_them(name: str) -> None:
    data = trained(**OPTIONS[name])
    reference, tokenizer = processor(data), ours(data)
    kinds = [piece.kind for piece in PieceModel.parse(data).pieces]
    # Byte pieces alone make no character; how broken ones are shown is no part of the model.
    ordinary = [id for id, kind in enumerate(kinds) if kind not in (UNKNOWN, CONTROL, BYTE)]

    @MANY
    @given(st.one_of(TEXTS.map(reference.encode), st.lists(st.sampled_from(ordinary), max_size=12)))
    def check(ids: list[int]) -> None:
        known = [id for id in ids if id != reference.unk_id()]
        assert tokenizer.decode(known) == reference.decode(known)

    check()


@pytest.mark.parametrize("name", ["usual", "bytes", "whole symbols", "over spaces"])
def test_a_saved_tokenizer_is_the_same(name: str, tmp_path: Path) -> None:
    tokenizer = ours(trained(**OPTIONS[name]))
    tokenizer.save(tmp_path)
    again = Tokenizer.from_folder(tmp_path)

    @MANY
    @given(TEXTS)
    def check(text: str) -> None:
        assert again.encode(text) == tokenizer.encode(text)
        assert again.decode(again.encode(text)) == tokenizer.decode(tokenizer.encode(text))

    check()


def test_literal_special_tokens_are_text_in_raw_text() -> None:
    data = trained(required_chars="</>")
    reference, tokenizer = processor(data), ours(data)
    for text in ("a </s> b", "<unk>", "x<s>y</s>", "<unk"):
        raw = tokenizer.encode_raw([text])[0]
        assert not {reference.piece_to_id(name) for name in ("<s>", "</s>")} & set(raw)
        assert tokenizer.decode(raw) == reference.decode(reference.encode(text))
    read = tokenizer.encode("a </s> b")
    assert reference.eos_id() in read


def test_offsets_lead_to_the_words() -> None:
    tokenizer = ours(trained())
    text = "Emma  Woodhouse，有朋自远方来"
    encoding = tokenizer.encoding(text)
    covered = "".join(text[start:end] for start, end in encoding.offsets)
    assert covered.replace(" ", "") == text.replace(" ", "")


# Bad files


def refused(data: bytes, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        PieceModel.parse(data)
    assert caught.value.fix


@pytest.mark.parametrize(("kind", "name"), [("bpe", "BPE"), ("char", "character"), ("word", "word")])
def test_other_kinds_of_models_are_refused_by_name(kind: str, name: str) -> None:
    refused(trained("en", model_type=kind), f"of the kind {name} is not supported")


def test_other_settings_are_refused_by_name() -> None:
    refused(trained("en", treat_whitespace_as_suffix=True), "treat_whitespace_as_suffix")


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    refused(b"", "holds no pieces")
    refused(b"not a model", "truncated or no SentencePiece model")
    rules = tmp_path / "rules.tsv"
    rules.write_text("FF21\t41\nFF22\t42\n65 301\tE9\n6709 670B\t53CB\n", encoding="ascii")
    whole = trained("en", vocab_size=120, character_coverage=0.98, normalization_rule_tsv=str(rules))
    assert len(PieceModel.parse(whole).charsmap) > 1000

    @FEWER
    @given(st.integers(0, len(whole) - 1))
    def truncated(length: int) -> None:
        assert runs_or_is_refused(whole[:length])

    @FEWER
    @given(st.integers(0, len(whole) - 1), st.binary(min_size=1, max_size=6))
    def patched(place: int, patch: bytes) -> None:
        assert runs_or_is_refused(whole[:place] + patch + whole[place + len(patch) :])

    @FEWER
    @given(st.binary(max_size=200))
    def anything(data: bytes) -> None:
        assert runs_or_is_refused(data)

    truncated()
    patched()
    anything()


def runs_or_is_refused(data: bytes) -> bool:
    """A damaged file gives an error of ours, or a tokenizer that runs."""
    try:
        tokenizer = ours(data)
    except CheckpointError as error:
        return bool(error.fix)
    return tokenizer.encode("Emma Woodhouse, handsome ＡＢＣ 有朋") is not None


def test_a_message_is_read_as_it_was_written() -> None:
    def varint(value: int) -> bytes:
        low, rest = value & 0x7F, value >> 7
        return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])

    def written(fields: list[tuple[int, int | bytes]]) -> bytes:
        return b"".join(
            varint(number << 3) + varint(value)
            if isinstance(value, int)
            else varint(number << 3 | 2) + varint(len(value)) + value
            for number, value in fields
        )

    values = st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=300))

    @FEWER
    @given(st.lists(st.tuples(st.integers(1, 2**29 - 1), values), max_size=6))
    def check(fields: list[tuple[int, int | bytes]]) -> None:
        data = written(fields)
        assert list(protobuf.fields(data)) == fields

    check()
    for data in (b"\x00\x00", b"\x0b", b"\x0a\xff\xff\xff\xff\x0f", b"\x08", b"\x80" * 20):
        with pytest.raises(ValueError, match="byte"):
            list(protobuf.fields(data))


def test_scores_and_kinds_are_those_of_the_package() -> None:
    data = trained(**OPTIONS["whole symbols"])
    reference, model = processor(data), PieceModel.parse(data)
    assert len(model.pieces) == reference.get_piece_size()
    for id in random.Random(0).sample(range(len(model.pieces)), 200):
        piece = model.pieces[id]
        assert (piece.text, piece.score) == (reference.id_to_piece(id), reference.get_score(id))
        assert (piece.kind == CONTROL, piece.kind == UNKNOWN) == (reference.is_control(id), reference.is_unknown(id))
