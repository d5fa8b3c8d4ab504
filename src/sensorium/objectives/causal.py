"""Causal language modelling: predict each token from those before it.

Documents stand between [BOS] and [EOS] and are cut into pieces of the sequence length; pieces never see each other,
so a batch of many is the same as each alone. Every token is predicted exactly once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from sensorium.core.count import training_flops
from sensorium.core.model import AnyConfig, Transformer
from sensorium.data.shards import TokenShards
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import ConfigError
from sensorium.objectives.cross_entropy import linear_cross_entropy, linear_cross_entropy_sums
from sensorium.objectives.objective import Batch, Example, Loss, OneStack, Units


class CausalObjective(OneStack):
    """Next-token prediction.

    Args:
        tokenizer: must have [BOS] and [EOS].
        seq_len: the most tokens a sequence.
    """

    name = "causal"

    def __init__(self, tokenizer: Tokenizer, *, seq_len: int) -> None:
        if tokenizer.bos_id is None or tokenizer.eos_id is None:
            raise ConfigError("causal training needs a tokenizer with [BOS] and [EOS]", fix="Prepare with another one")
        self._bos, self._eos = tokenizer.bos_id, tokenizer.eos_id
        self._seq_len = seq_len

    def units(self, shards: TokenShards, rng: np.random.Generator) -> Units:
        """Rows of (document, piece)."""
        lengths = np.diff(shards.document_offsets) + 1  # [BOS] t1 ... tn predicts t1 ... tn [EOS]
        pieces = -(-lengths // self._seq_len)
        documents = np.repeat(np.arange(len(lengths)), pieces)
        starts = np.repeat(np.cumsum(pieces) - pieces, pieces)
        return np.stack([documents, np.arange(len(documents)) - starts], axis=1)

    def example(self, shards: TokenShards, unit: Units, rng: np.random.Generator) -> Example:
        """Tokens, each of which predicts the next."""
        document, piece = int(unit[0]), int(unit[1])
        base, end = int(shards.document_offsets[document]), int(shards.document_offsets[document + 1])
        start = piece * self._seq_len  # counted with [BOS] at 0
        stop = start + self._seq_len + 1
        tokens = shards.tokens(base + max(start - 1, 0), min(base + stop - 1, end)).astype(np.int64)
        parts = [tokens]
        if start == 0:
            parts.insert(0, np.array([self._bos]))
        if base + stop - 1 > end:
            parts.append(np.array([self._eos]))
        whole = np.concatenate(parts)
        return Example(ids=whole[:-1], places=np.arange(len(whole) - 1), targets=whole[1:])

    def flops(self, config: AnyConfig) -> float:
        """Of sequences as long as they may be."""
        return training_flops(config, length=self._seq_len)

    def loss(self, model: Transformer, batch: Batch) -> Loss:
        """Mean negative log-likelihood a token."""
        hidden = model(batch.packed.ids, lengths=batch.packed.lengths)
        loss = linear_cross_entropy(*model.language_inputs(hidden[0]), batch.targets)
        return Loss(loss, {"loss": loss.detach()})

    @torch.inference_mode()
    def evaluate(self, model: Transformer, batches: Iterator[Batch], n_bytes: int) -> dict[str, float]:
        """Loss in nats a token, perplexity, accuracy, bits per byte."""
        nats, correct, count = 0.0, 0, 0
        for batch in batches:
            hidden = model(batch.packed.ids, lengths=batch.packed.lengths)
            part, right = linear_cross_entropy_sums(*model.language_inputs(hidden[0]), batch.targets)
            nats, correct, count = nats + part, correct + right, count + len(batch.targets)
        mean = nats / max(count, 1)
        return {
            "loss": mean,
            "perplexity": math.exp(min(mean, 700.0)),
            "accuracy": correct / max(count, 1),
            "bits_per_byte": nats / math.log(2) / max(n_bytes, 1),
        }
