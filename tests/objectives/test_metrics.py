"""Metrics against scikit-learn, and against the rules of SQuAD and conlleval."""

from __future__ import annotations

import re
import string
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from sensorium.objectives.metrics import accuracy_and_f1, answer_match, entities, entity_f1, has_entities


@pytest.mark.parametrize(("labels", "rows", "seed"), [(2, 50, 0), (5, 40, 1), (9, 12, 2), (3, 1, 3)])
def test_accuracy_and_macro_f1_are_scikit_learns(labels: int, rows: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    expected, found = draw.integers(0, labels, rows), draw.integers(0, labels, rows)
    accuracy, f1 = accuracy_and_f1(expected, found, labels)
    assert accuracy == pytest.approx(accuracy_score(expected, found))
    assert f1 == pytest.approx(f1_score(expected, found, average="macro", zero_division=0))


def test_of_nothing_the_metrics_are_0() -> None:
    nothing = np.empty(0, np.int64)
    assert accuracy_and_f1(nothing, nothing, 3) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("B-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)]),
        ("I-PER I-PER I-LOC", [("PER", 0, 2), ("LOC", 2, 3)]),
        ("O I-ORG O", [("ORG", 1, 2)]),
        ("B-A I-A E-A S-A S-B", [("A", 0, 3), ("A", 3, 4), ("B", 4, 5)]),
        ("B-A E-A I-A", [("A", 0, 2), ("A", 2, 3)]),
        ("O O", []),
        ("", []),
        ("B-a-b I-a-b", [("a-b", 0, 2)]),
    ],
)
def test_entities_are_read_as_conlleval_does(tags: str, expected: list[tuple[str, int, int]]) -> None:
    assert entities(tags.split()) == expected


def test_entity_f1_counts_whole_entities_only() -> None:
    expected = [["B-PER", "I-PER", "O", "B-LOC"], ["B-ORG", "O"]]
    found = [["B-PER", "I-PER", "O", "O"], ["O", "B-ORG"]]
    assert entity_f1(expected, found) == pytest.approx(2 * 1 / (3 + 2))
    assert entity_f1(expected, expected) == 1.0
    assert entity_f1([["O"]], [["O"]]) == 0.0
    assert has_entities(["O", "B-PER", "I-PER"])
    assert not has_entities(["NOUN", "VERB", "O"])
    assert not has_entities(["O"])


def official(text: str) -> str:
    """SQuAD's own normalisation (evaluate-v1.1, Rajpurkar et al. 2016), written anew."""
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def official_f1(found: str, expected: str) -> float:
    one, two = official(found).split(), official(expected).split()
    common = sum((Counter(one) & Counter(two)).values())
    if not one or not two:
        return float(one == two)
    return 2 * common / (len(one) + len(two))


CASES = [
    ("The cat", "cat"), ("a cat, the dog", "Dog cat!"), ("U.S.A.", "usa"), ("in 1999", "1999"), ("", "cat"),
    ("the", ""), ("", ""), ("don't", "dont"), ("$1,000", "1000"), ("naïve  café", "Naïve café"), ("1990–1995", "1990"),
    ("cat cat cat", "cat"), ("another", "other"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "expected"), CASES)
def test_answers_match_as_in_squads_evaluation(found: str, expected: str) -> None:
    exact, f1 = answer_match(found, [expected])
    assert exact == float(official(found) == official(expected))
    assert f1 == pytest.approx(official_f1(found, expected))


def test_chinese_answers_go_by_characters_and_the_best_answer_counts() -> None:
    assert answer_match("北京大学。", ["北京大学"]) == (1.0, 1.0)
    exact, f1 = answer_match("在北京", ["北京"])
    assert exact == 0.0
    assert f1 == pytest.approx(2 * 2 / 5)
    assert answer_match("Rome", ["Paris", "rome"]) == (1.0, 1.0)
    assert answer_match("", []) == (1.0, 1.0)
    assert answer_match("Rome", []) == (0.0, 0.0)
