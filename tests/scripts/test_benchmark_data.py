"""What the benchmarks' loaders take from a page, a tree and a row, and what they leave."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import answer_data, data_parallel, data_qa
from benchmarks.made_questions import made


def test_paragraphs_of_libreoffice_help_are_told_by_id_and_count(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<h1 id="t" class="x">A <b>title</b></h1><p id="p1">One\n &amp; two.</p><p>No id.</p><p id="p1">Three.</p>'
    )
    found = data_parallel._paragraphs(tmp_path / "a.html")
    assert found == {("t", 1): "A title", ("p1", 1): "One & two.", ("p1", 2): "Three."}


def test_blocks_of_a_tree_have_their_places(tmp_path: Path) -> None:
    (tmp_path / "a.page").write_text(
        '<!DOCTYPE page [<!ENTITY x "y">]><page xmlns="http://projectmallard.org/1.0/"><info><credit><p>Who</p></credit>'
        "</info><title>T</title><section><p>One <em>more</em>&nbsp;word.</p><code>x</code></section></page>"
    )
    assert data_parallel._xml_blocks(tmp_path / "a.page") == [("/title", "T"), ("/section/p", "One more word.")]
    (tmp_path / "b.page").write_text("<page><p>cut")
    assert data_parallel._xml_blocks(tmp_path / "b.page") == []


def test_blocks_of_a_chapter_are_its_prose(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<h1>T</h1><p>One <i>x</i>.<pre>code</pre></p><dt>Term</dt><script>x</script>")
    assert data_parallel._html_blocks(tmp_path / "a.html") == [("h1", "T"), ("p", "One x."), ("dt", "Term")]


def test_the_test_package_shares_no_string_with_the_rest(tmp_path: Path) -> None:
    rows = [("a", "Open", "打开"), ("b", "open", "开启"), ("b", "Close it", "关闭"), ("b", "Shut", "打开")]
    data_parallel._write(tmp_path / "en-zh.tsv", "zh", rows)
    train, test = data_parallel.split("zh", ["b"], tmp_path)
    assert train.read_text(encoding="utf-8") == "package\ten\tzh\na\tOpen\t打开\n"
    assert test.read_text(encoding="utf-8") == "package\ten\tzh\nb\tClose it\t关闭\n"


def test_joined_answers_are_cut_where_they_stand_in_the_context() -> None:
    context = "In May 1983, she married Nikos Karvelas, a composer, and moved to Athens."
    joined = (
        "In May 1983, she married Nikos Karvelas, she married Nikos Karvelas, a composer, CANNOTANSWER moved to Athens."
    )
    assert data_qa._cut(joined, context) == [
        "In May 1983, she married Nikos Karvelas", "she married Nikos Karvelas, a composer", "moved to Athens.",
    ]  # fmt: skip


def test_an_answer_is_placed_as_it_stands_there() -> None:
    row = data_qa._row("1", "Where?", "They live in the North.", ["The north", "nowhere", "the North"], False)
    assert row["answers"] == [{"text": "the North", "answer_start": 13}]


PASSAGES = [
    "The tower was finished in 1889 by the company of Gustave Eiffel. It has three levels for visitors, the top one "
    "stands 276 metres above the ground. More than six million people climb it in a year.",
    "Short. No answer here!",
    "",
]


def test_made_questions_leave_their_answers_out_and_point_at_them() -> None:
    articles = list(made(PASSAGES))
    questions = [question for article in articles for question in article["paragraphs"][0]["qas"]]
    assert [article["paragraphs"][0]["context"] for article in articles] == PASSAGES[:1]
    assert len(questions) == 2
    for question in questions:
        (answer,) = question["answers"]
        assert PASSAGES[0].find(answer["text"]) == answer["answer_start"]
        assert answer["text"] not in question["question"]
    assert list(made(PASSAGES)) == articles


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("The bridge over the old harbour was opened in 1932 .", "when"),
        ("There are 24 islands in the northern part of it .", "how many"),
        ("The first of them was held in Paris near the river .", "where"),
        ("It was written by Mary Shelley during a wet summer .", "who"),
        ("It is kept in the old lighthouse of the town .", "what"),
    ],
)
def test_the_question_word_follows_from_the_answer(words: str, asked: str) -> None:
    questions = [
        question["question"] for seed in range(20) for article in made([words], seed=seed)
        for question in article["paragraphs"][0]["qas"]
    ]  # fmt: skip
    assert any(question.startswith(f"{asked} ") for question in questions)


@given(
    st.text(" ab\n", max_size=2500),
    st.text("abc", min_size=1, max_size=40),
    st.text(" ab\n", max_size=2500),
    st.integers(),
)
def test_a_piece_holds_its_answer_where_it_says(before: str, answer: str, after: str, seed: int) -> None:
    context = before + answer + after
    row = {"id": "q", "question": "?", "context": context, "answers": [{"text": answer, "answer_start": len(before)}]}
    piece = answer_data._piece(row, random.Random(seed))
    (found,) = piece["answers"]
    assert found["text"] == answer
    assert piece["context"][found["answer_start"] :].startswith(answer)
    start = len(before) - found["answer_start"]
    assert context[start:].startswith(piece["context"])
    assert not start or context[start - 1].isspace()


def test_passages_that_share_words_with_a_test_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    tested = {"context": "One two three four five six seven eight nine."}
    passages = [
        "A -- x one two three four five six seven, eight!",
        "B -- two three four five six seven eight",
        "C -- y",
    ]
    monkeypatch.setattr(
        answer_data, "rows", lambda name: ({"passage": passage} for passage in [*passages, passages[2]])
    )
    assert answer_data._passages([tested]) == ["two three four five six seven eight", "y"]
