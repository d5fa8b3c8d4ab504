"""Captions: predict a text after its picture, and nothing of what stands before it (LLaVA: Liu et al. 2023).

Unusual: what a frozen tower says of a picture is part of the data, computed once; a tower that is trained is handed
pixels. Texts stand end to end in one row and do not see each other, as everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from sensorium.core.eyes import SeeingConfig, SeeingDecoder, Seen, seeing_flops
from sensorium.core.pack import Packed, pack
from sensorium.objectives.cross_entropy import linear_cross_entropy, linear_cross_entropy_sums
from sensorium.objectives.objective import Ids, Loss, Units, joined


@dataclass(frozen=True, eq=False, kw_only=True)
class CaptionExamples:
    """Pictures and their texts.

    Args:
        prompts: what each text follows, with the placeholders of its picture.
        texts: what is learned, with the end token.
        places: row of each example's picture in `looks`.
        looks: what the tower says of each picture, or its pixels.
        sizes_in_bytes: UTF-8 bytes of each text.
    """

    prompts: Sequence[Ids]
    texts: Sequence[Ids]
    places: NDArray[np.int64]
    looks: Float[Tensor, "pictures ..."]
    sizes_in_bytes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Tokens that the model reads of each."""
        both = zip(self.prompts, self.texts, strict=True)
        return np.array([len(prompt) + len(text) - 1 for prompt, text in both], dtype=np.int64)

    @property
    def n_tokens(self) -> int:
        return int(sum(map(len, self.texts)))

    @property
    def n_bytes(self) -> int:
        return int(self.sizes_in_bytes.sum())

    def head(self, tokens: int) -> CaptionExamples:
        """The first of them, up to a number of tokens; at least one."""
        count = max(1, int((np.cumsum(self.sizes) <= tokens).sum()))
        return replace(
            self,
            prompts=self.prompts[:count],
            texts=self.texts[:count],
            places=self.places[:count],
            sizes_in_bytes=self.sizes_in_bytes[:count],
        )


@dataclass(frozen=True, eq=False)
class CaptionExample:
    """One text and its picture."""

    ids: Ids
    start: int
    """Where the text's first token is predicted."""
    targets: Ids
    look: Tensor


@dataclass(frozen=True, eq=False)
class CaptionBatch:
    """Texts end to end, and their pictures in the same order."""

    packed: Packed
    places: Int[Tensor, " n"]
    targets: Int[Tensor, " n"]
    looks: Float[Tensor, "pictures ..."]

    @property
    def tokens(self) -> int:
        return int(self.packed.ids.shape[1])


class CaptionObjective:
    """Next-token prediction of texts, given their pictures.

    Args:
        pixels: the looks are pixels, which the tower reads; else what it said of them.
        length: tokens of an example on average, placeholders among them.
        share: of them that is predicted.
    """

    name = "caption"

    def __init__(self, *, pixels: bool, length: float, share: float) -> None:
        self._pixels, self._length, self._share = pixels, length, share

    def units(self, data: CaptionExamples, rng: np.random.Generator) -> Units:
        """Rows of the number of an example."""
        return np.arange(len(data))[:, None]

    def example(self, data: CaptionExamples, unit: Units, rng: np.random.Generator) -> CaptionExample:
        """One text and its picture."""
        number = int(unit[0])
        prompt, text = data.prompts[number], data.texts[number]
        whole = np.concatenate([prompt, text])
        return CaptionExample(whole[:-1], len(prompt) - 1, text, data.looks[data.places[number]])

    def size(self, example: CaptionExample) -> int:
        """Its tokens, placeholders among them."""
        return len(example.ids)

    def collate(self, examples: Sequence[CaptionExample], device: torch.device | str = "cpu") -> CaptionBatch:
        """Texts laid end to end, their pictures in a batch."""
        packed = pack([example.ids for example in examples], device=device)
        firsts = np.cumsum([0, *packed.lengths[:-1]])
        places = [
            np.arange(len(example.targets)) + example.start + first
            for example, first in zip(examples, firsts, strict=True)
        ]
        return CaptionBatch(
            packed=packed,
            places=joined(places, device),
            targets=joined([example.targets for example in examples], device),
            # Made wide first: autocast on a CPU stacks nothing that is of 16 bits other than its own.
            looks=torch.stack([example.look.float() for example in examples]).to(device),
        )

    def flops(self, config: SeeingConfig) -> float:
        """Of the decoder, a token."""
        return seeing_flops(config, length=max(1, round(self._length)), logits=self._share)

    def loss(self, model: SeeingDecoder, batch: CaptionBatch) -> Loss:
        """Mean negative log-likelihood a token of the texts."""
        features, matrix, bias = model.text.language_inputs(self._hidden(model, batch))
        if matrix.requires_grad:
            loss = linear_cross_entropy(features, matrix, bias, batch.targets)
        else:  # the gradient of a frozen matrix, as large as the vocabulary, is not computed
            loss = F.cross_entropy(F.linear(features, matrix, bias).float(), batch.targets)
        return Loss(loss, {"loss": loss.detach()})

    @torch.inference_mode()
    def evaluate(self, model: SeeingDecoder, batches: Iterator[CaptionBatch], n_bytes: int) -> dict[str, float]:
        """Loss in nats a token, perplexity, accuracy, bits per byte."""
        nats, correct, count = 0.0, 0, 0
        for batch in batches:
            inputs = model.text.language_inputs(self._hidden(model, batch))
            part, right = linear_cross_entropy_sums(*inputs, batch.targets)
            nats, correct, count = nats + part, correct + right, count + len(batch.targets)
        mean = nats / max(count, 1)
        return {
            "loss": mean,
            "perplexity": math.exp(min(mean, 700.0)),
            "accuracy": correct / max(count, 1),
            "bits_per_byte": nats / math.log(2) / max(n_bytes, 1),
        }

    def _hidden(self, model: SeeingDecoder, batch: CaptionBatch) -> Float[Tensor, "n dim"]:
        """Hidden states at what predicts the texts."""
        seen: Seen = model.see(batch.looks) if self._pixels else model.project(batch.looks)
        hidden: Tensor = model(batch.packed.ids, seen=seen, lengths=batch.packed.lengths)
        return hidden[0, batch.places]
