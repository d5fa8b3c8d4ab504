"""Training a translator, 3 + 3 layers × 256, English to Chinese: against `Seq2SeqTrainer` with stock Marian.

    python -m benchmarks.train_translate [--precision bf16]

Both train the shape of the recipe `translate-small` on the same pairs from Debian packages (`data_parallel.py`): joint
vocabulary 8,000, three-way tied, label smoothing 0.1, dropout 0.1, AdamW. Half of the texts have eight tokens or less,
one in ten more than thirty. The peer pads each batch to its longest pair: as it comes, with pairs in random order, and
at its best, grouped by length. Counted are real tokens of the targets a second; padding is none. On a GPU batches are
four times as large.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from benchmarks import ours as sensorium_side
from benchmarks.common import Precision, Rate, report, take_turns
from benchmarks.data_parallel import pairs
from scripts.fetch import cache_folder
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.training.recipe import ModelRecipe, Recipe, recipe_from_dict

if TYPE_CHECKING:
    from transformers import MarianMTModel, PreTrainedTokenizerFast

ON_GPU = torch.cuda.is_available()
PAIRS, SEQ_LEN, WARMUP = (512 if ON_GPU else 128), 128, 3
STEPS = {"random": 40 if ON_GPU else 10, "grouped": 50}
"""Timed steps of the peer. Grouped, it sorts 50 batches at a time, the longest first: all of them are timed."""
MEAN_LENGTH = 28
"""Tokens of a pair on average, both sides: what the peer's 128 pairs hold is our batch."""
SMOOTHING = 0.1


def corpus() -> Path:
    """The pairs as a prepared corpus."""
    import sensorium as sm

    folder = cache_folder() / "benchmarks" / "en-zh"
    if not folder.is_dir():
        sm.prepare_parallel(
            pairs("zh"), out=folder, source="en", target="zh", group="package", hold_out=["klettres-data"]
        )
    return folder


def recipe(precision: Precision) -> Recipe:
    """The same model and data for our side."""
    return recipe_from_dict(
        {
            "description": "benchmark",
            "model": {
                "family": "marian", "dim": 256, "layers": 3, "heads": 4, "feedforward": 1024, "context": SEQ_LEN,
                "dropout": 0.1,
            },
            "objective": {"kind": "seq2seq", "label_smoothing": SMOOTHING},
            "batch": {"seq_len": SEQ_LEN, "tokens": PAIRS * MEAN_LENGTH},
            "run": {"steps": 100 if ON_GPU else 50, "eval_tokens": 1000, "precision": precision},
        }
    )  # fmt: skip


def ours(precision: Precision) -> float:
    """Target tokens a second of `sensorium.train`, which counts those of both sides."""
    read, written = (sum(len(row[side]) for row in rows(corpus(), SEQ_LEN)) for side in ("input_ids", "labels"))
    return sensorium_side.tokens_per_second(corpus(), recipe(precision)) * written / (read + written)


def rows(folder: Path, seq_len: int) -> list[dict[str, list[int]]]:
    """The pairs that are learned from, as the peer reads them: each side ended by [EOS]."""
    import numpy as np

    import sensorium as sm
    from sensorium.objectives.seq2seq import Seq2SeqObjective

    opened = sm.ParallelCorpus.open(folder)
    objective = Seq2SeqObjective(opened.tokenizer, seq_len=seq_len, start=0)
    found = []
    for unit in objective.units(opened.train, np.random.default_rng(0)):
        example = objective.example(opened.train, unit, np.random.default_rng(0))
        found.append({"input_ids": example.source.tolist(), "labels": example.targets.tolist()})
    return found


def stock_tokenizer(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The corpus's tokenizer as the peer takes it."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend, pad_token="[PAD]", eos_token="[EOS]", bos_token="[BOS]"
    )


def stock_model(size: ModelRecipe, tokenizer: Tokenizer) -> MarianMTModel:
    """Stock Marian of a recipe's size, with fresh weights."""
    from transformers import MarianConfig, MarianMTModel

    return MarianMTModel(
        MarianConfig(
            vocab_size=tokenizer.vocab_size, d_model=size.dim, encoder_layers=size.layers,
            decoder_layers=size.decoder_layers or size.layers, encoder_attention_heads=size.heads,
            decoder_attention_heads=size.heads, encoder_ffn_dim=size.feedforward, decoder_ffn_dim=size.feedforward,
            max_position_embeddings=size.context, activation_function="swish", dropout=size.dropout,
            attention_dropout=0.0, activation_dropout=0.0, scale_embedding=True, share_encoder_decoder_embeddings=True,
            pad_token_id=tokenizer.pad_id, bos_token_id=tokenizer.bos_id, eos_token_id=tokenizer.eos_id,
            decoder_start_token_id=tokenizer.pad_id, forced_eos_token_id=tokenizer.eos_id, attn_implementation="sdpa",
        )
    )  # fmt: skip


def theirs(precision: Precision, *, order: Literal["random", "grouped"]) -> float:
    """Target tokens a second of stock MarianMTModel in the Seq2SeqTrainer, on the same pairs."""
    from transformers import DataCollatorForSeq2Seq

    import sensorium as sm
    from benchmarks.peer import tokens_per_second

    tokenizer = sm.ParallelCorpus.open(corpus()).tokenizer
    model = stock_model(recipe(precision).fresh, tokenizer)
    return tokens_per_second(
        model,
        rows(corpus(), SEQ_LEN),
        DataCollatorForSeq2Seq(stock_tokenizer(tokenizer), model=model),
        batch=PAIRS,
        steps=STEPS[order],
        warmup=WARMUP,
        precision=precision,
        by_length=order == "grouped",
        smoothing=SMOOTHING,
        counted="labels",
    )


PEERS: dict[str, Rate] = {"random": partial(theirs, order="random"), "grouped": partial(theirs, order="grouped")}


def main() -> None:
    """All sides in turn."""
    turns = take_turns("benchmarks.train_translate", ours, PEERS)
    if turns is not None:
        report(
            f"Training a translator, 3 + 3 layers × 256, vocabulary 8,000, {turns.precision}",
            peers={
                "`Seq2SeqTrainer` as it comes": turns.comparisons["random"],
                "`Seq2SeqTrainer`, grouped by length": turns.comparisons["grouped"],
            },
            unit="target tokens/s",
            targets=[2.0, 2.0],
            notes=[f"{sensorium_side.limit(corpus(), recipe(turns.precision))} of both sides"],
        )


if __name__ == "__main__":
    main()
