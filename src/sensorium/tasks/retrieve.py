"""The passages of a long text that a question is likely to be about, so that a whole book can be the context.

Passages end where paragraphs or sentences do. They are ranked by BM25 (Robertson & Zaragoza 2009), over words and, in
Chinese and Japanese, over single characters and pairs of them; if asked, also by how near an encoder's vectors of
question and passage are.
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import regex
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from sensorium.core.model import Encoder
from sensorium.core.pack import pack
from sensorium.data.segment import sentences
from sensorium.data.tokens.frame import Frame
from sensorium.errors import CapabilityError, InputError, require
from sensorium.inference.engine import Engine, by_length
from sensorium.inference.native import NativeEngine

PASSAGE = 1200
"""Characters of a passage, at most."""
_CANDIDATES = 5
"""Passages that are ranked again for each one that is wanted."""
_BUDGET = 4096
"""Tokens a batch."""
_LONGEST = 512
"""Tokens of a passage that are read for its vector where the model sets no limit."""
_RANK = 60
"""Softens the first ranks where two rankings are fused (Cormack, Clarke & Büttcher 2009)."""
_WORD = regex.compile(r"(?P<cjk>[\p{Han}\p{Hiragana}\p{Katakana}]+)|[\p{L}\p{M}\p{N}--[\p{Han}\p{Hiragana}\p{Katakana}]]+", regex.V1)  # fmt: skip  # noqa: E501
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_LINE = regex.compile(r"[^\n]*\n+|[^\n]+$")
_SPACE = regex.compile(r"\s")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a text."""

    text: str
    start: int
    """Its first character's place in the text."""


class Passages:
    """A text that can be searched. Making it takes about a second for every two megabytes; searching, milliseconds.

    Args:
        text: of any length.
        characters: the most characters a passage.

    Raises:
        InputError: the text is empty, or `characters` is below 1.
        CapabilityError: `bm25s` is not installed.
    """

    def __init__(self, text: str, *, characters: int = PASSAGE) -> None:
        if not text.strip():
            raise InputError("the context is empty", fix="Give the text that holds the answer")
        if characters < 1:
            raise InputError(f"characters={characters} leaves no passage", fix=f"Try {PASSAGE}")
        bm25s: Any = require("bm25s", extra="qa", purpose="finding passages in a long text")
        self.text = text
        self.places: NDArray[np.int64] = np.array(list(cut(text, characters)), dtype=np.int64)
        """First character and end of every passage."""
        vocabulary = defaultdict[str, int]()
        vocabulary.default_factory = vocabulary.__len__
        spans = self.places.tolist()
        ids = [array("i", [vocabulary[word] for word in words(text[start:end])]) for start, end in spans]
        self._vocabulary = dict(vocabulary)
        self._ranker = bm25s.BM25()
        self._ranker.index((ids, self._vocabulary or {"": 0}), show_progress=False)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Passage:
        start, end = self.places[index].tolist()
        return Passage(self.text[start:end], start)

    def search(self, question: str, count: int, *, rerank: Engine | None = None) -> list[int]:
        """Numbers of the likeliest passages, best first; those that are equally likely in the order of the text.

        Args:
            question: what is looked for.
            count: how many passages, at most.
            rerank: an encoder by whose vectors the first passages are ranked again. Both ranks count alike.

        Raises:
            CapabilityError: `rerank` gives no vectors.
        """
        scores = self.scores(question)
        order: list[int] = np.argsort(-scores, kind="stable")[: count * (_CANDIDATES if rerank else 1)].tolist()
        if rerank is None or len(order) < 2:
            return order[:count]
        vectors = embeddings(rerank, [question, *(self[i].text for i in order)])
        near = (vectors[1:] @ vectors[0]).argsort(descending=True, stable=True).tolist()
        ranks = {order[i]: rank for rank, i in enumerate(near)}
        fused = {i: 1 / (_RANK + rank) + 1 / (_RANK + ranks[i]) for rank, i in enumerate(order)}
        return sorted(order, key=lambda i: -fused[i])[:count]

    def scores(self, question: str) -> NDArray[np.float32]:
        """BM25 of every passage; 0 where it shares no word with the question."""
        known = [self._vocabulary[word] for word in words(question) if word in self._vocabulary]
        if not known:
            return np.zeros(len(self), dtype=np.float32)
        return np.asarray(self._ranker.get_scores(known), dtype=np.float32)


def words(text: str) -> list[str]:
    """What is counted: words in small letters; of Chinese and Japanese, characters and pairs of neighbours."""
    text = text.lower()
    if text.isascii():
        return _ASCII_WORD.findall(text)
    found: list[str] = []
    for match in _WORD.finditer(text):
        word = match.group()
        if match.lastgroup is None:
            found.append(word)
        else:
            found += word
            found += map("".join, pairwise(word))
    return found


def cut(text: str, characters: int) -> Iterator[tuple[int, int]]:
    """First character and end of every passage. Together they are the text.

    A passage takes as many whole paragraphs as fit into it, of a longer one whole sentences, and of a longer sentence
    what fits, to the last space.
    """
    start = end = 0
    for piece in _pieces(text, characters):
        if end > start and end + piece - start > characters:
            yield start, end
            start = end
        end += piece
    if end > start:
        yield start, end


def _pieces(text: str, characters: int) -> Iterator[int]:
    """Lengths of the pieces that are not cut."""
    for line in _LINE.findall(text):
        if len(line) <= characters:
            yield len(line)
            continue
        for sentence in sentences(line):
            at = 0  # a place, for to cut the rest off takes the square of the time
            while len(sentence) - at > characters:
                spaces = list(_SPACE.finditer(sentence, at + characters // 2, at + characters))
                size = spaces[-1].end() - at if spaces else characters
                yield size
                at += size
            if at < len(sentence):
                yield len(sentence) - at


@torch.inference_mode()
def embeddings(engine: Engine, texts: Sequence[str]) -> Float[Tensor, "texts dim"]:
    """The mean of an encoder's last hidden states over the tokens of each text, of length 1.

    What is longer than the model's context is cut.

    Raises:
        CapabilityError: the engine runs no encoder of the core.
    """
    model = engine.model if isinstance(engine, NativeEngine) else None
    if not isinstance(model, Encoder):
        raise CapabilityError(
            "only encoders of the native engine give vectors to rank passages by",
            where=engine.source,
            fix="Leave rerank out: passages are then ranked by their words alone",
        )
    frame = Frame.single(engine.tokenizer)
    room = (engine.context or _LONGEST) - frame.size
    ids = engine.tokenizer.encode_raw(list(texts))
    sequences = [frame.around(np.array(one[:room], dtype=np.int64))[0] for one in ids]
    device = next(model.parameters()).device
    found = torch.empty(len(texts), model.config.stack.dim)
    for batch in by_length([len(sequence) for sequence in sequences], budget=_BUDGET):
        packed = pack([sequences[i] for i in batch], device=device)
        hidden = model(packed.ids, lengths=packed.lengths)[0].float().cpu()
        found[batch] = torch.stack([part.mean(0) for part in hidden.split(list(packed.lengths))])
    return torch.nn.functional.normalize(found, dim=-1)
