"""The one tokenizer type of the project: a `tokenizers.Tokenizer`, its special tokens by role, its chat template.

It reads what a Hugging Face folder holds (`tokenizer.json`; older `vocab.txt`, `vocab.json` + `merges.txt`, or a
SentencePiece file) and writes what stock `AutoTokenizer` opens with the same ids.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import regex
from numpy.typing import NDArray
from tokenizers import AddedToken, Encoding, processors
from tokenizers import Tokenizer as Backend

from sensorium.errors import CheckpointError, InputError, unknown
from sensorium.files import StrPath, read_json, write_json

Kind = Literal["encoder", "decoder", "seq2seq"]
Role = Literal["pad", "unk", "cls", "sep", "mask", "bos", "eos"]
ROLES: tuple[Role, ...] = ("pad", "unk", "cls", "sep", "mask", "bos", "eos")

_USUAL: dict[Role, tuple[str, ...]] = {
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]",),
    "sep": ("[SEP]",),
    "mask": ("[MASK]", "<mask>"),
    "bos": ("[BOS]", "<s>"),
    "eos": ("[EOS]", "</s>", "<|endoftext|>"),
}
"""Names that tell a special token's role where a folder does not say it."""
_LANGUAGE = regex.compile(r">>([\w.@+-]+)<<|([a-z]{2,3}_[A-Z]{2})|([a-z]{3}_[A-Z][a-z]{3})|__([a-z]{2,3})__")
_CJK_START = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]")
_WORD_CHARACTER = regex.compile(r"[\p{L}\p{M}\p{N}'’]")


