"""`evaluate` on files, on a corpus, and on what another system gave."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
import transformers as hf

import sensorium as sm
from sensorium.data.labelled.question_pairs import UNANSWERABLE
from sensorium.data.sample import Ledger
from sensorium.errors import CapabilityError, DataError, InputError
from sensorium.results import Generation, Usage
from sensorium.tasks import answer_freely
from sensorium.tasks.model import LanguageModel
from tests.cli.shell import shell
from tests.inference import seq2seq
from tests.inference.folders import _SIZE, CONTEXT, VOCAB, saved

ROWS = [("Open the file", "打开文件"), ("Save it", "保存它"), ("", "空"), ("Close the window", "关闭窗口")]
GIVEN = ["打开这个文件", "保存它", "关闭窗"]
SQUAD = {
    "data": [
        {
            "title": "Cats",
            "paragraphs": [
                {
                    "context": "The cat ran home. A bat sat.",
                    "qas": [
                        {"id": "1", "question": "Who ran?", "answers": [{"text": "The cat", "answer_start": 0}]},
                        {"id": "2", "question": "Who sat?", "answers": [{"text": "A bat", "answer_start": 18}]},
                        {"id": "3", "question": "Who sang?", "answers": [], "is_impossible": True},
                        {"id": "4", "question": "Where?", "answers": [{"text": "nowhere", "answer_start": 3}]},
                    ],
                }
            ],
        }
    ]
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("evaluate")
    table = "en\tzh\n" + "".join(f"{a}\t{b}\n" for a, b in ROWS)
    (home / "test.tsv").write_text(table, encoding="utf-8")
    (home / "given.txt").write_text("\n".join(GIVEN) + "\n", encoding="utf-8")
    (home / "dev.json").write_text(json.dumps(SQUAD))
    (home / "answers.json").write_text(json.dumps({"1": "cat", "2": "a bat sat", "3": ""}))
    config = hf.BertConfig(**_SIZE, max_position_embeddings=CONTEXT, pad_token_id=0)
    saved(hf.BertForQuestionAnswering(config), home / "qa", "encoder")
    return home


def test_outputs_of_another_system_are_measured_against_a_table(home: Path) -> None:
    found = sm.evaluate(task="translation", data=home / "test.tsv", outputs=home / "given.txt", samples=50)
    right = [b for a, b in ROWS if a]
    assert found["BLEU"].value == sacrebleu.corpus_bleu(GIVEN, [right], tokenize="zh").score
    assert found["chrF2++"].value == sacrebleu.corpus_chrf(GIVEN, [right], word_order=2).score
    assert found.left_out == {"an empty side": 1}
    assert found.outputs == tuple(GIVEN)
    back = sm.evaluate(
        task="translation", data=home / "test.tsv", source="zh", target="en", outputs=home / "given.txt", samples=0
    )
    assert "tok:13a" in back["BLEU"].signature
    with pytest.raises(KeyError, match="no measure 'F1'"):
        found["F1"]


def test_a_corpus_of_pairs_is_measured_on_its_validation_split(tmp_path: Path) -> None:
    lines = "".join(f"Number {i} is here\t第{i}个在这里\n" for i in range(60))
    (tmp_path / "a.en-zh.tsv").write_text(lines, encoding="utf-8")
    corpus = sm.prepare_parallel(tmp_path / "a.en-zh.tsv", out=tmp_path / "corpus", validation=0.2, both_ways=True)
    split = corpus.validation
    chosen = [i for i in range(len(split)) if split.directions[i] == 0]
    right = [corpus.tokenizer.decode(split.pair(i)[1]) for i in chosen]
    assert right
    assert all(text.startswith("第") for text in right)
    (tmp_path / "given.txt").write_text("\n".join(right), encoding="utf-8")
    found = sm.evaluate(
        task="translation", data=tmp_path / "corpus", source="en", target="zh", outputs=tmp_path / "given.txt"
    )
    assert found["BLEU"].value == pytest.approx(100)
    assert found["BLEU"].n == len(right)
    with pytest.raises(InputError, match=r"several directions.*en to zh, zh to en"):
        sm.evaluate(task="translation", data=tmp_path / "corpus", outputs=tmp_path / "given.txt")


def test_answers_are_those_of_the_model_and_left_out_questions_are_told(home: Path) -> None:
    lm = sm.load(home / "qa")
    found = sm.evaluate(lm, task="qa", data=home / "dev.json")
    context = SQUAD["data"][0]["paragraphs"][0]["context"]
    asked = ["Who ran?", "Who sat?", "Who sang?"]
    assert found.outputs == tuple(one.text for one in lm.answer(asked, context=context, threshold=0.0))
    assert [measure.name for measure in found.measures] == [
        "exact match", "F1", "has answer: exact match", "has answer: F1", "no answer: exact match",
    ]  # fmt: skip
    assert found.left_out == {"no answer matches the context": 1}
    (problem,) = found.problems
    assert "dev.json" in problem["where"]
    assert f"\n  {problem['where']}: {problem['reason']}" in found.table()
    always = sm.evaluate(home / "qa", task="qa", data=home / "dev.json", options={"threshold": 1e9}, limit=2)
    assert all(always.outputs)
    assert len(always.outputs) == 2


def test_the_command_line_prints_the_measures(home: Path) -> None:
    arguments = ["evaluate", "--task", "qa", "--data", str(home / "dev.json"), "--outputs", str(home / "answers.json")]
    done = shell(*arguments)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].split()[:3] == ["exact", "match", "66.67"]
    found = json.loads(shell(*arguments, "--json").out)
    assert found["measures"][1]["value"] == pytest.approx(100 * (1 + 2 * 0.5 / 1.5 + 1) / 3)
    assert found["outputs"] == ["cat", "a bat sat", ""]
    alike = shell(*arguments[:5], str(home / "qa"), "--json")
    assert json.loads(alike.out)["outputs"] == list(sm.evaluate(home / "qa", task="qa", data=home / "dev.json").outputs)


def test_the_command_line_answers(home: Path) -> None:
    (home / "page.txt").write_text("The cat ran home. A bat sat.\n")
    expected = sm.load(home / "qa").answer("Who ran?", context="The cat ran home. A bat sat.\n", top_k=2)
    common = ["answer", str(home / "qa"), "Who ran?", "--top-k", "2"]
    done = shell(*common, "--context", str(home / "page.txt"), "--json")
    assert done.code == 0, done.err
    assert [(one["text"], one["start"], one["end"]) for one in json.loads(done.out)] == [
        (one.text, one.start, one.end) for one in expected
    ]
    plain = shell(*common, "--context", "-", stdin=(home / "page.txt").read_bytes())
    assert [line.split(maxsplit=1)[1] for line in plain.out.splitlines()] == [one.text for one in expected]
    none = shell(*common[:3], "--context", str(home / "page.txt"), "--threshold", "-1000")
    assert none.out.split(maxsplit=1)[1] == "(no answer)\n"
    lines = shell("answer", str(home / "qa"), "--context", str(home / "page.txt"), "--json", stdin=b"Who ran?\nWho?\n")
    assert [len(answers) for answers in json.loads(lines.out)] == [1, 1]


QA = ["--task", "qa", "--data", "dev.json"]
PAIRS = ["--task", "translation", "--data", "test.tsv"]
BAD: dict[str, tuple[list[str], str]] = {
    "a task that is not known": (["evaluate", "qa", "--task", "qua", "--data", "dev.json"], "did you mean 'qa'?"),
    "neither model nor outputs": (["evaluate", *QA], "either a model or the outputs"),
    "both": (["evaluate", "qa", *QA, "--outputs", "answers.json"], "either a model or the outputs"),
    "data that is not there": (["evaluate", "qa", "--task", "qa", "--data", "no.json"], "no.json: no such file"),
    "pairs for questions": (["evaluate", "qa", "--task", "qa", "--data", "test.tsv"], "no column holds the question"),
    "an option of the other task": (["evaluate", "qa", *QA, "--beam", "4"], "--beam does nothing with --task qa"),
    "languages of questions": (["evaluate", "qa", *QA, "--from", "en"], "languages of a translation"),
    "a limit of none": (["evaluate", "qa", *QA, "--limit", "0"], "limit=0 is out of range"),
    "a language that is not there": (
        ["evaluate", *PAIRS, "--to", "fr", "--outputs", "given.txt"], "no fr",
    ),
    "too few outputs": (["evaluate", *PAIRS, "--outputs", "one.txt"], "one.txt: holds 1 lines, the data 3 pairs"),
    "outputs that are not there": (["evaluate", *PAIRS, "--outputs", "no.txt"], "no.txt: no such file"),
    "outputs that are no JSON": (["evaluate", *QA, "--outputs", "one.txt"], "one.txt: not valid JSON"),
    "outputs without an answer": (["evaluate", *QA, "--outputs", "some.json"], "holds no answer to 2 of 3 questions"),
    "an empty question": (["answer", "qa", " ", "--context", "page.txt"], "the question is empty"),
    "an empty context": (["answer", "qa", "Who?", "--context", "empty.txt"], "the context is empty"),
    "a context that is not there": (["answer", "qa", "Who?", "--context", "no.txt"], "no.txt: No such file"),
    "all from stdin": (["answer", "qa", "--context", "-"], "both the context and the questions"),
    "a method that is not known": (
        ["answer", "qa", "Who?", "--context", "page.txt", "--method", "extrac"], "did you mean 'extract'?",
    ),
    "a template for nothing": (
        ["answer", "qa", "Who?", "--context", "page.txt", "--template", "x"], "template does nothing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_the_command_line_refuses(home: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.chdir(home)
    files: dict[str, Any] = {"one.txt": "one\n", "some.json": '{"1": "a"}', "empty.txt": "\n", "page.txt": "A cat.\n"}
    for name, text in files.items():
        (home / name).write_text(text)
    arguments, phrase = BAD[case]
    done = shell(*arguments)
    assert (done.code, done.out) == (2, ""), done
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert "internal error" not in done.err
    assert phrase in done.err


def test_data_without_a_usable_row_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("en\tzh\n\t空\n", encoding="utf-8")
    (tmp_path / "given.txt").write_text("")
    with pytest.raises(DataError, match=r"no usable pair \(1 an empty side\)"):
        sm.evaluate(task="translation", data=tmp_path / "a.tsv", outputs=tmp_path / "given.txt")


def test_translations_are_those_of_the_model(home: Path) -> None:
    config = hf.MarianConfig(
        vocab_size=VOCAB, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=CONTEXT,
        pad_token_id=0, eos_token_id=6, decoder_start_token_id=0, forced_eos_token_id=6,
    )  # fmt: skip
    saved(hf.MarianMTModel(config), home / "marian", "seq2seq")
    lm = sm.load(home / "marian")
    found = sm.evaluate(lm, task="translation", data=home / "test.tsv", options={"beam": 2}, samples=10)
    sources = [a for a, _ in ROWS if a]
    assert found.outputs == tuple(one.text for one in lm.translate(sources, source="en", target="zh", beam=2))
    done = shell("evaluate", str(home / "marian"), *PAIRS[:3], str(home / "test.tsv"), "--beam", "2", "--limit", "2")
    assert done.code == 0, done.err
    assert "n=2" in done.out
    assert "left out: 1 (an empty side)" in done.out


def named(folder: Path, source: str, target: str) -> Path:
    """A translator that says from which language into which."""
    seq2seq.saved(seq2seq.marian(), folder, ending=4.0)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "source_lang": source, "target_lang": target}))
    return folder


def test_a_table_without_a_header_is_in_the_models_own_languages(home: Path, tmp_path: Path) -> None:
    plain, rows = tmp_path / "plain.tsv", [row for row in ROWS if row[0]]
    plain.write_text("".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    lm = sm.load(named(tmp_path / "en-zh", "en", "zh"))
    found = sm.evaluate(lm, task="translation", data=plain, samples=0)
    assert found.outputs == tuple(one.text for one in lm.translate([a for a, _ in rows]))
    assert "tok:zh" in found["BLEU"].signature
    assert found.left_out == {}
    for silent in (sm.load(named(tmp_path / "mul", "en", "mul")), sm.load(named(tmp_path / "none", "", ""))):
        with pytest.raises(DataError, match=r"no header that names two languages\. Add --from and --to"):
            sm.evaluate(silent, task="translation", data=plain)
    with pytest.raises(DataError, match=r"plain\.tsv:1: its first line is no header that names en"):
        sm.evaluate(lm, task="translation", data=plain, source="en")
    # What the data says of its languages stands.
    other = tmp_path / "a.fr-zh.tsv"
    other.write_text(plain.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(InputError, match="unknown source language 'fr'"):
        sm.evaluate(lm, task="translation", data=other)


def test_what_measures_translations_is_asked_for_before_any_are_made(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(CapabilityError, match=r"needs the package 'sacrebleu\.metrics'.*sensorium\[eval\]"):
        sm.evaluate("a model that nobody opens", task="translation", data=home / "test.tsv")


def test_all_rows_that_cannot_be_read_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "LISTED", 3)
    (tmp_path / "a.tsv").write_text("en\tzh\nOne\t一\n" + "Two\n" * 7, encoding="utf-8")
    (tmp_path / "given.txt").write_text("一\n", encoding="utf-8")
    found = sm.evaluate(task="translation", data=tmp_path / "a.tsv", outputs=tmp_path / "given.txt", samples=0)
    assert found.left_out == {"could not be read": 7}


def test_a_written_answer_that_says_there_is_none_is_right_where_there_is_none(
    home: Path, causal: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Generation(f" {UNANSWERABLE}", (1,), (-0.5,), "stop", Usage(1, 1))
    monkeypatch.setattr(answer_freely, "generate_all", lambda _, prompts, **__: [said] * len(prompts))
    options = {"method": "generate", "template": "{context}|{question}", "max_answer_tokens": 4}
    found = sm.evaluate(causal, task="qa", data=home / "dev.json", options=options)
    assert (found["no answer: exact match"].value, found["has answer: exact match"].value) == (100, 0)
