"""Answers: held to stock `transformers` and a search through all spans, and in texts of any length."""

from __future__ import annotations

from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from sensorium.errors import CapabilityError, InputError
from sensorium.tasks import answer as reading
from sensorium.tasks.answer import LONG
from sensorium.tasks.model import LanguageModel, load
from sensorium.tasks.retrieve import Passages
from tests.inference.folders import _SIZE, CONTEXT, TOKENIZER, saved

QUESTION = "who ran?"
SHORT = "  the cat ran and a bat sat, 猫跑了"
LONGER = "the man sang a song and then the hen ran to the barn. 天气很好。 " * 3


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    config = hf.BertConfig(**_SIZE, max_position_embeddings=CONTEXT, pad_token_id=0)
    folder = tmp_path_factory.mktemp("spans") / "bert"
    return saved(hf.BertForQuestionAnswering(config), folder, "encoder"), folder


@pytest.fixture(scope="module", params=["native", "transformers"])
def lm(request: pytest.FixtureRequest, spans: tuple[Any, Path]) -> LanguageModel:
    return load(spans[1], engine=request.param)


@torch.no_grad()
def by_hand(stock: Any, question: str, context: str, longest: int) -> tuple[dict[tuple[int, int], float], float]:
    """Score of every span, by its characters, in all windows; and the least score of no answer."""
    ids = {text: TOKENIZER.encodings_raw([text])[0] for text in (question, context)}
    cls, sep = TOKENIZER.cls_id, TOKENIZER.sep_id
    asked, tokens, offsets = ids[question].ids, ids[context].ids, ids[context].offsets
    room = CONTEXT - 3 - len(asked)
    found: dict[tuple[int, int], float] = {}
    null, start = float("inf"), 0
    while True:
        part = tokens[start : start + room]
        sequence = [cls, *asked, sep, *part, sep]
        types = [0] * (len(asked) + 2) + [1] * (len(part) + 1)
        out = stock(input_ids=torch.tensor([sequence]), token_type_ids=torch.tensor([types]))
        begins, ends = out.start_logits[0].tolist(), out.end_logits[0].tolist()
        null = min(null, begins[0] + ends[0])
        shift = len(asked) + 2
        for i in range(len(part)):
            for j in range(i, min(i + longest, len(part))):
                a, b = offsets[start + i][0], offsets[start + j][1]
                text = context[a:b]
                place = (a + len(text) - len(text.lstrip()), b - len(text) + len(text.rstrip()))
                if place[0] < place[1]:
                    score = begins[shift + i] + ends[shift + j]
                    found[place] = max(found.get(place, -float("inf")), score)
        if start + room >= len(tokens):
            return found, null
        start += room // 2


@pytest.mark.parametrize("context", [SHORT, LONGER], ids=["one window", "many windows"])
@pytest.mark.parametrize("longest", [1, 7])
def test_answers_are_the_best_of_all_spans_of_the_stock_model(
    lm: LanguageModel, spans: tuple[Any, Path], context: str, longest: int
) -> None:
    expected, null = by_hand(spans[0], QUESTION, context, longest)
    best = sorted(expected.items(), key=lambda item: -item[1])[:20]
    found = lm.answer(QUESTION, context=context, top_k=3, max_answer_tokens=longest)
    for answer, (place, score) in zip(found, best, strict=False):
        assert (answer.start, answer.end) == place
        assert answer.text == context[place[0] : place[1]]
        assert answer.margin == pytest.approx(score - null, abs=1e-4)
    shares = torch.tensor([score for _, score in best]).softmax(0).tolist()
    assert [answer.score for answer in found] == pytest.approx(shares[:3], abs=1e-4)
    assert lm.answer(QUESTION, context=context, max_answer_tokens=longest) == found[0]


def test_many_questions_are_answered_as_each_alone(lm: LanguageModel) -> None:
    asked, contexts = [QUESTION, "what?", QUESTION], [SHORT, LONGER, LONGER]
    together = lm.answer(asked, context=contexts)
    for question, context, answer in zip(asked, contexts, together, strict=True):
        alone = lm.answer(question, context=context)
        assert (answer.start, answer.end, answer.passage) == (alone.start, alone.end, context)
    assert [one.start for one in lm.answer(asked, context=SHORT, top_k=1)[2]] == [together[0].start]
    assert lm.answer([], context=SHORT) == []


def test_no_answer_is_given_beyond_the_threshold_alone(lm: LanguageModel) -> None:
    margin = lm.answer(QUESTION, context=SHORT).margin
    assert margin is not None
    kept = lm.answer(QUESTION, context=SHORT, threshold=-margin + 0.01)
    assert kept.text
    none, second = lm.answer(QUESTION, context=SHORT, threshold=-margin - 0.01, top_k=2)
    assert (none.text, none.start, none.end) == ("", None, None)
    assert (second.start, second.end) == (kept.start, kept.end)
    scores = lm.answer(QUESTION, context=SHORT, threshold=-100.0, top_k=20)
    assert sum(answer.score for answer in scores) <= 1 + 1e-6


