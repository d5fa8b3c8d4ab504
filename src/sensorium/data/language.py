"""Which language a text is written in, as far as its script and its commonest words tell.

`script` chooses between Latin-script and Chinese text. `is_in` holds one side of a pair to its language: by the
letters of its script, and, where several languages share a script, by the words that each of seven of them cannot do
without. A few words in another language (a name, a quotation) are no reason to refuse a text.
"""

from __future__ import annotations

import re
from collections import Counter

import regex

from sensorium.data.codes import LANGUAGES, base

SCRIPTS = {"en": "latin", "zh": "han"}
"""The languages that `prepare --languages` knows, by the script that they are told by."""
_HAN = regex.compile(r"\p{Han}")
_LATIN = regex.compile(r"\p{Latin}+")
_OTHER = regex.compile(r"[\p{L}--[\p{Han}\p{Latin}]]", flags=regex.V1)
_LETTER = regex.compile(r"\p{L}")
_LATIN_AT_MOST = re.compile("[\0-´¶-\u024f\u2000-\u206f]*")
"""Most texts need no count: they hold no letters but Latin ones. The micro sign is of no script."""
_OF = {name: regex.compile(rf"\p{{{name}}}") for language in LANGUAGES.values() for name in language.scripts}
_SHARE = 0.25
"""What of a text must be in its language's script, a Latin word weighing as one letter: Chinese about software is full
of Latin names."""
_LATIN_SHARE = 0.5
_WORD = regex.compile(r"\p{L}+")
_LISTS = {
    "en": "the of and is for this that with are not you it from be your can by if which has have when will been "
    "these their there they its into than should would more other used using only also such where how as do no per "
    "come die plus also pour",
    "fr": "le les des du et est une un pour dans que qui sur avec pas sont vous ce cette au aux votre ne ou par plus "
    "être il elle ces nous leur peut lorsque cet ont mais comme aucun chaque",
    "de": "der die das und ist nicht mit ein eine einen einer dem den des für auf von zu werden wird sie im auch oder "
    "als bei nach aus kann wenn sind sich dieser diese dieses keine zum zur durch wurde",
    "es": "el los las una del por con para es que en se está están son como más su sus este esta pero puede cuando "
    "si al desde ser también hay muy donde entre",
    "it": "il gli della delle dei di che è per una con non sono questo questa nel nella dal alla più come anche può "
    "essere viene si sul tra degli alle ogni",
    "pt": "as uma do da dos das não para com por que é são mais como este esta ao seu sua foi pode quando também "
    "no na se ou ser você pelo pela",
    "nl": "het een van en niet met voor dat zijn wordt worden deze dit op te aan bij ook naar uit als kan uw "
    "geen dan maar wel kunnen",
}


def _own_words() -> dict[str, str]:
    """Word → the one language whose list has it; a word of two lists tells nothing."""
    counted = Counter(word for words in _LISTS.values() for word in set(words.split()))
    return {word: code for code, words in _LISTS.items() for word in words.split() if counted[word] == 1}


_WORDS = _own_words()


def script(text: str) -> str:
    """`latin`, `han` or `other`: the script of most of the text. A Latin word weighs as one character."""
    sample = text[:20_000]
    if sample.isascii() or _LATIN_AT_MOST.fullmatch(sample):
        return "latin" if any(map(str.isalpha, sample)) else "other"
    counts = {
        "han": len(_HAN.findall(sample)),
        "latin": len(_LATIN.findall(sample)),
        "other": len(_OTHER.findall(sample)) // 4,
    }
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else "other"


def is_in(text: str, code: str) -> bool:
    """Whether a text may be in a language. Text without letters may be in any.

    Args:
        text: a sentence or a few.
        code: of the language, such as `en` or `zh-CN`.
    """
    language = LANGUAGES[base(code)]
    own = sum(len(_OF[name].findall(text)) for name in language.scripts)
    if "latin" in language.scripts:
        enough = own >= _LATIN_SHARE * len(_LETTER.findall(text))
        return enough and not (language.code in _LISTS and _is_in_another(text, language.code))
    foreign = len(_LETTER.findall(text)) - own - len(_OF["latin"].findall(text))
    return own >= _SHARE * (own + len(_LATIN.findall(text)) + foreign)


def _is_in_another(text: str, code: str) -> bool:
    """Whether the commonest words are another language's: three of them, and twice as many as of its own."""
    found = Counter(_WORDS[word] for word in _WORD.findall(text.lower()) if word in _WORDS)
    own = found.pop(code, 0)
    return bool(found) and max(found.values()) >= max(3, 2 * own + 1)
