"""Model folders whose tokenizer is a SentencePiece file and no `tokenizer.json`: T5, XLM-R, mBART, Marian.

Unusual: XLM-R and mBART number the pieces of their file anew, after four tokens of their own; Marian numbers the
pieces of its two files by a third one (see `marian_tokenizer`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import processors

from sensorium.data.tokens.marian import read_marian
from sensorium.data.tokens.sentencepiece import CONTROL, UNKNOWN, PieceModel, build_backend, special_token, tokens_of
from sensorium.data.tokens.tokenizer import Role, Tokenizer
from sensorium.errors import CheckpointError
from sensorium.files import read_json

_CC25 = """
ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT lv_LV my_MM ne_NP nl_XX ro_RO
ru_RU si_LK tr_TR vi_VN zh_CN
"""
_MORE = """
af_ZA az_AZ bn_IN fa_IR he_IL hr_HR id_ID ka_GE km_KH mk_MK ml_IN mn_MN mr_IN pl_PL ps_AF pt_XX sv_SE sw_KE ta_IN te_IN
th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES sl_SI
"""
_LANGUAGES = {"mbart": _CC25.split(), "mbart50": [*_CC25.split(), *_MORE.split()]}
"""In the order of their ids."""
_EXTRA_IDS = 100
_FILES = {
    "t5": "spiece.model",
    "xlm-roberta": "sentencepiece.bpe.model",
    "mbart": "sentencepiece.bpe.model",
    "mbart50": "sentencepiece.bpe.model",
    "marian": "source.spm",
}
_ALIASES = {"mt5": "t5", "umt5": "t5", "xlmroberta": "xlm-roberta"}


def read_pieces(folder: Path, settings: Mapping[str, Any]) -> Tokenizer | None:
    """The tokenizer of a folder with a SentencePiece file; None where there is no such file.

    Args:
        folder: where.
        settings: its tokenizer_config.json and special_tokens_map.json.

    Raises:
        CheckpointError: a file is damaged or missing, or the kind of the tokenizer is not known.
    """
    files = sorted(path.name for pattern in ("*.model", "*.spm") for path in folder.glob(pattern))
    if not files:
        return None
    kind = _kind(folder, settings)
    if kind not in _FILES:
        raise CheckpointError(
            f"{files[0]} is of a tokenizer of the kind {kind or 'unknown'!r} (known: {', '.join(_FILES)})",
            where=str(folder),
            fix="Save it as tokenizer.json: stock AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
        )
    path = folder / _FILES[kind]
    if not path.is_file():
        raise CheckpointError(f"{path.name} is missing", where=str(folder), fix="Copy or download the folder anew")
    if kind == "marian":
        return read_marian(folder, settings)
    model = PieceModel.read(path)
    try:
        return _t5(model, settings) if kind == "t5" else _renumbered(model, kind, settings)
    except CheckpointError as error:
        raise CheckpointError(error.problem, where=str(path), fix=error.fix) from error


def _kind(folder: Path, settings: Mapping[str, Any]) -> str:
    """By the tokenizer's class, else by the model's type."""
    name = str(settings.get("tokenizer_class") or "").removesuffix("Fast").removesuffix("Tokenizer").lower()
    if not name and (folder / "config.json").is_file():
        name = str(read_json(folder / "config.json").get("model_type") or "")
    return _ALIASES.get(name, name)


def _t5(model: PieceModel, settings: Mapping[str, Any]) -> Tokenizer:
    """The file's own ids, then the sentinels, the last one first: `A </s>`."""
    extra = settings.get("extra_ids", _EXTRA_IDS)
    if type(extra) is not int or not 0 <= extra < 1 << 16:
        raise CheckpointError(f"extra_ids={extra!r} is no number of tokens", fix="Copy the folder anew")
    pieces = [(piece.text, piece.score) for piece in model.pieces]
    there = {text for text, _ in pieces}
    sentinels = [f"<extra_id_{i}>" for i in reversed(range(extra)) if f"<extra_id_{i}>" not in there]
    pieces += [(name, 0.0) for name in sentinels]
    special = [special_token(piece.text) for piece in model.pieces if piece.kind in (UNKNOWN, CONTROL)]
    special += [special_token(name) for name in sentinels]
    backend = build_backend(model, pieces, unk_id=model.unk_id, special=special)
    tokens = tokens_of(settings)
    eos = tokens["eos"]
    if backend.token_to_id(eos) is None:
        raise CheckpointError(f"the SentencePiece model lacks {eos}", fix="Copy or download the folder anew")
    backend.post_processor = processors.TemplateProcessing(
        single=f"$A {eos}", pair=f"$A {eos} $B {eos}", special_tokens=[(eos, backend.token_to_id(eos))]
    )
    has: tuple[Role, ...] = ("eos", "unk", "pad")
    return Tokenizer(backend, {role: tokens[role] for role in has if backend.token_to_id(tokens[role]) is not None})


def _renumbered(model: PieceModel, kind: str, settings: Mapping[str, Any]) -> Tokenizer:
    """<s> <pad> </s> <unk>, the pieces after the file's own first three, languages, <mask>."""
    if model.unk_id != 0 or any(piece.kind != CONTROL for piece in model.pieces[1:3]):
        raise CheckpointError(
            "the SentencePiece model does not begin with <unk>, <s> and </s>", fix="Copy or download it anew"
        )
    tokens = tokens_of(settings)
    first = [tokens["bos"], tokens["pad"], tokens["eos"], tokens["unk"]]
    languages = _LANGUAGES.get(kind, [])
    names = [*first, *languages, tokens["mask"]]
    pieces = [(name, 0.0) for name in first]
    pieces += [(piece.text, piece.score) for piece in model.pieces[3:]]
    pieces += [(name, 0.0) for name in names[4:]]
    special = [special_token(name, takes_space=name == tokens["mask"]) for name in names]
    backend = build_backend(model, pieces, unk_id=3, special=special)
    before, after = [tokens["bos"]], [tokens["eos"]]
    between = [tokens["eos"], tokens["eos"]]
    if languages:
        language = settings.get("src_lang") or "en_XX"
        if language not in languages:
            raise CheckpointError(f"src_lang={language!r} is not a language of {kind}", fix="Copy the folder anew")
        before, after = ([], [tokens["eos"], language]) if kind == "mbart" else ([language], [tokens["eos"]])
        between = []
    backend.post_processor = processors.TemplateProcessing(
        single=[*before, "$A", *after],
        pair=[*before, "$A", *between, "$B", *after],
        special_tokens=[(name, backend.token_to_id(name)) for name in dict.fromkeys([*before, *between, *after])],
    )
    return Tokenizer(backend, tokens)
