"""From which language into which: how each kind of model is told.

| models | told by |
|---|---|
| Marian's and our own of several languages | a token before the source: `>>zh<< text` |
| mBART, NLLB, M2M | the source's language among its special tokens, the target's as the first token written |
| T5 | a sentence before the source: "translate English to German: text" |
| of one pair | nothing: the languages are named in tokenizer_config.json, or nowhere |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sensorium.data.codes import find_code, language_code, spelled
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import InputError, unknown
from sensorium.inference.engine import Seq2SeqEngine

_T5 = "translation_"
_OPTIONS = {"source": "--from", "target": "--to"}


@dataclass(frozen=True, slots=True)
class Direction:
    """What makes a model translate as asked."""

    tokenizer: Tokenizer
    """Of the source."""
    prefix: str = ""
    """Text before the source."""
    first: tuple[int, ...] = ()
    """Tokens before those of the source's text."""
    forced_bos: int | None = None
    """The first token of the translation."""
    before: list[int] = field(init=False)
    """Special tokens before a source."""
    after: list[int] = field(init=False)

    def __post_init__(self) -> None:
        encoding = self.tokenizer.encoding("a")
        inside = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
        object.__setattr__(self, "before", encoding.ids[: inside[0]] if inside else [])
        object.__setattr__(self, "after", encoding.ids[inside[-1] + 1 :] if inside else encoding.ids)

    def encode(self, texts: Iterable[str]) -> list[list[int]]:
        """Token ids of sources; no special token is read from their text."""
        raw = self.tokenizer.encode_raw([self.prefix + text for text in texts])
        return [[*self.before, *self.first, *ids, *self.after] for ids in raw]


def find_direction(engine: Seq2SeqEngine, source: str | None, target: str | None) -> Direction:
    """How to tell a model the languages.

    Args:
        engine: translates.
        source: code of the language of the texts; needed only where the model must be told.
        target: code of the language to translate into; needed only where the model knows several.

    Raises:
        InputError: the model does not know a language or must be told one, or it says nothing of languages.
    """
    for role, code in (("source", source), ("target", target)):
        if code is not None and not isinstance(code, str):
            raise InputError(f"{role}={code!r} is no language code", fix='Give a code such as "en"')
    known = engine.tokenizer.languages
    if any(token.startswith(">>") for token in known.values()):
        token = _token(known, target, "target", engine)
        _check_source(engine, source, known)
        return Direction(engine.tokenizer, first=(token,))
    if known:
        tokenizer = engine.tokenizer
        if source is not None:
            tokenizer = tokenizer.for_language(_find(known, source, "source"))
        forced = engine.facts.forced_bos
        if target is not None or forced is None:
            forced = _token(known, target, "target", engine)
        return Direction(tokenizer, forced_bos=forced)
    tasks = {name: prefix for name, prefix in engine.facts.prefixes.items() if name.startswith(_T5)}
    if tasks:
        return Direction(engine.tokenizer, prefix=_prefix(tasks, source, target), forced_bos=engine.facts.forced_bos)
    _check_pair(engine, source, target)
    return Direction(engine.tokenizer, forced_bos=engine.facts.forced_bos)


def _token(known: dict[str, str], code: str | None, role: str, engine: Seq2SeqEngine) -> int:
    if code is None and len(known) > 1:
        raise InputError(
            f"the model translates into several languages and must be told which (known: {', '.join(sorted(known))})",
            where=engine.source,
            fix=f'Give {role}= ({_OPTIONS[role]}), for example "{min(known)}"',
        )
    found = next(iter(known)) if code is None else _find(known, code, role)
    token = engine.tokenizer.id(known[found])
    if token is None:
        raise InputError(f"the tokenizer has no token {known[found]}", where=engine.source)
    return token


def _find(known: Iterable[str], code: str, role: str) -> str:
    """Which of the model's languages a code means.

    Raises:
        InputError: none.
    """
    names = list(known)
    meant = spelled(code, names)
    if meant is None:
        raise InputError(unknown(f"{role} language", code, names))
    return meant


def _prefix(tasks: dict[str, str], source: str | None, target: str | None) -> str:
    """The sentence that asks a T5 for a translation."""
    pairs = {tuple(name.removeprefix(_T5).split("_to_", 1)): prefix for name, prefix in tasks.items()}
    pairs = {pair: prefix for pair, prefix in pairs.items() if len(pair) == 2}
    source = None if source is None else _find({pair[0] for pair in pairs}, source, "source")
    target = None if target is None else _find({pair[1] for pair in pairs}, target, "target")
    fitting = [pair for pair in pairs if source in (None, pair[0]) and target in (None, pair[1])]
    if len(fitting) != 1:
        listed = ", ".join(f"{a} to {b}" for a, b in sorted(pairs))
        problem = "does not translate so" if not fitting else "translates in several directions and must be told which"
        raise InputError(f"the model {problem} (known: {listed})", fix="Give source= and target= (--from and --to)")
    return pairs[fitting[0]]


def _check_source(engine: Seq2SeqEngine, source: str | None, known: dict[str, str]) -> None:
    """Hold the source's language to the one that the model names. It may name a group of languages, which cannot be
    held to; then any language will do."""
    named = engine.facts.languages[0]
    if source is not None and named is not None and find_code(named) is not None:
        _find([named], source, "source")
    elif source is not None and source not in known:
        language_code(source)


def _check_pair(engine: Seq2SeqEngine, source: str | None, target: str | None) -> None:
    """Hold the languages to those of a model of one pair; of a model that names none, any language will do."""
    for role, asked, has in zip(("source", "target"), (source, target), engine.facts.languages, strict=True):
        if asked is not None and has is not None:
            _find([has], asked, role)
        elif asked is not None:
            language_code(asked)
