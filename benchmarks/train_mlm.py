"""Training by masked language modelling, 6 × 384, up to 128 tokens, real length mix: against the HF `Trainer`.

    python -m benchmarks.train_mlm [--precision bf16]

Both train MiniLM's shape (BERT, 6 × 384, vocabulary 30,522) on the same runs of sentences from the
paragraphs of Jane Austen's novels, 15 % masked, dropout 0.1, AdamW. The peer pads each batch to its longest
row: as it comes, with rows in random order, and at its best, grouped by length. Counted are real tokens a second;
padding is none. On a GPU batches are sixteen times as large.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from benchmarks import ours as sensorium_side
from benchmarks.common import Precision, Rate, report, take_turns
from benchmarks.data import minilm, prepared
from sensorium.training.recipe import Recipe, recipe_from_dict

ON_GPU = torch.cuda.is_available()
SEQUENCES, SEQ_LEN = (256 if ON_GPU else 16), 128
STEPS, WARMUP = (40, 20) if ON_GPU else (12, 6)
OUR_STEPS = 80 if ON_GPU else 40
MEAN_LENGTH = 68
"""Tokens of a sequence on average: what the peer's 16 sequences hold is our batch."""


def corpus() -> Path:
    """The novels' paragraphs under MiniLM's tokenizer."""
    return prepared("austen-paragraphs", tokenizer=minilm(), documents=False)


def recipe(precision: Precision) -> Recipe:
    """The same model and data for our side."""
    return recipe_from_dict(
        {
            "description": "benchmark",
            "model": {
                "family": "bert", "dim": 384, "layers": 6, "heads": 12, "feedforward": 1536, "context": SEQ_LEN,
                "dropout": 0.1,
            },
            "objective": {"kind": "masked", "mask_rate": 0.15},
            "batch": {"seq_len": SEQ_LEN, "tokens": SEQUENCES * MEAN_LENGTH},
            "run": {"steps": OUR_STEPS, "eval_tokens": 1000, "precision": precision},
        }
    )  # fmt: skip


def ours(precision: Precision) -> float:
    """Tokens a second of `sensorium.train`."""
    return sensorium_side.tokens_per_second(corpus(), recipe(precision))


def theirs(precision: Precision, *, by_length: bool) -> float:
    """Tokens a second of stock BertForMaskedLM in the Trainer, on the same sequences."""
    import numpy as np
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, DataCollatorForLanguageModeling

    import sensorium as sm
    from benchmarks.peer import tokens_per_second
    from sensorium.objectives.masked import MaskedObjective
    from sensorium.objectives.masking import Masking

    opened = sm.Corpus.open(corpus())
    objective = MaskedObjective(
        opened.tokenizer, seq_len=SEQ_LEN, masking=Masking.of(opened.tokenizer, rate=0.15, unit="token")
    )
    tokenizer = AutoTokenizer.from_pretrained(minilm())
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    units = objective.units(opened.train, np.random.default_rng(0))
    rows = [{"input_ids": [cls, *opened.train.tokens(int(a), int(b)).tolist(), sep]} for a, b, _ in units]
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer), hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
            intermediate_size=1536, max_position_embeddings=SEQ_LEN, attn_implementation="sdpa",
        )
    )  # fmt: skip
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    return tokens_per_second(
        model, rows, collator, batch=SEQUENCES, steps=STEPS, warmup=WARMUP, precision=precision, by_length=by_length
    )


PEERS: dict[str, Rate] = {"random": partial(theirs, by_length=False), "grouped": partial(theirs, by_length=True)}


def main() -> None:
    """All sides in turn."""
    turns = take_turns("benchmarks.train_mlm", ours, PEERS)
    if turns is not None:
        report(
            f"Masked-language training, 6 × 384, up to 128 tokens, vocabulary 30,522, {turns.precision}",
            peers={
                "`Trainer` as it comes": turns.comparisons["random"],
                "`Trainer`, grouped by length": turns.comparisons["grouped"],
            },
            unit="tokens/s",
            targets=[2.0, 2.0],
            notes=[sensorium_side.limit(corpus(), recipe(turns.precision))],
        )


if __name__ == "__main__":
    main()
