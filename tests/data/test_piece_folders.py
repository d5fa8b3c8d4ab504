"""Folders with SentencePiece files give the ids that stock `transformers` gives, and what we save opens in it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
import transformers as hf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sensorium.data.tokens.marian import MarianTokenizer
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CheckpointError, InputError
from tests.data.piece_files import FAIRSEQ, T5, TEXTS, processor, trained

MANY = settings(max_examples=200, derandomize=True)
KINDS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "t5": ("T5Tokenizer", "t5", "spiece.model", T5),
    "mt5": ("T5Tokenizer", "mt5", "spiece.model", T5),
    "xlm-r": ("XLMRobertaTokenizer", "xlm-roberta", "sentencepiece.bpe.model", FAIRSEQ),
    "mbart": ("MBartTokenizer", "mbart", "sentencepiece.bpe.model", FAIRSEQ),
    "mbart50": ("MBart50Tokenizer", "mbart", "sentencepiece.bpe.model", FAIRSEQ),
}
SPECIAL = ("<s>", "</s>", "<pad>", "<unk>", "<mask>", "<extra_id_")


def folder_of(kind: str, folder: Path) -> Path:
    name, model_type, file, options = KINDS[kind]
    (folder / file).write_bytes(trained(**options))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
    return folder


def marian(folder: Path, *, separate: bool = False, lacking: int = 40) -> Path:
    """Two files and a vocabulary which has most of their pieces, in an order of its own."""
    sides = {"source": trained("en"), "target": trained("zh")}
    pieces = dict[str, list[str]]()
    for side, data in sides.items():
        (folder / f"{side}.spm").write_bytes(data)
        model = processor(data)
        ids = range(model.get_piece_size())
        pieces[side] = [model.id_to_piece(id) for id in ids if not model.is_control(id) and not model.is_unknown(id)]
    found = [[*pieces["source"][lacking:], "光芒"], pieces["target"][:-lacking]]
    for name, tokens in {"vocab": found[0] + found[1], "target_vocab": found[1]}.items():
        names = dict.fromkeys(["</s>", "<unk>", ">>zho<<", ">>jpn<<", *sorted(set(tokens)), "<pad>"])
        if name == "vocab" or separate:
            (folder / f"{name}.json").write_text(json.dumps({token: id for id, token in enumerate(names)}))
    settings_ = {"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "zh"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings_ | {"separate_vocabs": separate}))
    (folder / "config.json").write_text(json.dumps({"model_type": "marian"}))
    return folder


def stock(name: str, folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(hf, name).from_pretrained(folder)


@pytest.mark.parametrize("kind", ["t5", "mt5", "xlm-r", "mbart50"])
def test_ids_are_those_of_stock(kind: str, tmp_path: Path) -> None:
    theirs, ours = stock(KINDS[kind][0], folder_of(kind, tmp_path)), Tokenizer.from_folder(tmp_path)
    assert ours.vocab_size >= theirs.vocab_size
    for role, token in ours.special.items():
        assert ours.special_id(role) == theirs.convert_tokens_to_ids(token)

    @MANY
    @given(TEXTS, TEXTS)
    def check(text: str, other: str) -> None:
        # Stock's takes every kind of white space for a space before a rule does, and one at the end for a token; and
        # it loses the accents of decomposed text.
        text, other = (normalize("NFC", " ".join(part.split())) for part in (text, other))
        assume(not any(name in text + other for name in SPECIAL))
        ids = theirs(text).input_ids
        assert ours.encode(text) == ids
        if other:  # stock takes an empty second text for none
            assert ours.encoding(text, other).ids == theirs(text, other).input_ids
        assert ours.decode(ids).strip() == theirs.decode(ids, skip_special_tokens=True).strip()

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_the_package_in_the_familys_numbering(kind: str, tmp_path: Path) -> None:
    ours = Tokenizer.from_folder(folder_of(kind, tmp_path))
    reference = processor(trained(**KINDS[kind][3]))
    fairseq = KINDS[kind][3] is FAIRSEQ

    @MANY
    @given(TEXTS)
    def check(text: str) -> None:
        assume(not any(name in text for name in SPECIAL))
        ids = reference.encode(text)
        expected = [3 if id == 0 else id + 1 for id in ids] if fairseq else ids
        assert ours.encode_raw([text]) == [expected]
        assert ours.encode(text, special=False) == expected

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_what_we_save_opens_in_stock_with_the_same_ids(kind: str, tmp_path: Path) -> None:
    ours = Tokenizer.from_folder(folder_of(kind, tmp_path))
    (tmp_path / "saved").mkdir()
    ours.save(tmp_path / "saved")
    theirs, again = hf.AutoTokenizer.from_pretrained(tmp_path / "saved"), Tokenizer.from_folder(tmp_path / "saved")
    assert again.special == ours.special

    @MANY
    @given(TEXTS)
    def check(text: str) -> None:
        assert again.encode(text) == theirs(text).input_ids == ours.encode(text)

    check()


def test_special_tokens_stand_where_each_family_has_them(tmp_path: Path) -> None:
    def tokens(kind: str) -> list[str]:
        (tmp_path / kind).mkdir()
        tokenizer = Tokenizer.from_folder(folder_of(kind, tmp_path / kind))
        special = {tokenizer.token(id) for id in tokenizer.special_ids}
        encoding = tokenizer.encoding("Emma", "有朋")
        assert not any(encoding.type_ids)
        return [token for token in encoding.tokens if token in special]

    assert tokens("t5") == ["</s>", "</s>"]
    assert tokens("xlm-r") == ["<s>", "</s>", "</s>", "</s>"]
    assert tokens("mbart") == ["</s>", "en_XX"]
    assert tokens("mbart50") == ["en_XX", "</s>"]


def test_t5_sentinels_have_the_last_ids_in_falling_order(tmp_path: Path) -> None:
    ours = Tokenizer.from_folder(folder_of("t5", tmp_path))
    size = processor(trained(**T5)).get_piece_size()
    assert [ours.id(f"<extra_id_{i}>") for i in (0, 1, 99)] == [size + 99, size + 98, size]
    ids = ours.encode("a <extra_id_0> b <extra_id_1>")
    assert ids == stock("T5Tokenizer", tmp_path)("a <extra_id_0> b <extra_id_1>").input_ids
    assert ours.decode(ids) == "a b"
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer", "extra_ids": 0}')
    assert Tokenizer.from_folder(tmp_path).vocab_size == size


def test_xlm_r_masks_take_the_space_before_them(tmp_path: Path) -> None:
    ours = Tokenizer.from_folder(folder_of("xlm-r", tmp_path))
    text = "Emma <mask> clever"
    assert ours.encode(text) == stock("XLMRobertaTokenizer", tmp_path)(text).input_ids
    assert ours.mask_id in ours.encode(text)


@pytest.mark.parametrize("kind", ["mbart", "mbart50"])
def test_languages_are_marked_as_stock_marks_them(kind: str, tmp_path: Path) -> None:
    ours = Tokenizer.from_folder(folder_of(kind, tmp_path))
    theirs = stock(KINDS[kind][0], tmp_path)
    assert set(ours.languages) >= {"en_XX", "zh_CN", "fr_XX"}
    for code in ("zh_CN", "fr_XX", "en_XX"):
        theirs.src_lang = code
        assert ours.for_language(code).encode("Emma") == theirs("Emma").input_ids
        assert ours.languages[code] == code
    assert ours.encode("Emma")[0 if kind == "mbart50" else -1] == ours.id("en_XX")
    with pytest.raises(InputError, match="unknown language 'zh_XX'; did you mean"):
        ours.for_language("zh_XX")


# Marian


@pytest.mark.parametrize("separate", [False, True])
def test_both_sides_of_marian_have_the_ids_of_stock(separate: bool, tmp_path: Path) -> None:
    ours = Tokenizer.from_folder(marian(tmp_path, separate=separate))
    theirs = stock("MarianTokenizer", tmp_path)
    assert isinstance(ours, MarianTokenizer)
    assert ours.target is not ours
    assert ours.target.target is ours.target
    assert ours.vocab_size == theirs.vocab_size
    assert (ours.pad_id, ours.eos_id, ours.unk_id) == (theirs.pad_token_id, theirs.eos_token_id, theirs.unk_token_id)

    @MANY
    @given(TEXTS)
    def check(text: str) -> None:
        assume(not any(name in text for name in (*SPECIAL, ">>")))
        source, target = theirs(text).input_ids, theirs(text_target=text).input_ids
        assert ours.encode(text) == ours.encode_batch([text])[0] == source
        assert ours.target.encode(text) == target
        assert ours.encode_raw([text])[0] == source[:-1]
        of_ours = ours.target.decode(target)
        assert of_ours == theirs.decode(target, skip_special_tokens=True)

    check()


def test_the_targets_tokenizer_joins_any_ids_of_the_shared_vocabulary(tmp_path: Path) -> None:
    ours = Tokenizer.from_folder(marian(tmp_path))
    theirs = stock("MarianTokenizer", tmp_path)

    @MANY
    @given(st.lists(st.integers(0, ours.vocab_size - 1), max_size=15))
    def check(ids: list[int]) -> None:
        ids = [id for id in ids if not theirs.convert_ids_to_tokens(id).startswith(">>")]
        assert ours.target.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
        assert ours.decode(ids, skip_special=False) == theirs.decode(ids)
        assert [ours.token(id) for id in ids] == theirs.convert_ids_to_tokens(ids)

    check()


def test_the_vocabulary_decides_what_is_known(tmp_path: Path) -> None:
    lacking = 40
    ours = Tokenizer.from_folder(marian(tmp_path, lacking=lacking))
    source = processor(trained("en"))
    lost = next(source.id_to_piece(i) for i in range(3, 3 + lacking) if ours.id(source.id_to_piece(i)) is None)
    assert source.encode(lost.replace("▁", " "), out_type=str)[-1] == lost
    assert ours.encode(lost.replace("▁", " "))[-2:] == [ours.unk_id, ours.eos_id]
    # No piece of the source's file, but a token.
    assert ours.encode("Emma 光芒")[-2] == ours.id("光芒")


def test_marian_reads_the_language_before_the_text(tmp_path: Path) -> None:
    ours = Tokenizer.from_folder(marian(tmp_path))
    theirs = stock("MarianTokenizer", tmp_path)
    assert ours.languages == {"zho": ">>zho<<", "jpn": ">>jpn<<"}
    text = f"{ours.languages['zho']} Emma was clever"
    assert ours.encode(text) == theirs(text).input_ids
    assert ours.encode(text)[0] == ours.id(">>zho<<")
    assert ours.id(">>zho<<") not in ours.encode_raw([text])[0]
    assert ours.for_language("jpn") is ours


def test_a_saved_pair_is_the_same_files(tmp_path: Path) -> None:
    for separate in (False, True):
        folder, again = tmp_path / f"in-{separate}", tmp_path / f"out-{separate}"
        folder.mkdir()
        again.mkdir()
        Tokenizer.from_folder(marian(folder, separate=separate)).save(again, context=64)
        names = ["source.spm", "target.spm", "vocab.json", *(["target_vocab.json"] if separate else [])]
        assert all((folder / name).read_bytes() == (again / name).read_bytes() for name in names)
        theirs = stock("AutoTokenizer", again)
        assert type(theirs) is hf.MarianTokenizer
        assert (theirs.model_max_length, theirs.source_lang, theirs.target_lang) == (64, "en", "zh")
        assert theirs("Emma was clever").input_ids == Tokenizer.from_folder(again).encode("Emma was clever")


# Bad folders


def refused(folder: Path, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        Tokenizer.from_folder(folder)
    assert caught.value.where is not None
    assert caught.value.where.startswith(str(folder))
    assert caught.value.fix


def test_an_unknown_kind_of_tokenizer_is_named_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(trained(**T5))
    refused(tmp_path, r"spiece\.model is of a tokenizer of the kind 'unknown' \(known: t5")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "XLNetTokenizer"}')
    refused(tmp_path, "of the kind 'xlnet'")


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    folder_of("t5", tmp_path)
    (tmp_path / "spiece.model").write_bytes(trained(**T5)[:1000])
    refused(tmp_path, r"truncated or no SentencePiece model")
    (tmp_path / "spiece.model").rename(tmp_path / "other.model")
    refused(tmp_path, r"spiece\.model is missing")


def test_a_marian_folder_needs_all_its_files(tmp_path: Path) -> None:
    marian(tmp_path)
    (tmp_path / "target.spm").unlink()
    refused(tmp_path, r"target\.spm is missing")
    (tmp_path / "vocab.json").unlink()
    refused(tmp_path, r"target\.spm, vocab\.json are missing")


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        ("{}", "an id of its own"),
        ('{"</s>": 0, "<unk>": 0, "<pad>": 2}', "an id of its own"),
        ('{"</s>": 0, "<unk>": "1", "<pad>": 2}', "an id of its own"),
        ('{"</s>": 0, "<unk>": 1000000000, "<pad>": 2}', "an id of its own"),
        ('{"</s>": 0, "<unk>": 1}', "lacks <pad>"),
        ("[1]", "JSON"),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(vocabulary: str, message: str, tmp_path: Path) -> None:
    marian(tmp_path)
    (tmp_path / "vocab.json").write_text(vocabulary)
    refused(tmp_path, message)


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    folder_of("t5", tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer", "extra_ids": -1}')
    refused(tmp_path, "extra_ids=-1")
    (tmp_path / "spiece.model").write_bytes(trained(**FAIRSEQ, eos_piece="<end>"))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer"}')
    refused(tmp_path, "lacks </s>")
    (tmp_path / "spiece.model").rename(tmp_path / "sentencepiece.bpe.model")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "MBartTokenizer", "src_lang": "xx"}')
    refused(tmp_path, "src_lang='xx'")
    (tmp_path / "sentencepiece.bpe.model").write_bytes(trained(**T5))
    refused(tmp_path, "does not begin with <unk>, <s> and </s>")
