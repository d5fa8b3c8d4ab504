"""Questions to learn from for models that write their answers: a prompt with the context in it, and the answer.

For an encoder–decoder the prompt is a source and the answer its target, in a corpus of pairs; for a decoder they are
one text, which `prepare` reads. Contexts that are held out are held out with all their questions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensorium.data.checks import check_share, nothing_usable
from sensorium.data.corpus import ParallelCorpus
from sensorium.data.labelled.questions import read_questions
from sensorium.data.labelled.split import held_out
from sensorium.data.sample import Ledger
from sensorium.data.shards import FORMAT, SPLITS, ShardWriter
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.data.tokens.train import DEFAULT, TokenizerSpec, given_folder, parse_spec, train_tokenizer
from sensorium.errors import InputError
from sensorium.files import StrPath, atomic_folder, write_json, write_text

TEMPLATES = {
    "causal": "{context}\n\nQuestion: {question}\nAnswer:",
    "seq2seq": "question: {question}  context: {context}",
}
"""Prompts by the kind of model; the second is the one that T5 learned SQuAD by (Raffel et al. 2020)."""
UNANSWERABLE = "unanswerable"
"""What is written where the context holds no answer."""
_SLOT = re.compile(r"\{(context|question)\}")


@dataclass(frozen=True, slots=True)
class QuestionPair:
    """A prompt, its answer, and the context in the prompt."""

    prompt: str
    answer: str
    context: str


def question_pairs(
    inputs: StrPath | Sequence[StrPath],
    ledger: Ledger,
    *,
    template: str,
    no_answer: str | None = UNANSWERABLE,
    columns: Mapping[str, str] | None = None,
) -> Iterator[QuestionPair]:
    """Every question with its first answer.

    Args:
        inputs: files of questions; see `read_questions`.
        ledger: receives counts and problems.
        template: a prompt with `{context}` and `{question}` in it.
        no_answer: the answer where the context holds none; None leaves these questions out.
        columns: what of a table stands in which column.

    Raises:
        InputError: an input does not exist, or the template has no place for the context or the question.
        DataError: a file is no SQuAD and no table of questions.
    """
    prompt = checked_template(template)
    for question in read_questions(inputs, ledger, columns=columns):
        answer = question.answers[0].text if question.answers else no_answer
        if answer is None:
            ledger.drop("no answer")
            continue
        yield QuestionPair(filled(prompt, question.context, question.question), answer, question.context)


def prepare_questions(
    inputs: StrPath | Sequence[StrPath],
    *,
    out: StrPath,
    tokenizer: StrPath | None = None,
    template: str = TEMPLATES["seq2seq"],
    no_answer: str | None = UNANSWERABLE,
    columns: Mapping[str, str] | None = None,
    validation: float = 0.05,
    language: str = "en",
    force: bool = False,
) -> ParallelCorpus:
    """Make a corpus of pairs of questions: prompts and their answers, for an encoder–decoder.

    Args:
        inputs: files of questions.
        out: the corpus folder to make.
        tokenizer: "bpe:8000" or the like to train one, or a folder that holds one.
        template: a prompt with `{context}` and `{question}` in it.
        no_answer: the answer where the context holds none; None leaves these questions out.
        columns: what of a table stands in which column.
        validation: share of the contexts that is held out.
        language: of questions and answers.
        force: replace the corpus that stands at `out`; anything else there is refused.

    Raises:
        InputError: an argument is wrong, an input is missing, `out` exists.
        DataError: no question can be used.
        DiskError: the disk is full or may not be written.
    """
    check_share(validation, 0)
    given = given_folder(tokenizer)
    spec = parse_spec(DEFAULT if given is not None else str(tokenizer or DEFAULT))
    with atomic_folder(out, ours=["manifest.json"], force=force) as part:
        ledger = Ledger()
        pairs = list(question_pairs(inputs, ledger, template=template, no_answer=no_answer, columns=columns))
        if not pairs:
            raise nothing_usable(ledger, "question", "Give SQuAD JSON, or a table of questions")
        held = held_out([pair.context for pair in pairs], validation)
        learned = [pair for pair, out_of_it in zip(pairs, held, strict=True) if not out_of_it]
        trained = _trained(learned, spec, tokenizer is not None) if given is None else Tokenizer.from_folder(given)
        trained.save(part)
        apart = [pair for pair, out_of_it in zip(pairs, held, strict=True) if out_of_it]
        counted = {
            split: _write(part / split, side, trained) for split, side in zip(SPLITS, (learned, apart), strict=True)
        }
        write_json(
            part / "manifest.json",
            {
                "format": FORMAT,
                "kind": "parallel",
                "languages": {"source": language, "target": language},
                "directions": [[language, language]],
                "settings": {"template": template, "no_answer": no_answer, "validation": validation},
                "input": {"files": ledger.files, "counts": dict(ledger.counts), "unreadable": ledger.problems},
                "dropped": dict(ledger.dropped),
                "held_out": {"by": "context", "groups": []},
                "splits": counted,
                "tokenizer": {"spec": str(given or spec), "vocab_size": trained.vocab_size},
            },
        )
    return ParallelCorpus.open(out)


def write_question_texts(
    inputs: StrPath | Sequence[StrPath],
    out: StrPath,
    *,
    template: str = TEMPLATES["causal"],
    no_answer: str | None = UNANSWERABLE,
    columns: Mapping[str, str] | None = None,
) -> Ledger:
    """Write questions as JSON Lines that `prepare` reads: each with its answer behind it, for a decoder.

    Args:
        inputs: files of questions.
        out: the .jsonl file to write.
        template: a prompt with `{context}` and `{question}` in it.
        no_answer: the answer where the context holds none; None leaves these questions out.
        columns: what of a table stands in which column.

    Returns:
        Counts, and what could not be used.

    Raises:
        InputError: an input does not exist, or the template has no place for the context or the question.
        DataError: no question can be used.
        DiskError: the disk is full or may not be written.
    """
    ledger = Ledger()
    pairs = question_pairs(inputs, ledger, template=template, no_answer=no_answer, columns=columns)
    lines = [json.dumps({"text": f"{pair.prompt} {pair.answer}"}, ensure_ascii=False) + "\n" for pair in pairs]
    if not lines:
        raise nothing_usable(ledger, "question", "Give SQuAD JSON, or a table of questions")
    write_text(out, "".join(lines))
    return ledger


def checked_template(template: str) -> str:
    """The template, which has a place for the context and for the question.

    Raises:
        InputError: it has not.
    """
    if missing := {"context", "question"} - set(_SLOT.findall(template)):
        raise InputError(f"the template has no {{{min(missing)}}}", fix="Write {context} and {question} into it")
    return template


def filled(template: str, context: str, question: str) -> str:
    """The prompt. What stands in context and question is text, braces too."""
    texts = {"context": context, "question": question}
    return _SLOT.sub(lambda slot: texts[slot.group(1)], template)


def _trained(pairs: Sequence[QuestionPair], spec: TokenizerSpec, exact: bool) -> Tokenizer:
    return train_tokenizer(lambda: (text for pair in pairs for text in (pair.prompt, pair.answer)), spec, exact=exact)


def _write(folder: Path, pairs: Sequence[QuestionPair], tokenizer: Tokenizer) -> dict[str, object]:
    """One split of a corpus of pairs."""
    folder.mkdir()
    sides = {"source": tokenizer, "target": tokenizer.target}
    writers = {side: ShardWriter(folder / side, one.vocab_size) for side, one in sides.items()}
    for side, texts in (("source", [p.prompt for p in pairs]), ("target", [p.answer for p in pairs])):
        for text, ids in zip(texts, sides[side].encode_raw(texts), strict=True):
            writers[side].add([ids], len(text.encode("utf-8", "surrogatepass")))
    np.save(folder / "directions.npy", np.zeros(len(pairs), dtype=np.uint8))
    return {"pairs": len(pairs), **{side: writer.close() for side, writer in writers.items()}}
