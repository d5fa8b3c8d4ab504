"""Questions that are made from documents by rules: practice for a model that is to point at answers.

Labelled questions are few; documents are many. As in Lewis et al. 2019, "Unsupervised Question Answering by Cloze
Translation", a phrase of a sentence is the answer, and the rest of its clause, behind a question word and a little
damaged, is the question:

1. A sentence has 6 to 40 words, marks counted. An answer is a run of 1 to 5 words that has no function word in it,
   between function words or punctuation; it stands once in its context. It begins with a capital or a number, or stands
   behind an article, a possessive or a preposition.
2. The question word: `when` for a year, `how many` for a number (the words that follow it stay), `where` for capitals
   behind in, at, near or from, `who` for other capitals, else `what`.
3. The question: that word, then up to 10 words before the answer and up to 10 behind it, to the next full stop,
   semicolon or the like; without punctuation and one word in six. Four at least must stay. A preposition that stood
   before a time or a place goes with it.
4. Two answers of a context at most, drawn from a seed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from typing import Any

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from sensorium.data.segment import sentences

WORDS, SENTENCE = range(1, 6), range(6, 41)
BESIDE, QUESTION, DROPPED, A_CONTEXT = 10, 4, 1 / 6, 2

_TOKEN = re.compile(r"\d[\d.,]*\d|\w+(?:[-'’]\w+)*|[^\w\s]")
_YEAR = re.compile(r"1\d{3}|20\d\d")
_NUMBERS = frozenset(
    ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "twenty", "hundred"]
)
_PLACES = frozenset(["in", "at", "near", "from"])
_TIMES = frozenset(["in", "on", "since", "until", "by", "during"])
_BEFORE = frozenset(
    ["a", "an", "the", "its", "their", "his", "her", "of", "for", "by", "with", "as", "into", "on", "from", "in"]
)
_MORE = frozenset(["s", "t", "also", "called", "known", "used", "using", "including"])
_FUNCTION = ENGLISH_STOP_WORDS - _NUMBERS | _PLACES | _TIMES | _BEFORE | _MORE


def made(contexts: Iterable[str], *, seed: int = 0) -> Iterator[dict[str, Any]]:
    """SQuAD articles of one context each."""
    chance = random.Random(seed)
    for number, context in enumerate(contexts):
        start, found = 0, []
        for sentence in sentences(context):
            tokens = list(_TOKEN.finditer(sentence))
            if len(tokens) in SENTENCE:
                words = [token.group() for token in tokens]
                for first, last in _answers(words):
                    text = sentence[tokens[first].start() : tokens[last - 1].end()]
                    if context.count(text) == 1:
                        found.append((words, first, last, text, start + tokens[first].start()))
            start += len(sentence)
        chosen = chance.sample(found, min(A_CONTEXT, len(found)))
        questions = [
            {
                "id": f"made-{number}-{place}",
                "question": question,
                "answers": [{"text": text, "answer_start": place}],
            }
            for words, first, last, text, place in chosen
            if (question := _question(words, first, last, chance))
        ]
        if questions:
            yield {"title": f"made-{number}", "paragraphs": [{"context": context, "qas": questions}]}


def _answers(words: list[str]) -> Iterator[tuple[int, int]]:
    """Where runs of words with content begin and end; of a run that begins with a number, the number alone."""
    first = 0
    for place in range(len(words) + 1):
        if place < len(words) and words[place][0].isalnum() and words[place].lower() not in _FUNCTION:
            continue
        word = words[first] if first < place else ""
        before = words[first - 1].lower() if first else ""
        if place - first in WORDS and (not word[0].islower() or before in _BEFORE):
            number = _is_number(word) and not _YEAR.fullmatch(word)
            yield first, first + 1 if number else place
        first = place + 1


def _is_number(word: str) -> bool:
    return word[0].isdigit() or word.lower() in _NUMBERS


def _question(words: list[str], first: int, last: int, chance: random.Random) -> str:
    answer, before = words[first:last], words[first - 1].lower() if first else ""
    drop = 0
    if any(_YEAR.fullmatch(word) for word in answer):
        asked, drop = "when", before in _TIMES
    elif _is_number(answer[0]):
        asked = "how many"
    elif all(word[0].isupper() for word in answer):
        asked, drop = ("where", True) if before in _PLACES else ("who", False)
    else:
        asked = "what"
    left, right = words[max(0, first - BESIDE) : first - drop], words[last : last + BESIDE]
    ends = [place for place, word in enumerate(right) if word in ".;:!?"]
    right = right[: ends[0]] if ends else right
    rest = right + left if asked == "how many" else left + right
    rest = [word for word in rest if word[0].isalnum()]
    kept = [word for word in rest if chance.random() > DROPPED]
    return " ".join([asked, *kept]) + "?" if len(kept) >= QUESTION else ""
