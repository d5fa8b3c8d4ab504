"""The chapters that use bundled models: what they show, and what they say where something is not there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sensorium.errors import CheckpointError
from sensorium.inference import open as opening
from sensorium.reports.blocks import Block, Columns, HeatMap, Table, Text
from sensorium.results import Answer
from sensorium.tasks.model import load
from sensorium.tour.answer import answer, around, whole
from sensorium.tour.plan import BUNDLED, Plan, Strings, Term
from sensorium.tour.translate import look, translate
from sensorium.tour.trip import Trip


def tables(blocks: Sequence[Block]) -> list[Table]:
    return [block for block in blocks if isinstance(block, Table)]


def said(blocks: Sequence[Block]) -> str:
    return " ".join(block.text for block in blocks if isinstance(block, Text))


def gone(part: str) -> Path:
    raise CheckpointError(f"the bundled model {part!r} is not part of this installation", fix="Install it")


def test_every_string_is_translated_in_its_direction_as_translate_does(tmp_path: Path, plan: Plan) -> None:
    found = tables(translate(Trip(tmp_path, plan)))
    assert [table.head[:2] for table in found if "--glossary" not in table.head] == [
        ["en", "zh"], ["“the cat”, --n-best 3", "score"], ["zh", "en"],
    ]  # fmt: skip
    lm = load(plan.translator)
    assert [row[1] for row in found[0].rows] == [
        one.text for one in lm.translate(["the cat", "Delete %s?"], source="en", target="zh")
    ]
    assert found[-1].rows[0][1] == lm.translate("猫", source="zh", target="en").text


def test_placeholders_and_terms_stand_in_the_translations(tmp_path: Path, plan: Plan) -> None:
    pairs, candidates, terms, _ = tables(translate(Trip(tmp_path, plan)))
    assert pairs.rows[1][1].count("%s") == 1
    assert len(candidates.rows) == 3
    assert candidates.rows[0] == [*pairs.rows[0][1:]]
    text, free, term, held = terms.rows[0]
    assert (text, term) == ("the cat", "cat = 猫")
    assert "猫" in held
    assert free == pairs.rows[0][1]


def test_the_map_shows_how_each_written_token_looks_at_the_text(plan: Plan) -> None:
    lm = load(plan.translator)
    made = lm.translate("the cat", source="en", target="zh")
    drawn = look(lm, "the cat", made, source="en", target="zh")
    assert len(drawn.columns) == len(made.tokens) > 0
    assert drawn.rows[0] == ">>zh<<"
    for column in range(len(drawn.columns)):
        assert sum(float(row[column]) for row in drawn.values) == pytest.approx(1, abs=1e-4)


def test_a_direction_that_the_translator_does_not_know_is_named_and_passed_over(tmp_path: Path, plan: Plan) -> None:
    asked = (Strings("en", "fr", ("the cat",)), *plan.strings)
    blocks = translate(Trip(tmp_path, replace(plan, strings=asked)))
    assert "It does not translate from en to fr: unknown target language 'fr'" in said(blocks)
    (maps,) = [block for block in blocks if isinstance(block, Columns)]
    assert len([one for one in maps.blocks if isinstance(one, HeatMap)]) == 2


def test_a_translator_that_knows_no_direction_leaves_no_empty_map(tmp_path: Path, plan: Plan) -> None:
    blocks = translate(Trip(tmp_path, replace(plan, strings=(Strings("en", "fr", ("the cat",)),))))
    assert all(isinstance(block, Text) for block in blocks)


def test_a_term_that_cannot_be_produced_is_told(tmp_path: Path, plan: Plan) -> None:
    blocks = translate(Trip(tmp_path, replace(plan, terms=(Term("the cat", "cat", "猫" * 200),))))
    assert "猫" * 20 in tables(blocks)[2].rows[0][3]


def test_questions_are_answered_from_the_whole_book(tmp_path: Path, plan: Plan) -> None:
    blocks = answer(Trip(tmp_path, plan))
    (table,) = tables(blocks)
    text = whole(plan.book)
    assert f"{len(text):,} characters" in said(blocks)
    found = load(plan.answerer).answer([question for question, _ in plan.questions], context=text)
    assert [row[:2] for row in table.rows] == [
        [question, one.text] for (question, _), one in zip(plan.questions, found, strict=True)
    ]
    for row in table.rows:
        assert " ".join(row[1].split()) in row[4]


def test_right_answers_are_told_from_wrong_ones(tmp_path: Path, plan: Plan) -> None:
    (said_first, _) = load(plan.answerer).answer([asked.question for asked in plan.questions], context=whole(plan.book))
    asked = (plan.questions[0]._replace(right=f"The {said_first.text}!"), plan.questions[1])
    trip = Trip(tmp_path, replace(plan, questions=asked))
    blocks = answer(trip)
    assert [row[3] for row in tables(blocks)[0].rows] == ["yes", "nobody at all"]
    assert "1 of these 2 answers are right" in said(blocks)
    assert trip.numbers["answers_right"] == 0.5


def test_a_book_is_all_documents_of_its_file() -> None:
    text = whole(BUNDLED / "austen.jsonl.gz")
    assert len(text) > 3_900_000
    assert all(name in text for name in ("Pemberley", "Wentworth", "Tilney", "Woodhouse", "Dashwood", "Bertram"))


def test_what_stands_around_an_answer_ends_with_its_passage() -> None:
    before, passage = "x" * 10, "a" * 200 + "\n here \n" + "b" * 30
    start = len(before) + 202
    one = Answer("here", 0.5, start, start + 4, passage, 1.0)
    assert around(one, before + passage + "y" * 50) == f"… {'a' * 138} here {'b' * 30}"
    assert around(Answer("", 1.0, None, None), before) == ""


@pytest.mark.parametrize(("chapter", "part"), [(translate, "translate"), (answer, "answer")])
def test_a_bundled_model_that_is_not_there_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chapter, part: str
) -> None:
    monkeypatch.setattr(opening, "default_folder", gone)
    (block,) = chapter(Trip(tmp_path, Plan()))
    assert isinstance(block, Text)
    assert block.text == (
        f"This chapter is left out: the bundled model {part!r} is not part of this installation. Install it."
    )


def test_without_bm25s_the_chapter_names_the_extra(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm25s", None)
    (block,) = answer(Trip(tmp_path, plan))
    assert isinstance(block, Text)
    assert block.text.startswith("This chapter is left out: finding passages in a long text needs the package 'bm25s'")
    assert "sensorium[qa]" in block.text
