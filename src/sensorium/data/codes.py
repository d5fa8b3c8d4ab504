"""Language codes: ISO 639-1, the scripts that each language is written in, and the spellings that files use.

`zh_CN.UTF-8`, `zh-cn` and `zh-CN` are one code; `zho`, `chi` and `Chinese` are `zh`. A region or a script stays, so
that Chinese of two kinds can be told apart, and `zh` stands for either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from sensorium.errors import InputError, unknown

_TABLE = """
af afr Afrikaans latin
am amh Amharic ethiopic
ar ara Arabic arabic
as asm Assamese bengali
ast ast Asturian latin
az aze Azerbaijani latin cyrillic
be bel Belarusian cyrillic latin
bg bul Bulgarian cyrillic
bn ben Bengali bengali
bo bod,tib Tibetan tibetan
br bre Breton latin
bs bos Bosnian latin cyrillic
ca cat,val Catalan latin
cs ces,cze Czech latin
cy cym,wel Welsh latin
da dan Danish latin
de deu,ger German latin
dz dzo Dzongkha tibetan
el ell,gre Greek greek
en eng English latin
eo epo Esperanto latin
es spa Spanish latin
et est Estonian latin
eu eus,baq Basque latin
fa fas,per,pes Persian arabic
fi fin Finnish latin
fr fra,fre French latin
fy fry Frisian latin
ga gle Irish latin
gd gla Gaelic latin
gl glg Galician latin
gu guj Gujarati gujarati
ha hau Hausa latin arabic
he heb,iw Hebrew hebrew
hi hin Hindi devanagari
hr hrv Croatian latin
hu hun Hungarian latin
hy hye,arm Armenian armenian
ia ina Interlingua latin
id ind,in Indonesian latin
is isl,ice Icelandic latin
it ita Italian latin
ja jpn Japanese han hiragana katakana
ka kat,geo Georgian georgian
kk kaz Kazakh cyrillic latin arabic
km khm Khmer khmer
kn kan Kannada kannada
ko kor Korean hangul
ku kur,kmr Kurdish latin arabic
ky kir Kyrgyz cyrillic
la lat Latin latin
lb ltz Luxembourgish latin
lo lao Lao lao
lt lit Lithuanian latin
lv lav Latvian latin
mg mlg Malagasy latin
mi mri,mao Maori latin
mk mkd,mac Macedonian cyrillic
ml mal Malayalam malayalam
mn mon Mongolian cyrillic mongolian
mr mar Marathi devanagari
ms msa,may Malay latin arabic
mt mlt Maltese latin
my mya,bur Burmese myanmar
nb nob,nbo Bokmål latin
ne nep Nepali devanagari
nl nld,dut Dutch latin
nn nno Nynorsk latin
no nor Norwegian latin
oc oci Occitan latin
or ori Odia oriya
pa pan Punjabi gurmukhi arabic
pl pol Polish latin
ps pus Pashto arabic
pt por Portuguese latin
ro ron,rum Romanian latin
ru rus Russian cyrillic
sa san Sanskrit devanagari
si sin Sinhala sinhala
sk slk,slo Slovak latin
sl slv Slovenian latin
so som Somali latin
sq sqi,alb Albanian latin
sr srp Serbian cyrillic latin
sv swe Swedish latin
sw swa Swahili latin
ta tam Tamil tamil
te tel Telugu telugu
tg tgk Tajik cyrillic
th tha Thai thai
tk tuk Turkmen latin cyrillic
tl tgl,fil Tagalog latin
tr tur Turkish latin
tt tat Tatar cyrillic latin
ug uig Uyghur arabic
uk ukr Ukrainian cyrillic
ur urd Urdu arabic
uz uzb Uzbek latin cyrillic
vi vie Vietnamese latin
xh xho Xhosa latin
yi yid Yiddish hebrew
yo yor Yoruba latin
zh zho,chi,cmn Chinese han
zu zul Zulu latin
"""


class Language(NamedTuple):
    """One row of the table."""

    code: str
    aliases: tuple[str, ...]
    name: str
    scripts: tuple[str, ...]


def _row(line: str) -> Language:
    code, aliases, name, *scripts = line.split()
    return Language(code, tuple(aliases.split(",")), name, tuple(scripts))


LANGUAGES = {row.code: row for row in map(_row, _TABLE.strip().splitlines())}
"""By their codes."""
_SPELLINGS = {word.lower(): row.code for row in LANGUAGES.values() for word in (row.code, *row.aliases, row.name)} | {
    "中文": "zh",
    "英文": "en",
    "英语": "en",
    "法语": "fr",
    "français": "fr",
    "deutsch": "de",
    "german": "de",
}
_PARTS = re.compile(r"[-_@.]")
_SCRIPT_NAMES = {"latin": "Latn", "cyrillic": "Cyrl"}


def base(code: str) -> str:
    """The language of a code, without region and script: `zh` of `zh-CN`."""
    return code.partition("-")[0]


def find_code(word: str) -> str | None:
    """The code that a word spells, in one form (`zh-CN`, `sr-Latn`); None if it names no known language."""
    first, *rest = _PARTS.split(word.strip())
    code = _SPELLINGS.get(first.lower())
    if code is None:
        return None
    kept = []
    for word_part in rest:
        part = _SCRIPT_NAMES.get(word_part.lower(), word_part)
        if re.fullmatch(r"[A-Za-z]{2}|\d{3}", part):
            kept.append(part.upper())
        elif re.fullmatch(r"[A-Za-z]{4}", part):
            kept.append(part.title())
        elif not re.fullmatch(r"(?i)utf-?8?|8|euro", part):
            return None
    return "-".join([code, *kept])


def language_code(word: str) -> str:
    """The code that a word spells.

    Raises:
        InputError: it names no known language.
    """
    code = find_code(word)
    if code is None:
        raise InputError(unknown("language", word, LANGUAGES), fix="Use a code of the list, such as en, zh or zh-CN")
    return code


def matching(code: str, present: Iterable[str]) -> str | None:
    """Which of the codes present stands for `code`: itself, else the first that is the same language more or less
    narrowly put (`zh-CN` for `zh`, `zh` for `zh-CN`, but not `zh-TW` for `zh-CN`); None if none does."""
    codes = list(present)
    if code in codes:
        return code
    return next((other for other in codes if _within(other, code) or _within(code, other)), None)


def _within(narrow: str, wide: str) -> bool:
    return narrow.startswith(f"{wide}-")


def spelled(code: str, names: Iterable[str]) -> str | None:
    """Which of a model's own names of languages a code means: `zho` for `zh`, `zh_CN` for `zh-CN`; None if none."""
    names = list(names)
    if code in names:
        return code
    codes = dict[str, str]()
    for name in names:
        codes.setdefault(find_code(name) or name, name)
    meant = matching(find_code(code) or code, codes)
    return None if meant is None else codes[meant]
