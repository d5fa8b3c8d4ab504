"""Train the default encoder or decoder in a given number of minutes on one core.

    python -m scripts.train_default encoder CORPUS OUT --minutes 20

Unusual: the schedule follows the clock (constant, then linearly to zero), so that a slow machine ends with a
finished, smaller training. The encoder starts from sinusoidal positions and from the unigram distribution in its
output bias, which spares it the thousands of steps that a BERT spends on finding both.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import sensorium as sm
from scripts.default_batches import packed_pairs, windows
from sensorium.core.config import ModelConfig
from sensorium.core.model import Encoder, Transformer, build, initialise
from sensorium.families import bert, llama
from sensorium.families.checkpoint import write_model
from sensorium.files import write_json
from sensorium.training.optim import Muon

ROLES = ("pad", "unk", "cls", "sep", "mask", "bos", "eos")


@dataclass(frozen=True)
class Plan:
    """How a part is trained."""

    shape: dict[str, int]
    minutes: float
    lr: float
    warmup_steps: int
    batch: int
    decay_from: float = 0.55
    """Share of the time after which the rate falls to zero."""
    embedding_rate: float = 0.6
    """AdamW's rate for embeddings, norms and biases, as a share of Muon's."""
    log_every: int = 100
    settings: dict[str, float] = field(default_factory=dict)


PLANS = {
    "decoder": Plan(
        shape={"dim": 192, "layers": 4, "heads": 3, "feedforward": 512, "context": 512},
        minutes=38, lr=0.01, warmup_steps=60, batch=8, settings={"length": 128},
    ),
    "encoder": Plan(
        shape={"dim": 128, "layers": 4, "heads": 4, "feedforward": 512, "context": 256},
        minutes=20.5, lr=0.003, warmup_steps=150, batch=16, log_every=200,
        settings={"length": 64, "final_length": 128, "masked": 0.2, "final_masked": 0.15},
    ),
}  # fmt: skip


def config_of(part: str, vocab_size: int) -> ModelConfig:
    """The model's configuration."""
    shape = PLANS[part].shape
    if part == "decoder":
        return llama.sized(vocab_size=vocab_size, kv_heads=shape["heads"], **shape)
    return bert.sized(vocab_size=vocab_size, dropout=0.0, attention_dropout=0.0, pooler=True, pair=True, **shape)


def start(model: Transformer, corpus: sm.Corpus) -> None:
    """Fresh weights; see the module's text for the encoder's."""
    initialise(model)
    if not isinstance(model, Encoder) or model.language is None or model.language.bias is None:
        return
    table = model.stack.embed.positions.weight
    rows, dim = table.shape
    angles = torch.arange(rows)[:, None] * torch.exp(-math.log(10_000.0) * torch.arange(0, dim, 2) / dim)
    ids = corpus.train.tokens(0, min(corpus.train.n_tokens, 4_000_000)).astype(np.int64)
    counts = torch.from_numpy(np.bincount(ids, minlength=len(model.language.bias)) + 1.0)
    with torch.no_grad():
        table[:, 0::2], table[:, 1::2] = 0.03 * angles.sin(), 0.03 * angles.cos()
        model.language.bias.copy_((counts / counts.sum()).log())


def loss_of(
    model: Transformer, corpus: sm.Corpus, split: str, chance: np.random.Generator, plan: Plan, progress: float
) -> tuple[Tensor, dict[str, float], int]:
    """(loss, metrics, tokens) of the next batch."""
    shards = getattr(corpus, split)
    if not isinstance(model, Encoder):
        ids = windows(shards, corpus.tokenizer, chance, rows=plan.batch, length=int(plan.settings["length"]))
        loss = F.cross_entropy(model.logits(model(ids[:, :-1])).flatten(0, 1), ids[:, 1:].flatten())
        return loss, {}, ids[:, 1:].numel()
    late = progress >= 0.7
    batch = packed_pairs(
        shards, corpus.tokenizer, chance, pairs=plan.batch,
        length=int(plan.settings["final_length" if late else "length"]),
        masked=plan.settings["final_masked" if progress >= 0.6 else "masked"],
    )  # fmt: skip
    hidden = model(batch.ids, types=batch.types, lengths=batch.lengths)
    logits = model.masked_logits(hidden[batch.chosen])
    pairs = model.pair_logits(model.pooled(hidden[0, batch.firsts]))
    masked_loss, pair_loss = F.cross_entropy(logits, batch.truth), F.cross_entropy(pairs, batch.labels)
    metrics = {
        "masked_loss": float(masked_loss.detach()),
        "masked_accuracy": float((logits.argmax(-1) == batch.truth).float().mean()),
        "pair_accuracy": float((pairs.argmax(-1) == batch.labels).float().mean()),
    }
    return masked_loss + pair_loss, metrics, batch.ids.numel()


