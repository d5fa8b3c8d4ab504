"""Windows, their losses against stock `BertForQuestionAnswering`, and the answers that are read from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as hf

from sensorium.data.labelled.question_examples import QuestionExamples
from sensorium.data.labelled.questions import AnswerSpan, Question
from sensorium.errors import ConfigError
from sensorium.objectives.objective import one_pass
from sensorium.objectives.spans import SpanExample, SpanObjective, SpanScores, best_span
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


def test_the_best_span_ends_after_it_begins_and_is_not_too_long() -> None:
    logits = torch.zeros(50, 2)
    logits[40, 0], logits[3, 1] = 10.0, 10.0
    assert best_span(logits)[1:] != (40, 3)
    score, first, last = best_span(logits, longest=5)
    assert score == 10.0
    assert 0 <= last - first < 5
    scores = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    score, first, last = best_span(scores, longest=6)
    expected = max((float(scores[i, 0] + scores[j, 1]), i, j) for i in range(20) for j in range(i, min(i + 6, 20)))
    assert (score, first, last) == pytest.approx(expected)


def test_an_answer_that_is_part_of_a_word_is_learned_as_that_word() -> None:
    data = examples(question("Anna was born in 1990s Oslo", "990"))
    first, last = data.spans[0].tolist()
    assert data.text(0, first, last) in ("1990s", "1990", "990")
    assert "990" in data.text(0, first, last)


def test_a_model_that_is_too_short_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"batch\.seq_len=6 leaves no room"):
        SpanObjective(TOKENIZER, seq_len=6)
