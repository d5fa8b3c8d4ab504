"""Extractive question answering: where in a context the answer begins and ends (Devlin et al. 2019).

A context that is longer than the model is read in windows that overlap. A window that does not hold the whole answer
points at the first token, [CLS], and so does every window of a question without an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sensorium.core.count import training_flops
from sensorium.core.model import AnyConfig, Transformer
from sensorium.core.pack import Packed, pack
from sensorium.data.labelled.question_examples import QuestionExamples
from sensorium.data.tokens.frame import Frame
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import ConfigError
from sensorium.objectives.heads import encoded
from sensorium.objectives.metrics import answer_match
from sensorium.objectives.objective import Ids, Loss, Units, joined

LONGEST_QUESTION = 64
"""Tokens of a question that are read."""
LONGEST_ANSWER = 30
"""Tokens of the longest answer that is looked for."""


@dataclass(frozen=True, eq=False)
class SpanExample:
    """A window."""

    ids: Ids
    types: Ids
    target: tuple[int, int]
    """Places of the answer's first and last token; 0, 0 if it is not here."""
    data: QuestionExamples
    question: int
    start: int
    """The window's first token, counted in the context."""
    place: int
    """Where in `ids` it stands."""
    length: int
    """Tokens of the context in the window."""


@dataclass(frozen=True, eq=False)
class SpanBatch:
    """Windows laid end to end."""

    packed: Packed
    types: Int[Tensor, "1 total"]
    targets: Int[Tensor, "windows 2"]
    windows: tuple[SpanExample, ...]

    @property
    def tokens(self) -> int:
        return int(self.packed.ids.shape[1])