def test_a_context_may_have_no_tokens_beside_a_long_question(lm: LanguageModel) -> None:
    answer = lm.answer("why " * 100, context="x")
    assert (answer.text, answer.start, answer.end) == ("x", 0, 1)


def test_in_a_long_text_the_passage_is_found_and_its_place_is_that_of_the_whole(spans: tuple[Any, Path]) -> None:
    lm = load(spans[1])
    filler = "".join(f"Nothing was said on day {i}. The sun rose.\n\n" for i in range(1200))
    middle = len(filler) // 2 - len(filler) // 2 % 2
    text = filler[:middle] + "\n\nZanzibar hid its quolibet here.\n\n" + filler[middle:]
    assert len(text) > LONG
    for given in (text, Passages(text)):
        answer = lm.answer("Where is the quolibet of Zanzibar?", context=given, passages=1)
        assert "quolibet" in answer.passage
        assert answer.start is not None
        assert text[answer.start : answer.end] == answer.text
        assert answer.text in answer.passage
    ranked = lm.answer("Where is the quolibet?", context=text, passages=1, rerank=True)
    assert ranked.passage in text


def test_a_text_of_any_length_is_read_in_parts_that_overlap(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_PART", 400)
    monkeypatch.setattr(reading, "_OVERLAP", 100)
    text = LONGER * 12 + "x" * 900
    parts = reading._parts(text)
    assert [part.text for part in parts] == [text[part.start : part.start + len(part.text)] for part in parts]
    assert parts[0].start == 0
    assert parts[-1].start + len(parts[-1].text) == len(text)
    for one, other in pairwise(parts):
        assert 350 <= len(one.text) <= 400
        assert 100 <= one.start + len(one.text) - other.start <= 150
        assert (one.text[-1].isspace() and text[other.start - 1].isspace()) or "xxx" in one.text
    found = lm.answer(QUESTION, context=text, passages=None, top_k=5)
    assert {one.passage for one in found} <= {part.text for part in parts}
    assert [text[one.start : one.end] for one in found] == [one.text for one in found]
    assert len({(one.start, one.end) for one in found}) == 5


def test_windows_are_held_a_few_at_a_time(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, together = [QUESTION, "what?"], lm.answer([QUESTION, "what?"], context=LONGER, top_k=3)
    monkeypatch.setattr(reading, "_WINDOWS", 2)
    apart = lm.answer(asked, context=LONGER, top_k=3)
    for one, other in zip(chain(*apart), chain(*together), strict=True):
        assert (one.start, one.end) == (other.start, other.end)
        assert one.margin == pytest.approx(other.margin, abs=1e-4)


@pytest.mark.parametrize(
    ("question", "options", "phrase"),
    [
        (" ", {"context": "a"}, "the question is empty"),
        (["a", ""], {"context": "a"}, "question 2: the question is empty"),
        ("a", {"context": "\n"}, "the context is empty"),
        (["a", "b"], {"context": ["a"]}, "2 questions are asked of 1 contexts"),
        ("a", {"context": "a", "top_k": 0}, "top_k=0 is out of range"),
        ("a", {"context": "a", "passages": 0}, "passages=0 is out of range"),
        ("a", {"context": "a", "max_answer_tokens": 0}, "max_answer_tokens=0 is out of range"),
        ("a", {"context": "a", "max_answer_tokens": "9"}, "max_answer_tokens='9' is not a whole number"),
        ("a", {"context": "a", "max_answer_tokens": "9", "method": "generate"}, "max_answer_tokens='9'"),
        ("a", {"context": "a", "threshold": "0"}, "threshold='0' is not a number"),
        ("a", {"context": "a", "threshold": float("nan")}, "threshold=nan is out of range"),
        ("a", {"context": "a", "method": "genrate"}, "did you mean 'generate'"),
        ("a", {"context": "a", "template": "x"}, "template does nothing with method='extract'"),
        ("a", {"context": "a", "method": "generate", "top_k": 2}, "top_k does nothing with method='generate'"),
    ],
)
def test_bad_input_is_refused(
    untyped: None, spans: tuple[Any, Path], question: Any, options: dict[str, Any], phrase: str
) -> None:
    with pytest.raises(InputError) as raised:
        load(spans[1]).answer(question, **options)
    assert phrase in str(raised.value)


def test_a_model_without_a_span_head_says_what_can(
    causal: LanguageModel, masked: LanguageModel, spans: tuple[Any, Path]
) -> None:
    with pytest.raises(
        CapabilityError, match=r"cannot answer; it can: generate, score\. Load a model that was trained"
    ):
        causal.answer("a", context="b")
    with pytest.raises(CapabilityError, match=r"for it, or ask this one with method='generate'"):
        causal.answer("a", context="b")
    with pytest.raises(CapabilityError, match=r"head\) for it\.?$"):
        masked.answer("a", context="b")
    with pytest.raises(CapabilityError, match="cannot generate"):
        load(spans[1]).answer("a", context="b", method="generate")
