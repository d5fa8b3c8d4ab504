"""Causal language modelling: predict each token from those before it.

Documents stand between [BOS] and [EOS] and are cut into pieces of the sequence length; pieces never see each other,
so a batch of many is the same as each alone. Every token is predicted exactly once. In training, pieces are packed by
best fit, and a batch is read at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from sensorium.core.count import training_flops
from sensorium.core.model import AnyConfig, Transformer
from sensorium.core.pack import Packed, restart
from sensorium.data.loading.pieces import Pieces, PieceTokens
from sensorium.data.shards import TokenShards
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import ConfigError
from sensorium.objectives.cross_entropy import linear_cross_entropy, linear_cross_entropy_sums
from sensorium.objectives.objective import Batch, Example, Loss, OneStack, Units, joined


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
        self._read: tuple[TokenShards, Pieces] | None = None

    def reader(self, shards: TokenShards) -> Pieces:
        """Reads pieces of documents."""
        held = self._read  # taken once: training and validation may ask at the same time
        if held is None or held[0] is not shards:
            held = shards, Pieces(shards, seq_len=self._seq_len, bos=self._bos, eos=self._eos)
            self._read = held
        return held[1]

    def units(self, shards: TokenShards, rng: np.random.Generator) -> Units:
        """Rows of (document, piece)."""
        return self.reader(shards).units(np.arange(len(shards)))

    def example(self, shards: TokenShards, unit: Units, rng: np.random.Generator) -> Example:
        """Tokens, each of which predicts the next."""
        piece = self.reader(shards).read(unit[None])
        return Example(ids=piece.ids, places=np.arange(len(piece.ids)), targets=piece.targets)

    def batch(self, read: Sequence[PieceTokens], device: torch.device | str = "cpu") -> Batch:
        """Pieces end to end, of one corpus after the other."""
        ids, targets = (joined([getattr(part, name) for part in read], device) for name in ("ids", "targets"))
        lengths = tuple(np.concatenate([part.lengths for part in read]).tolist())
        return Batch(
            packed=Packed(ids[None], restart(lengths, device=device), lengths),
            places=torch.arange(len(ids), device=device),
            targets=targets,
            types=None,
            pairs=None,
            firsts=torch.empty(0, dtype=torch.int64, device=device),
        )

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