@torch.no_grad()
def validate(model: Transformer, corpus: sm.Corpus, plan: Plan) -> dict[str, float]:
    """Metrics on four fixed validation batches."""
    model.eval()
    chance = np.random.default_rng(5)
    found = [loss_of(model, corpus, "validation", chance, plan, 0.65) for _ in range(4)]
    model.train()
    metrics = {f"validation_{key}": float(np.mean([item[1][key] for item in found])) for key in found[0][1]}
    return {"validation_loss": float(np.mean([float(item[0].detach()) for item in found])), **metrics}


def train(part: str, corpus_folder: Path, out: Path, *, minutes: float | None = None, seed: int = 0) -> None:
    """Train a part and write its Hugging Face folder, with `run/metrics.jsonl` in it."""
    plan, corpus = PLANS[part], sm.Corpus.open(corpus_folder)
    seconds = 60 * (plan.minutes if minutes is None else minutes)
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    chance = np.random.default_rng(seed)
    model = build(config_of(part, corpus.tokenizer.vocab_size))
    start(model, corpus)
    model.train()
    named = dict(model.named_parameters())
    matrices = {k for k, p in named.items() if p.dim() == 2 and "embed" not in k and not k.startswith("pair")}
    rates = (plan.lr, plan.lr * plan.embedding_rate)
    rest = [p for k, p in named.items() if k not in matrices]
    muon = Muon([named[k] for k in named if k in matrices], lr=rates[0], weight_decay=0.05)
    adamw = torch.optim.AdamW(rest, lr=rates[1], betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    (out / "run").mkdir(parents=True, exist_ok=True)
    begun, steps, tokens = time.monotonic(), 0, 0
    with (out / "run" / "metrics.jsonl").open("w", encoding="utf-8") as log:
        while (progress := (time.monotonic() - begun) / seconds) < 1:
            shape = min(1.0, (steps + 1) / plan.warmup_steps)
            shape *= min(1.0, (1 - progress) / (1 - plan.decay_from))
            for optimiser, rate in zip((muon, adamw), rates, strict=True):
                optimiser.param_groups[0]["lr"] = rate * shape
            loss, _, count = loss_of(model, corpus, "train", chance, plan, progress)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimiser in (muon, adamw):
                optimiser.step()
                optimiser.zero_grad()
            steps, tokens = steps + 1, tokens + count
            if steps % plan.log_every == 0:
                record = {"step": steps, "tokens": tokens, "seconds": round(time.monotonic() - begun)}
                record |= {"loss": round(float(loss.detach()), 4), **validate(model, corpus, plan)}
                print(json.dumps(record), file=log, flush=True)
    save(part, model, corpus, out, {"steps": steps, "tokens": tokens})


def save(part: str, model: Transformer, corpus: sm.Corpus, out: Path, facts: dict[str, Any]) -> None:
    """Write the Hugging Face folder, and what made it."""
    special = {role: getattr(corpus.tokenizer, f"{role}_id") for role in ROLES}
    write_model(out, model, special=special)
    corpus.tokenizer.save(out, kind=part)
    write_json(out / "run" / "plan.json", {"part": part, **asdict(PLANS[part]), **facts})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the default encoder or decoder.")
    parser.add_argument("part", choices=list(PLANS))
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float)
    given = parser.parse_args()
    train(given.part, given.corpus, given.out, minutes=given.minutes)
