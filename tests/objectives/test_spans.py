"""Windows, their losses against stock `BertForQuestionAnswering`, and the answers that are read from them."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import transformers as hf

from sensorium.data.labelled.question_examples import QuestionExamples
from sensorium.data.labelled.questions import AnswerSpan, Question
from sensorium.errors import ConfigError
from sensorium.objectives.metrics import answer_match
from sensorium.objectives.spans import SpanExample, SpanObjective, SpanScores, best_spans
from sensorium.objectives.stream import one_pass
from tests.objectives.heads import WORDS, pair, tokenizer

RNG = np.random.default_rng(0)
TOKENIZER = tokenizer()


def question(context: str, answer: str | None, text: str = "Where?", *more: str) -> Question:
    texts = () if answer is None else (answer, *more)
    spans = tuple(AnswerSpan(text, context.index(text)) for text in texts)
    return Question(id="q", question=text, context=context, answers=spans, impossible=not spans)


def long(n: int) -> str:
    return " ".join(WORDS[i % len(WORDS)] for i in range(n))


def examples(*questions: Question) -> QuestionExamples:
    return QuestionExamples.of(questions, TOKENIZER)


DATA = examples(
    question("Anna lives in Paris. The town is nice.", "Paris"),
    question("Anna lives in Paris. The town is nice.", "Anna", "Who?"),
    question("Bert was born in 1999.", None),
    question(long(90) + " since 1987 " + long(60), "1987", "When was Carl born?"),
    question("她住在巴黎。", "巴黎", "Where?", "在巴黎"),
)


@pytest.mark.parametrize("stride", [None, 10])
def test_windows_cover_the_context_and_point_at_the_answer(stride: int | None) -> None:
    objective = SpanObjective(TOKENIZER, seq_len=48, stride=stride)
    units = objective.units(DATA, RNG)
    assert units[:, 0].tolist() == sorted(units[:, 0].tolist())
    found = [objective.example(DATA, unit, RNG) for unit in units]
    for number in range(len(DATA)):
        context = DATA.context_ids[int(DATA.context_of[number])]
        windows = [w for w in found if w.question == number]
        seen = np.zeros(len(context), bool)
        for window in windows:
            assert len(window.ids) <= 48
            piece = window.ids[window.place : window.place + window.length]
            assert piece.tolist() == context[window.start : window.start + window.length].tolist()
            assert window.ids[0] == TOKENIZER.cls_id
            assert window.ids[-1] == TOKENIZER.sep_id
            assert window.types.tolist() == [0] * window.place + [1] * (window.length + 1)
            seen[window.start : window.start + window.length] = True
            if window.target != (0, 0):
                first, last = window.target
                text = DATA.text(number, window.start + first - window.place, window.start + last - window.place)
                assert text == DATA.expected[number][0]
        assert seen.all()
        answered = [w for w in windows if w.target != (0, 0)]
        assert bool(answered) == bool(DATA.expected[number])
    assert sum(window.question == 3 for window in found) > 3


def test_stock_tokenizers_give_the_same_windows(tmp_path) -> None:
    TOKENIZER.save(tmp_path, kind="encoder")
    theirs = hf.AutoTokenizer.from_pretrained(tmp_path)
    context = DATA.contexts[int(DATA.context_of[3])]
    overlap = 20
    expected = theirs(
        "When was Carl born?", context, max_length=64, truncation="only_second", stride=overlap,
        return_overflowing_tokens=True,
    )  # fmt: skip
    room = 64 - len(theirs("When was Carl born?")["input_ids"]) - 1
    objective = SpanObjective(TOKENIZER, seq_len=64, stride=room - overlap)
    found = [objective.example(DATA, unit, RNG) for unit in objective.units(DATA, RNG) if unit[0] == 3]
    assert [window.ids.tolist() for window in found] == expected["input_ids"]
    assert [window.types.tolist() for window in found] == expected["token_type_ids"]


def stock_targets(theirs, asked: Question, overlap: int) -> list[tuple[int, int]]:
    """`prepare_train_features` of the `run_qa.py` example of `transformers`, by own reading."""
    features = theirs(
        asked.question, asked.context, max_length=64, truncation="only_second", stride=overlap,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    found = []
    for number, offsets in enumerate(features["offset_mapping"]):
        of_context = [place for place, text in enumerate(features.sequence_ids(number)) if text == 1]
        first, last = of_context[0], of_context[-1]
        if not asked.answers:
            found.append((0, 0))
            continue
        start, end = asked.answers[0].start, asked.answers[0].end
        if offsets[first][0] > start or offsets[last][1] < end:
            found.append((0, 0))
            continue
        while first < len(offsets) and offsets[first][0] <= start:
            first += 1
        while offsets[last][1] >= end:
            last -= 1
        found.append((first - 1, last + 1))
    return found


def test_targets_are_those_of_the_stock_example(tmp_path) -> None:
    TOKENIZER.save(tmp_path, kind="encoder")
    theirs, overlap = hf.AutoTokenizer.from_pretrained(tmp_path), 20
    context = long(130) + " since 1987 " + long(70)
    words = [(match.start(), match.end()) for match in re.finditer(r"\S+", context)]
    spans = [(start, end) for (start, _), (_, end) in zip(words, words[2:], strict=False)]  # three words, everywhere
    asked = [
        Question("q", "When was Carl born?", context, (AnswerSpan(context[start:end], start),), False)
        for start, end in spans
    ]
    asked.append(question(context, None, "When was Carl born?"))
    data = examples(*asked)
    room = 64 - len(theirs(asked[0].question)["input_ids"]) - 1
    objective = SpanObjective(TOKENIZER, seq_len=64, stride=room - overlap)
    found = [objective.example(data, unit, RNG) for unit in objective.units(data, RNG)]
    for number, one in enumerate(asked):
        expected = stock_targets(theirs, one, overlap)
        assert [window.target for window in found if window.question == number] == expected
        assert (set(expected) != {(0, 0)}) == bool(one.answers)


def stock_answer(windows: list[SpanExample], logits: dict[SpanExample, torch.Tensor], *, none: bool) -> str:
    """`postprocess_qa_predictions` of the `run_qa.py` example of `transformers`, by own reading."""
    null, best, text = np.inf, -np.inf, ""
    for window in windows:
        starts, ends = logits[window].double().numpy().T
        null = min(null, starts[0] + ends[0])
        inside = range(window.place, window.place + window.length)
        for start in inside:
            for end in inside:
                if end < start or end - start + 1 > 30 or starts[start] + ends[end] <= best:
                    continue
                best = starts[start] + ends[end]
                first, last = (window.start + place - window.place for place in (start, end))
                text = window.data.text(window.question, first, last)
    return "" if none and null > best else text


@pytest.mark.parametrize("seed", range(4))
def test_answers_are_those_of_the_stock_example(seed: int) -> None:
    objective, draw = SpanObjective(TOKENIZER, seq_len=48), torch.Generator().manual_seed(seed)
    answered = examples(question(long(90), "Carl lives"), question(long(60), "Oslo", "Who?"))
    for data in (DATA, answered):
        windows = [objective.example(data, unit, RNG) for unit in objective.units(data, RNG)]
        logits = {window: torch.randn(len(window.ids), 2, generator=draw) for window in windows}
        for window in windows:
            logits[window][0] += 2.2 * torch.rand(1, generator=draw)
        scores = SpanScores()
        scores.add(objective.collate(windows), list(logits.values()))
        found = scores.metrics()
        none = data is DATA
        texts = [
            stock_answer([w for w in windows if w.question == number], logits, none=none) for number in range(len(data))
        ]
        matches = np.array([answer_match(*both) for both in zip(texts, data.expected, strict=True)])
        assert (found["exact_match"], found["f1"]) == pytest.approx(tuple(matches.mean(0)))
        assert [scores._answers[number].text(data, number, none) for number in range(len(data))] == texts


def test_losses_and_gradients_are_those_of_stock(tmp_path) -> None:
    theirs, ours = pair(hf.BertForQuestionAnswering, tmp_path, vocab_size=TOKENIZER.vocab_size)
    objective = SpanObjective(TOKENIZER, seq_len=48)
    windows = [objective.example(DATA, unit, RNG) for unit in objective.units(DATA, RNG)]
    ours.train()
    loss = objective.loss(ours, objective.collate(windows))
    loss.total.backward()
    losses = []
    for window in windows:
        start, end = window.target
        given = {"input_ids": window.ids[None], "token_type_ids": window.types[None]}
        targets = {"start_positions": [start], "end_positions": [end]}
        losses.append(theirs(**{name: torch.tensor(value) for name, value in (given | targets).items()}).loss)
    mean = torch.stack(losses).mean()
    mean.backward()
    torch.testing.assert_close(loss.total, mean)
    torch.testing.assert_close(ours.spans.weight.grad, theirs.qa_outputs.weight.grad)
    torch.testing.assert_close(
        ours.stack.blocks[0].attention.q.weight.grad,
        theirs.bert.encoder.layer[0].attention.self.query.weight.grad,
        atol=1e-6, rtol=1e-4,
    )  # fmt: skip


def measured(data: QuestionExamples, logits_of) -> dict[str, float]:
    """Metrics of the logits that a function makes of a window."""
    scores = SpanScores()
    for batch in one_pass(SpanObjective(TOKENIZER, seq_len=48), data, tokens=100, seed=0):
        scores.add(batch, [logits_of(window) for window in batch.windows])
    return scores.metrics()


def pointing(window: SpanExample) -> torch.Tensor:
    """At the answer, or at [CLS]."""
    logits = torch.zeros(len(window.ids), 2)
    logits[window.target[0], 0] = logits[window.target[1], 1] = 12.0
    return logits


def silent(window: SpanExample) -> torch.Tensor:
    """At [CLS]."""
    logits = torch.zeros(len(window.ids), 2)
    logits[0] = 24.0
    return logits


def test_the_best_span_of_all_windows_is_the_answer() -> None:
    perfect = measured(DATA, pointing)
    assert perfect["exact_match"] == perfect["f1"] == perfect["no_answer_accuracy"] == 1.0
    assert perfect["loss"] == pytest.approx(0.0, abs=1e-3)


def test_no_answer_is_only_given_where_the_data_has_such_questions() -> None:
    never = measured(DATA, silent)
    assert never["exact_match"] == pytest.approx(1 / 5)
    assert never["no_answer_accuracy"] == 1.0
    answered = examples(*(question(DATA.contexts[0], "Paris", text) for text in ("Where?", "In which town?")))
    forced = measured(answered, lambda window: silent(window) + pointing(window))
    assert forced["exact_match"] == 1.0
    assert "no_answer_accuracy" not in forced


@pytest.mark.parametrize(("length", "found"), [(30, True), (31, False)])
def test_an_answer_has_30_tokens_at_most(length: int, found: bool) -> None:
    def logits(window: SpanExample) -> torch.Tensor:
        made = torch.zeros(len(window.ids), 2)
        made[window.place, 0] = made[window.place + length - 1, 1] = 9.0
        return made

    context = "她" * (length + 2)
    data = examples(question(context, "她" * length))
    assert len(data.context_ids[0]) == length + 2
    assert (measured(data, logits)["exact_match"] == 1.0) == found


def test_best_spans_are_in_order_and_none_is_too_long_or_ends_before_it_begins() -> None:
    logits = torch.randn(9, 2, generator=torch.Generator().manual_seed(1))
    found = best_spans(logits, 4, 1000)
    every = {(i, j): float(logits[i, 0] + logits[j, 1]) for i in range(9) for j in range(i, min(i + 4, 9))}
    assert {(i, j) for _, i, j in found} == set(every)
    assert [score for score, _, _ in found] == pytest.approx(sorted(every.values(), reverse=True))
    assert best_spans(torch.zeros(0, 2), 4, 5) == []


def test_an_answer_that_is_part_of_a_word_is_learned_with_the_pieces_that_hold_it() -> None:
    data = examples(question("Anna was born in 1990s Oslo", "990"))
    first, last = data.spans[0].tolist()
    characters = data.context_characters[0]
    start, end = int(characters[first, 0]), int(characters[last, 1])
    assert 17 <= start <= 18
    assert 21 <= end <= 22
    assert data.text(0, first, last) == data.contexts[0][start:end]


def test_the_first_answer_that_has_tokens_is_learned_and_questions_without_one_are_counted() -> None:
    context = "Anna \u200b lives in Paris"
    both = Question("1", "Where?", context, (AnswerSpan("\u200b", 5), AnswerSpan("Paris", 16)), False)
    none = Question("2", "Where?", context, (AnswerSpan("\u200b", 5),), False)
    data = examples(both, none, question(context, None))
    assert (len(data), data.left_out) == (2, 1)
    assert data.text(0, *data.spans[0].tolist()) == "Paris"
    assert data.spans[1].tolist() == [-1, -1]


def test_a_model_that_is_too_short_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"batch\.seq_len=6 leaves no room"):
        SpanObjective(TOKENIZER, seq_len=6)
