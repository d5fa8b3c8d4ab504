"""Measures held to sacreBLEU, SQuAD's own evaluation, scikit-learn, and numbers by hand."""

from __future__ import annotations

import collections
import re
import string
import sys

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from sensorium.errors import CapabilityError, InputError
from sensorium.tasks.measures import answer_measures, bleu_tokenizer, intervals, translation_measures

OUTPUTS = ["The cat sat on a mat.", "It is warm", "Open the file, please.", "No!"]
RIGHT = ["The cat sat on the mat.", "It is warm today", "Please open the file.", "No!"]
OUTPUTS_ZH = ["打开这个文件。", "今天天气好", "保存 File 菜单"]
RIGHT_ZH = ["打开文件。", "今天天气很好", "保存 File 菜单"]


@pytest.mark.parametrize(
    ("outputs", "right", "language", "tokenize"),
    [(OUTPUTS, RIGHT, "en", "13a"), (OUTPUTS_ZH, RIGHT_ZH, "zh-CN", "zh"), (OUTPUTS, RIGHT, None, "13a")],
)
def test_translations_are_measured_as_sacrebleu_measures_them(
    outputs: list[str], right: list[str], language: str | None, tokenize: str
) -> None:
    found = translation_measures(outputs, right, language=language, samples=200)
    for measure, metric in zip(found, (sacrebleu.BLEU(tokenize=tokenize), sacrebleu.CHRF(word_order=2)), strict=True):
        stock = metric.corpus_score(outputs, [right], n_bootstrap=200)
        assert measure.value == stock.score
        ends = max(0.0, stock._mean - stock._ci), min(100.0, stock._mean + stock._ci)
        assert (measure.low, measure.high) == pytest.approx(ends, rel=1e-4)
        assert measure.signature == str(metric.get_signature())
    assert f"tok:{tokenize}" in found[0].signature
    assert "bs:200" in found[0].signature
    assert found[0].value == sacrebleu.corpus_bleu(outputs, [right], tokenize=tokenize).score
    assert [measure.n for measure in found] == [len(right)] * 2


@pytest.mark.parametrize(
    ("outputs", "right"),
    [
        (["打开文件", "CM", "退出现在的"], ["打开文件", "甲乙丙", "现在退出"]),
        (["", "打开文件"], ["现在退出", "打开文件"]),
        ([""], ["打开文件"]),
    ],
)
def test_samples_of_which_some_have_no_score_are_measured(outputs: list[str], right: list[str]) -> None:
    for measure in translation_measures(outputs, right, language="zh"):
        assert 0 <= measure.low <= measure.value <= measure.high <= 100 or measure.value == 0


def test_the_tokenizer_of_a_language() -> None:
    assert [bleu_tokenizer(code) for code in ("zh", "zh_Hant", "yue", "en", "zu", None)] == ["zh"] * 3 + ["13a"] * 3


def squad(found: str, right: str) -> tuple[float, float]:
    """SQuAD 2.0's evaluate-v2.0.py: its compute_exact and compute_f1."""

    def normal(text: str) -> str:
        text = "".join(c for c in text.lower() if c not in set(string.punctuation))
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())

    exact = float(normal(found) == normal(right))
    a, b = normal(right).split(), normal(found).split()
    if not a or not b:
        return exact, float(a == b)
    same = sum((collections.Counter(a) & collections.Counter(b)).values())
    if same == 0:
        return exact, 0.0
    precision, recall = same / len(b), same / len(a)
    return exact, 2 * precision * recall / (precision + recall)


PHRASES = st.lists(st.sampled_from(["the", "The", "cat", "Cat,", "a", "an.", "U.S.", "1,000", "dog", "x-y", "été"]), max_size=5).map(" ".join)  # fmt: skip  # noqa: E501


@given(st.lists(st.tuples(PHRASES, st.lists(PHRASES, min_size=1, max_size=3)), min_size=1, max_size=5))
def test_answers_are_measured_as_squad_measures_them(rows: list[tuple[str, list[str]]]) -> None:
    exact, f1 = answer_measures([found for found, _ in rows], [right for _, right in rows], samples=0)
    expected = [
        [max(column) for column in zip(*(squad(found, one) for one in right), strict=True)] for found, right in rows
    ]
    assert (exact.value, f1.value) == pytest.approx(tuple(100 * np.mean(expected, axis=0)))


def test_numbers_by_hand_with_and_without_answers() -> None:
    outputs = ["the cat", "black cat", "", "dog", ""]
    expected = [["Cat!"], ["a cat", "black bird here"], ["bird"], [], []]
    found = {measure.name: measure for measure in answer_measures(outputs, expected)}
    values = {name: measure.value for name, measure in found.items()}
    # F1 of the second: against "cat" 2 * (1/2 * 1) / (1/2 + 1); against the other 2 * (1/2 * 1/3) / (5/6).
    assert values == pytest.approx(
        {
            "exact match": 40.0,
            "F1": 100 * (1 + 2 / 3 + 0 + 0 + 1) / 5,
            "has answer: exact match": 100 / 3,
            "has answer: F1": 100 * (1 + 2 / 3) / 3,
            "no answer: exact match": 50.0,
        }
    )
    assert [found[name].n for name in found] == [5, 5, 3, 3, 2]
    nothing = accuracy_score([True, True], [not text for text in outputs[3:]])
    assert values["no answer: exact match"] == 100 * nothing


def test_chinese_characters_are_words() -> None:
    exact, f1 = answer_measures(["北京市"], [["北京"]], samples=0)
    assert (exact.value, f1.value) == pytest.approx((0.0, 80.0))
    exact, _ = answer_measures(["《北京》。"], [["北京"]], samples=0)
    assert exact.value == 100.0


def test_intervals_are_the_percentiles_of_means_and_the_same_again() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(50, 10, (400, 2))
    low, high = intervals(scores, 2000, 0)
    assert intervals(scores, 2000, 0) == (low, high)
    assert intervals(scores, 2000, 1) != (low, high)
    error = scores.std(0) / 20  # the normal interval, which such a mean is near to
    assert np.array(low) == pytest.approx(scores.mean(0) - 1.96 * error, abs=0.2)
    assert np.array(high) == pytest.approx(scores.mean(0) + 1.96 * error, abs=0.2)
    assert intervals(scores, 0, 0) == (scores.mean(0).tolist(), scores.mean(0).tolist())


def test_nothing_to_measure_and_a_missing_package_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for outputs, right in (([], []), (["a"], ["a", "b"])):
        with pytest.raises(InputError, match=f"{len(outputs)} translations are compared with {len(right)}"):
            translation_measures(outputs, right, language="en")
        with pytest.raises(InputError, match=f"{len(outputs)} answers are given to {len(right)} questions"):
            answer_measures(outputs, [[one] for one in right])
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(CapabilityError, match=r"pip install 'sensorium\[eval\]'"):
        translation_measures(["a"], ["a"], language="en")