class Tokenizer:
    """Text to token ids and back.

    Args:
        backend: the fast tokenizer.
        special: special tokens by role; roles that the model does not have are absent.
        chat_template: the Jinja template of a chat model.
        target: of a translation's target, where that has another one (Marian).
    """

    def __init__(
        self,
        backend: Backend,
        special: dict[Role, str],
        chat_template: str | None = None,
        *,
        target: Tokenizer | None = None,
    ) -> None:
        self.backend = backend
        self.target = self if target is None else target
        """The tokenizer of the text that a translation model writes: itself, but for Marian's pairs."""
        self.special = {role: special[role] for role in ROLES if special.get(role) is not None}
        self.chat_template = chat_template
        backend.no_padding()
        backend.no_truncation()

    @classmethod
    def from_folder(cls, folder: StrPath) -> Tokenizer:
        """Read the tokenizer of a Hugging Face folder.

        Raises:
            CheckpointError: there is none, or it cannot be read.
        """
        folder = Path(folder)
        settings = _json(folder / "tokenizer_config.json")
        if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "merges.txt")):
            from sensorium.data.tokens.piece_folders import read_pieces

            of_pieces = read_pieces(folder, {**_json(folder / "special_tokens_map.json"), **settings})
            if of_pieces is not None:
                return of_pieces
        try:
            backend = _read_backend(folder, settings)
            jinja = folder / "chat_template.jinja"
            template = jinja.read_text(encoding="utf-8") if jinja.is_file() else settings.get("chat_template")
        except CheckpointError:
            raise
        except Exception as error:
            raise CheckpointError(
                f"the tokenizer cannot be read: {error}", where=str(folder), fix="Copy the folder anew"
            ) from error
        special = _special_tokens({**_json(folder / "special_tokens_map.json"), **settings}, backend)
        return cls(backend, special, template if isinstance(template, str) else None)

    @cached_property
    def vocab_size(self) -> int:
        """Ids that the tokenizer can give, from 0 to the highest; a model's embedding may be larger."""
        return max(self._vocabulary(added=True).values(), default=-1) + 1

    def _vocabulary(self, *, added: bool) -> dict[str, int]:
        """Tokens and their ids, with or without those that are no pieces of text."""
        return self.backend.get_vocab(with_added_tokens=added)

    def special_id(self, role: Role) -> int | None:
        token = self.special.get(role)
        return None if token is None else self.backend.token_to_id(token)

    pad_id = property(lambda self: self.special_id("pad"))
    unk_id = property(lambda self: self.special_id("unk"))
    cls_id = property(lambda self: self.special_id("cls"))
    sep_id = property(lambda self: self.special_id("sep"))
    mask_id = property(lambda self: self.special_id("mask"))
    bos_id = property(lambda self: self.special_id("bos"))
    eos_id = property(lambda self: self.special_id("eos"))

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids that stand for no text."""
        added = self.backend.get_added_tokens_decoder()
        return frozenset(id for id, token in added.items() if token.special)

    @cached_property
    def languages(self) -> dict[str, str]:
        """Codes of the languages that the tokenizer has tokens for, and the tokens: `zho` → `>>zho<<` (Marian and our
        own), `zh_CN` → `zh_CN` (mBART), `zho_Hans` (NLLB), `zh` → `__zh__` (M2M)."""
        names = (self.token(id) for id in sorted(self.special_ids))
        found = ((_LANGUAGE.fullmatch(name), name) for name in names)
        return {next(filter(None, match.groups())): name for match, name in found if match}

    def for_language(self, code: str) -> Tokenizer:
        """A copy that marks text as of this language where the model wants a text's own language marked (mBART:
        `A </s> en_XX`); itself where it does not.

        Raises:
            InputError: the tokenizer has no token for the language.
        """
        if code not in self.languages:
            raise InputError(unknown("language", code, self.languages))
        state, token = json.loads(self.backend.to_str()), self.languages[code]
        template = json.dumps(state["post_processor"])
        marked = next((name for name in self.languages.values() if f'"{name}"' in template), None)
        if marked is None:
            return self
        state["post_processor"] = json.loads(template.replace(f'"{marked}"', f'"{token}"'))
        state["post_processor"]["special_tokens"][token]["ids"] = [self.id(token)]
        return Tokenizer(Backend.from_str(json.dumps(state)), dict(self.special), self.chat_template)

    def encoding(self, text: str, pair: str | None = None, *, special: bool = True) -> Encoding:
        """Ids with their character offsets, types and words."""
        return self.backend.encode(text, pair, add_special_tokens=special)

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids; with the model's own special tokens around them unless `special` is off."""
        return self.encoding(text, special=special).ids

    def encode_batch(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        """Token ids of many texts, on all cores."""
        encodings = self.backend.encode_batch_fast(list(texts), add_special_tokens=special)
        return [encoding.ids for encoding in encodings]

    def encode_raw(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of raw text, in which `[MASK]` is six characters that somebody wrote: no special token is
        read from it, and none is put around it."""
        self.backend.encode_special_tokens = True
        try:
            return self.encode_batch(texts, special=False)
        finally:
            self.backend.encode_special_tokens = False

    def encodings_raw(self, texts: Sequence[str] | Sequence[Sequence[str]]) -> list[Encoding]:
        """Like `encode_raw`, with offsets and words; a text may be given as its words."""
        self.backend.encode_special_tokens = True
        try:
            whole = not texts or isinstance(texts[0], str)
            return self.backend.encode_batch(list(texts), is_pretokenized=not whole, add_special_tokens=False)
        finally:
            self.backend.encode_special_tokens = False

    def decode(self, ids: Sequence[int] | NDArray[np.integer[Any]], *, skip_special: bool = True) -> str:
        return self.backend.decode([int(i) for i in ids], skip_special_tokens=skip_special)

    def token(self, id: int) -> str:
        """The token as it stands in the vocabulary, e.g. `Ġword`, `##ing`."""
        token = self.backend.id_to_token(id)
        return "" if token is None else token

    def id(self, token: str) -> int | None:
        return self.backend.token_to_id(token)

    @cached_property
    def word_starts(self) -> NDArray[np.bool_]:
        """For every id, whether the token begins a word rather than continues one.

        A space before it begins a word, in whatever way the tokenizer marks spaces; so does every Chinese
        character, mark or special token. The first token of a text begins a word too, which no vocabulary tells.
        """
        starts = np.ones(self.vocab_size, dtype=np.bool_)
        model = type(self.backend.model).__name__
        for token, id in self._vocabulary(added=False).items():
            if model == "WordPiece":
                starts[id] = not token.startswith("##")
                continue
            text = _byte_level_text(token) if self._byte_level else token
            starts[id] = not text or text[0].isspace() or text[0] == "▁" or _begins_without_space(text)
        return starts

    @cached_property
    def _byte_level(self) -> bool:
        return "ByteLevel" in json.dumps(json.loads(self.backend.to_str()).get("decoder"))

    def for_kind(self, kind: Kind, *, types: bool = True) -> Tokenizer:
        """A copy whose special tokens stand as an encoder's ([CLS] A [SEP] B [SEP]), a decoder's ([BOS] A), or those
        of an encoder and a decoder together (A [EOS]); an encoder that knows no segments has both texts of type 0."""
        copy = Backend.from_str(self.backend.to_str())
        pairs = {token: copy.token_to_id(token) for token in self.special.values()}
        cls_, sep, bos, eos = (self.special.get(role) for role in ("cls", "sep", "bos", "eos"))
        if kind == "encoder" and cls_ and sep:
            copy.post_processor = processors.TemplateProcessing(
                single=f"{cls_} $A {sep}",
                pair=f"{cls_} $A {sep} $B:1 {sep}:1" if types else f"{cls_} $A {sep} $B {sep}",
                special_tokens=[(cls_, pairs[cls_]), (sep, pairs[sep])],
            )
        elif kind == "decoder" and bos:
            copy.post_processor = processors.TemplateProcessing(
                single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, pairs[bos])]
            )
        elif kind == "seq2seq" and eos and copy.encode("").ids[-1:] != [pairs[eos]]:
            copy.post_processor = processors.TemplateProcessing(
                single=f"$A {eos}", pair=f"$A {eos} $B {eos}", special_tokens=[(eos, pairs[eos])]
            )
        return Tokenizer(copy, dict(self.special), self.chat_template)

    def save(
        self, folder: StrPath, *, kind: Kind | None = None, context: int | None = None, types: bool | None = None
    ) -> None:
        """Write the tokenizer's files into a folder that exists.

        Args:
            folder: where.
            kind: fit the special tokens to this kind of model first.
            context: the model's longest sequence, which stock `AutoTokenizer` truncates at when asked.
            types: whether the model tells segments apart, and stock `AutoTokenizer` gives their types; by default an
                encoder does.
        """
        folder = Path(folder)
        tokenizer = self if kind is None else self.for_kind(kind, types=types is not False)
        tokenizer.backend.save(str(folder / "tokenizer.json"))
        tokens = {f"{role}_token": token for role, token in self.special.items()}
        settings: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            **tokens,
        }
        if types or (types is None and kind == "encoder"):
            settings["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
        elif types is not None or kind is not None:
            settings["model_input_names"] = ["input_ids", "attention_mask"]
        if kind in ("decoder", "seq2seq"):
            settings["padding_side"] = "left" if kind == "decoder" else "right"
        if context is not None:
            settings["model_max_length"] = context
        if self.chat_template is not None:
            settings["chat_template"] = self.chat_template
        write_json(folder / "tokenizer_config.json", settings)
        write_json(folder / "special_tokens_map.json", tokens)


def _begins_without_space(text: str) -> bool:
    """Chinese characters and punctuation are words of their own; other letters continue a word."""
    return bool(_CJK_START.match(text)) or not _WORD_CHARACTER.match(text)


def _byte_level_text(token: str) -> str:
    """The text of a byte-level token; bytes that are no whole character become U+FFFD, a letter by intention:
    the middle of a character continues a word."""
    raw = bytes(BYTES[c] for c in token if c in BYTES)
    text = raw.decode("utf-8", errors="replace")
    # The lead byte of a Chinese character begins a word even where the token ends before the character does.
    return "一" if text.startswith("�") and raw and 0xE3 <= raw[0] <= 0xE9 else text.replace("�", "a")


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for every byte (Radford et al. 2019), inverted."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(rest)}


BYTES = _byte_alphabet()
"""The byte that each letter of a byte-level token stands for."""


def _json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _read_backend(folder: Path, settings: dict[str, Any]) -> Backend:
    if (folder / "tokenizer.json").is_file():
        return Backend.from_file(str(folder / "tokenizer.json"))
    if (folder / "vocab.txt").is_file():
        from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer

        lowercase = settings.get("do_lower_case", True)
        wordpiece = BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=lowercase)
        return wordpiece._tokenizer
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        from tokenizers.implementations.byte_level_bpe import ByteLevelBPETokenizer

        bpe = ByteLevelBPETokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
        backend = bpe._tokenizer
        backend.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
        return backend
    raise CheckpointError(
        "no tokenizer found",
        where=str(folder),
        fix="The folder needs tokenizer.json (or vocab.txt, or vocab.json and merges.txt)",
    )


def _special_tokens(settings: dict[str, Any], backend: Backend) -> dict[Role, str]:
    special: dict[Role, str] = {}
    for role in ROLES:
        value = settings.get(f"{role}_token")
        token = value.get("content") if isinstance(value, dict) else value
        if isinstance(token, str) and backend.token_to_id(token) is not None:
            special[role] = token
            continue
        if f"{role}_token" in settings:
            continue
        usual = next((name for name in _USUAL[role] if backend.token_to_id(name) is not None), None)
        if usual is not None:
            special[role] = usual
    return special
