"""`sensorium answer`, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers as hf

from tests.cli.shell import shell
from tests.inference.folders import _SIZE, CONTEXT, saved


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    config = hf.BertConfig(**_SIZE, max_position_embeddings=CONTEXT, pad_token_id=0)
    folder = tmp_path_factory.mktemp("answer") / "bert"
    saved(hf.BertForQuestionAnswering(config), folder, "encoder")
    return str(folder)


@pytest.fixture
def book(tmp_path: Path) -> str:
    (tmp_path / "book.txt").write_bytes(b"the sun\r\n\r\nis up.\r\na bat\rran.\n")
    return str(tmp_path / "book.txt")


def test_places_are_those_in_the_file_whatever_ends_its_lines(model: str, book: str) -> None:
    done = shell("answer", model, "--context", book, "who ran?", "--top-k", "5", "--json")
    assert done.code == 0, done.err
    found, text = json.loads(done.out), Path(book).read_bytes().decode()
    assert [text[one["start"] : one["end"]] for one in found] == [one["text"] for one in found]
    assert found[0]["passage"] == text


def test_an_empty_line_parts_the_answers_to_several_questions(model: str, book: str) -> None:
    done = shell("answer", model, "--context", book, "--top-k", "2", stdin=b"who?\nwhat?\nwhen?\n")
    assert done.code == 0, done.err
    assert [len(answers.splitlines()) for answers in done.out.split("\n\n")] == [2, 2, 2]
    done = shell("answer", model, "--context", book, stdin=b"who?\nwhat?\n")
    assert len(done.out.splitlines()) == 2


@pytest.mark.parametrize("passages", ["3", "0"])
def test_what_the_other_method_has_no_use_for_is_refused(model: str, book: str, passages: str) -> None:
    done = shell("answer", model, "--context", book, "who?", "--method", "generate", "--passages", passages)
    assert done.code == 2
    assert "passages does nothing with method='generate'" in done.err


def test_all_of_a_long_text_is_read_if_asked(model: str, book: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensorium.tasks.answer.LONG", 10)
    done = shell("answer", model, "--context", book, "who?", "--passages", "0", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["passage"] == Path(book).read_bytes().decode()
