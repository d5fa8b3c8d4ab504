"""Causal training, 6 × 384, 256 tokens: against stock LlamaForCausalLM in the HF `Trainer`.

    python -m benchmarks.train_causal [--precision bf16]

On a GPU batches are sixteen times as large, and ours is compiled; the peer is shown both ways. Both train the same
Llama (6 × 384, vocabulary 8,000) with AdamW on the chapters of Jane Austen's novels: ours cuts documents and keeps
them apart, the peer gets one packed stream in blocks of 256, without any padding.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks import ours as sensorium_side
from benchmarks.common import Precision, Rate, report, take_turns
from benchmarks.data import prepared
from sensorium.training.recipe import Recipe, recipe_from_dict

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ON_GPU = torch.cuda.is_available()
BLOCKS, SEQ_LEN = (128 if ON_GPU else 8), 256
STEPS, WARMUP = (60, 30) if ON_GPU else (12, 6)
OUR_STEPS = 120 if ON_GPU else 40


def corpus() -> Path:
    """The novels' chapters under a tokenizer of their own."""
    return prepared("austen-chapters", tokenizer="bpe:8000", documents=True)


def recipe(precision: Precision) -> Recipe:
    """The same model and batch for our side."""
    return recipe_from_dict(
        {
            "description": "benchmark",
            "model": {
                "family": "llama", "dim": 384, "layers": 6, "heads": 6, "feedforward": 1024, "context": SEQ_LEN,
            },
            "objective": {"kind": "causal"},
            "batch": {"seq_len": SEQ_LEN, "tokens": BLOCKS * SEQ_LEN},
            "run": {"steps": OUR_STEPS, "eval_tokens": 1000, "precision": precision},
        }
    )  # fmt: skip


def ours(precision: Precision) -> float:
    """Tokens a second of `sensorium.train`."""
    return sensorium_side.tokens_per_second(corpus(), recipe(precision), compiled=ON_GPU)


def stock_llama(vocab_size: int) -> PreTrainedModel:
    """The recipe's model in stock `transformers`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab_size, hidden_size=384, num_hidden_layers=6, num_attention_heads=6,
            intermediate_size=1024, max_position_embeddings=SEQ_LEN + 1, tie_word_embeddings=True,
            attn_implementation="sdpa",
        )
    )  # fmt: skip


def theirs(precision: Precision, *, compiled: bool = False) -> float:
    """Tokens a second of stock LlamaForCausalLM in the Trainer."""
    from transformers import default_data_collator

    import sensorium as sm
    from benchmarks.peer import tokens_per_second

    opened = sm.Corpus.open(corpus())
    ids = opened.train.tokens(0, opened.train.n_tokens).tolist()
    blocks = [ids[start : start + SEQ_LEN] for start in range(0, len(ids) - SEQ_LEN, SEQ_LEN)]
    rows = [{"input_ids": block, "labels": block} for block in blocks]
    model = stock_llama(opened.tokenizer.vocab_size)
    return tokens_per_second(
        model,
        rows,
        default_data_collator,
        batch=BLOCKS,
        steps=STEPS,
        warmup=WARMUP,
        precision=precision,
        compiled=compiled,
    )


def main() -> None:
    """Both sides in turn."""
    names = {"packed": "`Trainer`, packed blocks"}
    peers: dict[str, Rate] = {"packed": theirs}
    if ON_GPU:
        names["compiled"] = "`Trainer`, packed blocks, `torch_compile`"
        peers["compiled"] = partial(theirs, compiled=True)
    turns = take_turns("benchmarks.train_causal", ours, peers)
    if turns is not None:
        report(
            f"Causal training, 6 × 384, 256 tokens, vocabulary 8,000, {turns.precision}",
            peers={names[name]: comparison for name, comparison in turns.comparisons.items()},
            unit="tokens/s",
            targets=[1.5] * len(peers),
            notes=[sensorium_side.limit(corpus(), recipe(turns.precision))],
        )


if __name__ == "__main__":
    main()
