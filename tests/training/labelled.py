"""A tiny encoder that is given, and small tasks that it can learn by heart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers as hf

from sensorium.data.tokens.train import parse_spec, train_tokenizer

PEOPLE, TOWNS = ("Anna", "Bert", "Carl", "Dora"), ("Paris", "Rome", "Oslo", "Lima")
SHORT = ["optim.lr=5e-3", "schedule.warmup=5", "run.epochs=100", "run.eval_every=1000", "run.save_every=1000",
         "batch.tokens=512", "batch.seq_len=64"]  # fmt: skip
"""Settings that overfit a tiny model."""


def sentences() -> list[tuple[str, str, str]]:
    """Every person in every town."""
    return [(person, town, f"{person} went to {town} in {1990 + i + j}.")
            for i, person in enumerate(PEOPLE) for j, town in enumerate(TOWNS)]  # fmt: skip


def encoder(folder: Path, kind: str = "bert") -> Path:
    """A stock masked language model of random weights, with a tokenizer."""
    folder.mkdir(parents=True)
    texts = [f"{text} Where did she go? When? Who?" for *_, text in sentences()]
    # Each word is a token: what is tried here is learning, and not reading.
    tokenizer = train_tokenizer(lambda: iter(texts), parse_spec("wordpiece:400"), exact=False).for_kind("encoder")
    tokenizer.save(folder, kind="encoder", context=64)
    torch.manual_seed(0)
    shape: dict[str, Any] = {"vocab_size": tokenizer.vocab_size, "pad_token_id": tokenizer.pad_id}
    if kind == "distilbert":
        config: Any = hf.DistilBertConfig(
            dim=32, n_layers=1, n_heads=2, hidden_dim=64, max_position_embeddings=64, **shape
        )
        hf.DistilBertForMaskedLM(config).save_pretrained(folder)
        return folder
    shape |= {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    if kind == "roberta":
        config = hf.RobertaConfig(max_position_embeddings=66 + tokenizer.pad_id, type_vocab_size=1, **shape)
        hf.RobertaForMaskedLM(config).save_pretrained(folder)
    elif kind == "modernbert":
        config = hf.ModernBertConfig(
            max_position_embeddings=64, cls_token_id=tokenizer.cls_id, sep_token_id=tokenizer.sep_id,
            bos_token_id=None, eos_token_id=None, local_attention=16, **shape,
        )  # fmt: skip
        hf.ModernBertForMaskedLM(config).save_pretrained(folder)
    else:
        hf.BertForMaskedLM(hf.BertConfig(max_position_embeddings=64, **shape)).save_pretrained(folder)
    return folder


def questions(path: Path, *, impossible: bool = False) -> Path:
    """SQuAD JSON: who, where and when; and who ate, which nothing tells."""
    articles = []
    for number, (person, town, context) in enumerate(sentences()):
        asked = [("Who?", person), ("Where did she go?", town), ("When?", context.split()[-1].rstrip("."))]
        qas: list[dict[str, Any]] = [
            {"id": f"{number}-{text}", "question": text, "is_impossible": False,
             "answers": [{"text": answer, "answer_start": context.index(answer)}]} for text, answer in asked
        ]  # fmt: skip
        if impossible:
            qas.append({"id": f"{number}-no", "question": "in in in?", "is_impossible": True, "answers": []})
        articles.append({"title": str(number), "paragraphs": [{"context": context, "qas": qas}]})
    path.write_text(json.dumps({"version": "2.0", "data": articles}), encoding="utf-8")
    return path


def reviews(path: Path) -> Path:
    """A table whose label is the town."""
    rows = [{"text": text, "label": town} for _, town, text in sentences()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def names(path: Path) -> Path:
    """Lines of words and tags."""
    lines = []
    for person, town, _ in sentences():
        lines += [f"{person} B-PER", "went O", "to O", f"{town} B-LOC", ". O", ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path
