"""Ask a folder of documents, and see in which of them the answer stands.

    python examples/ask_documents.py runs/qa manuals/ "How is the lamp changed?" "Which oil does it take?"

Takes `pip install 'sensorium[qa]'`, which finds the passages that are worth reading.
"""

import sys
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

import sensorium as sm
from sensorium.data.reading.inputs import read_inputs
from sensorium.data.sample import Ledger
from sensorium.results import Answer
from sensorium.tasks.retrieve import Passages


class Documents:
    """All texts under a folder as one context, which remembers where each begins."""

    def __init__(self, folder: Path) -> None:
        self.names, self.starts, texts, at = list[str](), list[int](), list[str](), 0
        for sample in read_inputs([folder], Ledger()):
            self.names.append(sample.source)
            self.starts.append(at)
            texts.append(sample.text)
            at += len(sample.text) + 2
        self.passages = Passages("\n\n".join(texts))

    def source(self, answer: Answer) -> str:
        """The file of an answer."""
        return "" if answer.start is None else self.names[bisect_right(self.starts, answer.start) - 1]


def ask(model: str | Path, folder: Path, questions: Sequence[str]) -> list[tuple[Answer, str]]:
    """The best answer to each question, and the file that it stands in."""
    documents = Documents(folder)
    answers = sm.load(model).answer(list(questions), context=documents.passages)
    return [(answer, documents.source(answer)) for answer in answers]


if __name__ == "__main__":
    model, folder, *questions = sys.argv[1:]
    for question, (answer, source) in zip(questions, ask(model, Path(folder), questions), strict=True):
        found, around = (" ".join(text.split()) for text in (answer.text, answer.passage))
        print(f"{question}\n  {found}  ({answer.score:.0%})\n  {source}: {around}\n")
