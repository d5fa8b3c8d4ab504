"""Causal training, 6 × 384, documents of every length up to 256 tokens: against the HF `Trainer`.

    python -m benchmarks.train_causal_mixed [--precision bf16]

The model of `train_causal` on the paragraphs of Jane Austen's novels, each a document that sees no other. Stock
`transformers` keeps documents apart by giving each a row of its own, padded to the longest of the batch: as it comes,
with rows in random order, and at its best, grouped by length. Counted are real tokens a second; padding is none.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks import ours as sensorium_side
from benchmarks.common import Precision, report, take_turns
from benchmarks.data import prepared
from benchmarks.train_causal import BLOCKS, SEQ_LEN, STEPS, WARMUP, recipe

ROWS = 24
"""Documents of a batch of the peer: together about the real tokens of ours."""


def corpus() -> Path:
    """The novels' paragraphs under a tokenizer of their own."""
    return prepared("austen-paragraphs-bpe", tokenizer="bpe:8000", documents=False)


def ours(precision: Precision) -> float:
    """Tokens a second of `sensorium.train`."""
    return sensorium_side.tokens_per_second(corpus(), recipe(precision))


def theirs(precision: Precision, *, by_length: bool) -> float:
    """Tokens a second of stock LlamaForCausalLM in the Trainer, on the same pieces."""
    import numpy as np
    import torch

    import sensorium as sm
    from benchmarks.peer import tokens_per_second
    from benchmarks.train_causal import stock_llama
    from sensorium.objectives.causal import CausalObjective

    opened = sm.Corpus.open(corpus())
    objective = CausalObjective(opened.tokenizer, seq_len=SEQ_LEN)
    rng = np.random.default_rng(0)
    pieces = [objective.example(opened.train, unit, rng) for unit in objective.units(opened.train, rng)]
    # The stock model shifts the labels itself: its row is the whole piece, of which the last token is predicted only.
    rows = [{"input_ids": [*piece.ids.tolist(), int(piece.targets[-1])]} for piece in pieces]

    def collate(examples: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        ids = [torch.tensor(example["input_ids"]) for example in examples]
        pad = torch.nn.utils.rnn.pad_sequence
        return {
            "input_ids": pad(ids, batch_first=True),
            "labels": pad(ids, batch_first=True, padding_value=-100),
            "attention_mask": pad([torch.ones_like(row) for row in ids], batch_first=True),
        }

    model = stock_llama(opened.tokenizer.vocab_size)
    return tokens_per_second(
        model, rows, collate, batch=ROWS, steps=STEPS, warmup=WARMUP, precision=precision, by_length=by_length
    )


def main() -> None:
    """All sides in turn."""
    peers = {"as it comes": partial(theirs, by_length=False), "grouped": partial(theirs, by_length=True)}
    turns = take_turns("benchmarks.train_causal_mixed", ours, peers)
    if turns is not None:
        report(
            f"Causal training, 6 × 384, documents of up to {SEQ_LEN} tokens, vocabulary 8,000, {turns.precision}",
            peers={
                "`Trainer` as it comes": turns.comparisons["as it comes"],
                "`Trainer`, grouped by length": turns.comparisons["grouped"],
            },
            unit="tokens/s",
            targets=[1.5, 1.5],
            notes=[
                f"our batch is {BLOCKS * SEQ_LEN:,} tokens, the peer's {ROWS} documents",
                sensorium_side.limit(corpus(), recipe(turns.precision)),
            ],
        )


if __name__ == "__main__":
    main()
