"""Masked language modelling, alone or with sentence pairs (Devlin et al. 2019; Lan et al. 2020).

A unit is a run of whole sentences of one document that fills the sequence. With pairs it is cut in two at the end of
a sentence: the second part follows, or, half of the time, comes from another document (`next`) or stands first
(`order`). The cut, the stranger and the masks are drawn anew each epoch.

Unusual: nothing but the text tells a true pair from a false one. Both second parts are the whole sentences from some
sentence on that still fit; a unit of one sentence makes no pair.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from sensorium.core.count import training_flops
from sensorium.core.model import AnyConfig, Encoder, Transformer
from sensorium.data.shards import TokenShards
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import ConfigError
from sensorium.objectives.cross_entropy import linear_cross_entropy, linear_cross_entropy_sums
from sensorium.objectives.masking import Masking
from sensorium.objectives.objective import Batch, Example, Ids, Loss, OneStack, Units
from sensorium.objectives.runs import sentence_runs

Pairs = Literal["none", "next", "order"]
_TRIES = 16
"""Draws of a sentence from elsewhere before a pair is left true."""


class MaskedObjective(OneStack):
    """Masked tokens, and sentence pairs if asked for.

    Args:
        tokenizer: must have a mask, [CLS] and [SEP].
        seq_len: the most tokens a sequence, special tokens included.
        masking: which tokens are hidden.
        pairs: what the pairs are.
    """

    name = "masked"

    def __init__(self, tokenizer: Tokenizer, *, seq_len: int, masking: Masking, pairs: Pairs = "none") -> None:
        if tokenizer.cls_id is None or tokenizer.sep_id is None:
            raise ConfigError("masked training needs a tokenizer with [CLS] and [SEP]", fix="Prepare with another one")
        self._cls, self._sep = np.array([tokenizer.cls_id]), np.array([tokenizer.sep_id])
        self._seq_len = seq_len
        self._room = seq_len - (2 if pairs == "none" else 3)
        self._masking, self._pairs = masking, pairs
        if self._room < 2:
            raise ConfigError(f"seq_len={seq_len} leaves no room for text", fix="Set batch.seq_len to 16 or more")

    def units(self, shards: TokenShards, rng: np.random.Generator) -> Units:
        """Rows of (first token, last token + 1, document): runs of whole sentences that fill the sequence."""
        return sentence_runs(shards, self._room)

    def units_of(self, shards: TokenShards, documents: Ids) -> Units:
        """`units` of some documents."""
        return sentence_runs(shards, self._room, documents)

    def example(self, shards: TokenShards, unit: Units, rng: np.random.Generator) -> Example:
        """One masked sequence."""
        start, stop, document = (int(x) for x in unit)
        tokens = shards.tokens(start, stop).astype(np.int64)
        cut = None if self._pairs == "none" else self._cut(shards, start, stop, rng)
        if cut is None:
            ids, label = np.concatenate((self._cls, tokens, self._sep)), None
            types = None if self._pairs == "none" else np.zeros(len(ids), dtype=np.int64)
        else:
            first, second, label = self._pair(shards, tokens[:cut], tokens[cut:], document, rng)
            ids = np.concatenate((self._cls, first, self._sep, second, self._sep))
            types = np.repeat([0, 1], [len(first) + 2, len(second) + 1])
        maskable = (ids != self._cls[0]) & (ids != self._sep[0])
        masked, places = self._masking(ids, maskable, rng)
        return Example(ids=masked, places=places, targets=ids[places], types=types, pair=label)

    def _cut(self, shards: TokenShards, start: int, stop: int, rng: np.random.Generator) -> int | None:
        """The end of a sentence inside the run, counted from its start; None where there is none, or no other
        document to draw from."""
        if self._pairs == "next" and len(shards) < 2:
            return None
        offsets = shards.sentence_offsets
        low = int(np.searchsorted(offsets, start, side="right"))
        high = int(np.searchsorted(offsets, stop, side="left"))
        return int(offsets[int(rng.integers(low, high))]) - start if high > low else None

    def _pair(
        self, shards: TokenShards, first: Ids, second: Ids, document: int, rng: np.random.Generator
    ) -> tuple[Ids, Ids, int]:
        if rng.random() < 0.5:
            return first, second, 0
        if self._pairs == "order":
            return second, first, 1
        stranger = _stranger(shards, document, self._room - len(first), rng)
        return (first, second, 0) if stranger is None else (first, stranger, 1)

    def flops(self, config: AnyConfig) -> float:
        """Of sequences as long as they may be, with logits for the masked tokens."""
        return training_flops(config, length=self._seq_len, logits=self._masking.rate)

    def loss(self, model: Transformer, batch: Batch) -> Loss:
        """Mean loss of the masked tokens, plus that of the pairs."""
        if not isinstance(model, Encoder):
            raise ConfigError("masked training needs an encoder", fix="Set model.family to bert")
        hidden = model(batch.packed.ids, types=batch.types, lengths=batch.packed.lengths)[0]
        tokens = linear_cross_entropy(*model.language_inputs(hidden[batch.places]), batch.targets)
        if batch.pairs is None:
            return Loss(tokens, {"loss": tokens.detach()})
        pairs = F.cross_entropy(model.pair_logits(model.pooled(hidden[batch.firsts])), batch.pairs)
        total = tokens + pairs
        return Loss(total, {"loss": total.detach(), "masked_loss": tokens.detach(), "pair_loss": pairs.detach()})

    @torch.inference_mode()
    def evaluate(self, model: Transformer, batches: Iterator[Batch], n_bytes: int) -> dict[str, float]:
        """Losses in nats, perplexity and accuracy of the masked tokens, accuracy of the pairs.

        Bits per byte has no meaning here: a masked token is predicted from both sides.
        """
        if not isinstance(model, Encoder):
            raise ConfigError("masked training needs an encoder", fix="Set model.family to bert")
        nats, correct, count = 0.0, 0, 0
        pair_nats, pair_correct, pairs = 0.0, 0, 0
        for batch in batches:
            hidden = model(batch.packed.ids, types=batch.types, lengths=batch.packed.lengths)[0]
            part, right = linear_cross_entropy_sums(*model.language_inputs(hidden[batch.places]), batch.targets)
            nats, correct, count = nats + part, correct + right, count + len(batch.targets)
            if batch.pairs is not None:
                logits = model.pair_logits(model.pooled(hidden[batch.firsts]))
                pair_nats += float(F.cross_entropy(logits, batch.pairs, reduction="sum"))
                pair_correct += int((logits.argmax(1) == batch.pairs).sum())
                pairs += len(batch.pairs)
        mean = nats / max(count, 1)
        metrics = {
            "masked_loss": mean,
            "masked_perplexity": math.exp(min(mean, 700.0)),
            "masked_accuracy": correct / max(count, 1),
            "loss": mean + pair_nats / max(pairs, 1),
        }
        if pairs:
            metrics["pair_accuracy"] = pair_correct / pairs
        return metrics


def _stranger(shards: TokenShards, document: int, room: int, rng: np.random.Generator) -> Ids | None:
    """The sentences of another document, from one drawn at random on, that fit into `room` tokens; None if none do."""
    for _ in range(_TRIES):
        sentence = int(rng.integers(shards.n_sentences))
        other = int(np.searchsorted(shards.document_sentences, sentence, side="right")) - 1
        # A true second part never opens its document.
        if other == document or sentence == shards.document_sentences[other]:
            continue
        ends = np.asarray(shards.sentence_offsets[sentence : int(shards.document_sentences[other + 1]) + 1])
        last = int(np.searchsorted(ends, ends[0] + room, side="right")) - 1
        if last > 0:
            return shards.tokens(int(ends[0]), int(ends[last])).astype(np.int64)
    return None