class SpanObjective:
    """The places of answers.

    Args:
        tokenizer: must put a token before a text ([CLS]).
        seq_len: the most tokens a window, with the question.
        stride: by how many tokens windows move; None moves them by half of what they hold of the context.

    Raises:
        ConfigError: `seq_len` leaves no room, or the tokenizer puts no token first.
    """

    name = "spans"

    def __init__(self, tokenizer: Tokenizer, *, seq_len: int, stride: int | None = None) -> None:
        self._frame = Frame.pair(tokenizer)
        self._seq_len, self._stride = seq_len, stride
        room = seq_len - self._frame.size
        if room < 4:
            raise ConfigError(
                f"batch.seq_len={seq_len} leaves no room for a question and its context", fix="Raise batch.seq_len"
            )
        self._question = min(LONGEST_QUESTION, room // 2)

    def units(self, data: QuestionExamples, rng: np.random.Generator) -> Units:
        """Rows of (question, first token of the window)."""
        lengths = data.context_ids.lengths[data.context_of[: len(data)]]
        rooms = self._rooms(data.ids.lengths[: len(data)])
        strides = self._strides(rooms)
        counts = 1 + np.maximum(0, -(-(lengths - rooms) // strides))
        questions = np.repeat(np.arange(len(data)), counts)
        numbers = np.arange(len(questions)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.stack([questions, numbers * strides[questions]], axis=1)

    def _rooms(self, questions: Ids) -> Ids:
        """Tokens of the context that stand beside questions of these lengths."""
        return self._seq_len - self._frame.size - np.minimum(questions, self._question)

    def _strides(self, rooms: Ids) -> Ids:
        return np.maximum(1, rooms // 2) if self._stride is None else np.minimum(rooms, self._stride)

    def example(self, data: QuestionExamples, unit: Units, rng: np.random.Generator) -> SpanExample:
        """A question and a window of its context."""
        number, start = int(unit[0]), int(unit[1])
        question = data.ids[number][: self._question]
        context = data.context_ids[int(data.context_of[number])]
        window = context[start : start + int(self._rooms(np.array([len(question)]))[0])]
        ids, types = self._frame.around(question, window)
        place = self._frame.first + len(question) + len(self._frame.special[1])
        first, last = data.spans[number].tolist()
        inside = start <= first and last < start + len(window)
        target = (place + first - start, place + last - start) if inside else (0, 0)
        return SpanExample(ids, types, target, data, number, start, place, len(window))

    def size(self, example: SpanExample) -> int:
        """Its tokens."""
        return len(example.ids)

    def collate(self, examples: Sequence[SpanExample], device: torch.device | str = "cpu") -> SpanBatch:
        """Windows laid end to end."""
        return SpanBatch(
            packed=pack([example.ids for example in examples], device=device),
            types=joined([example.types for example in examples], device)[None],
            targets=torch.tensor([example.target for example in examples], device=device),
            windows=tuple(examples),
        )

    def flops(self, config: AnyConfig) -> float:
        """Of windows as long as they may be."""
        return training_flops(config, length=self._seq_len)

    def loss(self, model: Transformer, batch: SpanBatch) -> Loss:
        """Mean of the losses of the answer's beginning and of its end, over the window's tokens.

        Raises:
            ConfigError: the model is no encoder.
        """
        logits = span_logits(model, batch.packed, batch.types)
        loss = F.cross_entropy(_padded(logits), batch.targets)
        return Loss(loss, {"loss": loss.detach()})

    @torch.inference_mode()
    def evaluate(self, model: Transformer, batches: Iterator[SpanBatch], n_bytes: int) -> dict[str, float]:
        """Loss a window; exact match and F1 a question, as `SpanScores` has them."""
        scores = SpanScores()
        for batch in batches:
            scores.add(batch, span_logits(model, batch.packed, batch.types))
        return scores.metrics()


class SpanScores:
    """How good answers are: of the best span in all windows of a question.

    Where the data has questions without an answer, none is given if [CLS] is likelier in every window than the best
    span in any, and `no_answer_accuracy` is the share of such questions that get none.
    """

    def __init__(self) -> None:
        self._nats, self._windows = 0.0, 0
        self._answers: dict[int, _Answer] = {}
        self._data: QuestionExamples | None = None

    def add(self, batch: SpanBatch, logits: Sequence[Float[Tensor, "_ 2"]]) -> None:
        """Take in the logits of each window's tokens."""
        self._nats += float(F.cross_entropy(_padded(logits), batch.targets, reduction="sum")) / 2
        self._windows += len(batch.windows)
        self._data = batch.windows[0].data
        for window, part in zip(batch.windows, logits, strict=True):
            self._answers.setdefault(window.question, _Answer()).consider(window, part.cpu())

    def metrics(self) -> dict[str, float]:
        """Loss, exact match, F1; between 0 and 1 but for the loss. Nothing of nothing."""
        data = self._data
        if data is None:
            return {}
        impossible = np.array([not data.expected[question] for question in self._answers])
        allowed = bool(impossible.any())
        found = {question: answer.text(data, question, allowed) for question, answer in self._answers.items()}
        scores = np.array([answer_match(text, data.expected[question]) for question, text in found.items()])
        exact, f1 = scores.mean(axis=0).tolist()
        metrics = {"loss": self._nats / self._windows, "exact_match": exact, "f1": f1}
        if allowed:
            metrics["no_answer_accuracy"] = float(scores[impossible, 0].mean())
        return metrics


@dataclass
class _Answer:
    """The best span of a question's windows so far."""

    score: float = -np.inf
    null: float = np.inf
    first: int = 0
    last: int = 0

    def consider(self, window: SpanExample, logits: Float[Tensor, "tokens 2"]) -> None:
        self.null = min(self.null, float(logits[0].sum()))
        context = logits[window.place : window.place + window.length]
        for score, first, last in best_spans(context, LONGEST_ANSWER, 1):
            if score > self.score:
                self.score, self.first, self.last = score, window.start + first, window.start + last

    def text(self, data: QuestionExamples, question: int, may_be_none: bool) -> str:
        if self.score == -np.inf or (may_be_none and self.null > self.score):
            return ""
        return data.text(question, self.first, self.last)


def span_logits(model: Transformer, packed: Packed, types: Int[Tensor, "1 total"]) -> list[Float[Tensor, "_ 2"]]:
    """Logits of a beginning and of an end, for the tokens of each sequence.

    Raises:
        ConfigError: the model is no encoder.
    """
    encoder, hidden = encoded(model, packed, types)
    return list(torch.split(encoder.span_logits(hidden[0]).float(), list(packed.lengths)))


def best_spans(logits: Float[Tensor, "tokens 2"], longest: int, count: int) -> list[tuple[float, int, int]]:
    """The spans of at most `longest` tokens whose first and last token together have the highest logits.

    Returns:
        Sum of the two logits, first token, last token; best first.
    """
    if not len(logits):
        return []
    longest = min(longest, len(logits))
    ends = F.pad(logits[:, 1], (0, longest - 1), value=-torch.inf).unfold(0, longest, 1)
    scores = (logits[:, 0, None] + ends).flatten()
    best = scores.topk(min(count, len(scores)))
    return [
        (score, at // longest, at // longest + at % longest)
        for score, at in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        if score > -torch.inf
    ]


def _padded(logits: Sequence[Float[Tensor, "_ 2"]]) -> Float[Tensor, "windows longest 2"]:
    """With places of no weight behind the shorter ones."""
    return pad_sequence(list(logits), batch_first=True, padding_value=-torch.inf)
