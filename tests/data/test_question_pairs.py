"""Questions as texts to learn from, and questions as arrays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sensorium.data.corpus import open_corpus
from sensorium.data.labelled.question_pairs import prepare_questions, write_question_texts
from sensorium.data.prepare.prepare import prepare
from sensorium.errors import DataError, InputError
from tests.training.labelled import questions


def test_a_corpus_of_questions_holds_prompts_and_answers(tmp_path: Path) -> None:
    given = questions(tmp_path / "qa.json", impossible=True)
    corpus = prepare_questions(given, out=tmp_path / "corpus", tokenizer="bpe:300", validation=0.2)
    assert len(corpus.train) + len(corpus.validation) == 64
    contexts: dict[str, set[str]] = {}
    for split, side in (("train", corpus.train), ("validation", corpus.validation)):
        for number in range(len(side)):
            source, target = (corpus.tokenizer.decode(ids) for ids in side.pair(number))
            asked, _, context = source.removeprefix("question: ").partition("  context: ")
            expected = {"Who?": context.split()[0], "Where did she go?": context.split()[3]}
            expected |= {"When?": context.split()[-1].rstrip("."), "in in in?": "unanswerable"}
            assert target == expected[asked]
            contexts.setdefault(split, set()).add(context)
    assert not contexts["train"] & contexts["validation"]
    again = open_corpus(tmp_path / "corpus")
    assert again.fingerprint == corpus.fingerprint
    assert corpus.manifest["settings"]["no_answer"] == "unanswerable"
    with pytest.raises(InputError, match="already exists"):
        prepare_questions(given, out=tmp_path / "corpus", tokenizer="bpe:300")
    same = prepare_questions(given, out=tmp_path / "more", tokenizer=tmp_path / "corpus", no_answer=None)
    assert len(same.train) + len(same.validation) == 48
    assert same.manifest["dropped"] == {"no answer": 16}


def test_texts_of_questions_are_prepared_for_a_decoder(tmp_path: Path) -> None:
    written = write_question_texts(questions(tmp_path / "qa.json"), tmp_path / "qa.jsonl")
    assert written.counts["questions"] == 48
    first = json.loads((tmp_path / "qa.jsonl").read_text().splitlines()[0])["text"]
    assert first == "Anna went to Paris in 1990.\n\nQuestion: Who?\nAnswer: Anna"
    corpus = prepare(tmp_path / "qa.jsonl", out=tmp_path / "corpus", tokenizer="bpe:300")
    assert len(corpus.train) + len(corpus.validation) == 48


def test_a_template_must_have_both_places_and_braces_are_text(tmp_path: Path) -> None:
    given = questions(tmp_path / "qa.json")
    for template, missing in (("{question}", "context"), ("{context}", "question")):
        with pytest.raises(InputError, match=f"the template has no {{{missing}}}"):
            write_question_texts(given, tmp_path / "x.jsonl", template=template)
    value = {"question": "{context}?", "context": "A {question} b.", "answer": "b"}
    (tmp_path / "one.json").write_text(json.dumps([value]))
    write_question_texts(tmp_path / "one.json", tmp_path / "x.jsonl", template="{context}|{question}:")
    assert json.loads((tmp_path / "x.jsonl").read_text())["text"] == "A {question} b.|{context}?: b"


def test_files_without_a_question_are_refused(tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text('{"data": []}')
    with pytest.raises(DataError, match="no usable question"):
        write_question_texts(tmp_path / "none.json", tmp_path / "x.jsonl")
    with pytest.raises(DataError, match="no usable question"):
        prepare_questions(tmp_path / "none.json", out=tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()
