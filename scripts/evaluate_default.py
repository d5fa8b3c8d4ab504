"""Measure the default model on text that it was not trained on: bits per byte and masked accuracy, by language.

    python -m scripts.evaluate_default CORPUS ENCODER DECODER

The held-out text is the corpus's validation split. Beside each number stands what one gets for nothing: xz's
compression of the same text, and always naming the commonest token.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import sensorium as sm
from benchmarks import answer_data, answer_quality
from scripts import default_pairs
from sensorium.data.language import script
from sensorium.inference.engine import Engine
from sensorium.results import Measure
from sensorium.tasks.measures import answer_measures

WINDOW = 62
"""Tokens that the encoder sees at a time, with [CLS] and [SEP] the length that it was trained at."""
SHARE = 0.15
BEAMS = 4
Documents = dict[str, list[list[int]]]


def held_out(corpus: sm.Corpus) -> Documents:
    """Token ids of every validation document, by language."""
    documents: Documents = {"en": [], "zh": []}
    for index in range(len(corpus.validation)):
        ids = [int(id) for id in corpus.validation.document(index)]
        documents["zh" if script(corpus.tokenizer.decode(ids)) == "han" else "en"].append(ids)
    return documents


def bits_per_byte(engine: Engine, texts: Sequence[str]) -> float:
    """Bits that the decoder needs for each byte of the texts."""
    scores = sm.LanguageModel([engine], "").score(list(texts), method="causal")
    return sum(score.nats for score in scores) / math.log(2) / sum(score.n_bytes for score in scores)


def masked_accuracy(engine: Engine, documents: Sequence[list[int]], *, seed: int = 0) -> tuple[float, float]:
    """(share of masked tokens that the encoder names, its cross-entropy in nats); 15 % are masked, all by [MASK]."""
    tokenizer, chance = engine.tokenizer, np.random.default_rng(seed)
    right = count = 0
    nats = 0.0
    for ids in documents:
        for start in range(0, len(ids), WINDOW):
            window = ids[start : start + WINDOW]
            if len(window) < 8:
                continue
            places = sorted(chance.choice(len(window), max(1, round(SHARE * len(window))), replace=False).tolist())
            truth = torch.tensor([window[place] for place in places])
            masked = [tokenizer.mask_id if i in places else id for i, id in enumerate(window)]
            sequence = [tokenizer.cls_id, *masked, tokenizer.sep_id]
            logits = engine.masked_logits([sequence], [[place + 1 for place in places]])
            right += int((logits.argmax(-1) == truth).sum())
            nats += float(torch.nn.functional.cross_entropy(logits, truth, reduction="sum"))
            count += len(places)
    return right / count, nats / count


def commonest(documents: Sequence[list[int]]) -> float:
    """Share of the commonest token: the accuracy of always naming it."""
    counts = np.bincount(np.concatenate([np.asarray(ids) for ids in documents]))
    return float(counts.max() / counts.sum())


def evaluate(corpus_folder: Path, encoder: Path, decoder: Path) -> dict[str, dict[str, float]]:
    """Every number, by language."""
    corpus = sm.Corpus.open(corpus_folder)
    masked, causal = sm.load(encoder).engines[0], sm.load(decoder).engines[0]
    found = {}
    for lang, documents in held_out(corpus).items():
        texts = [corpus.tokenizer.decode(ids) for ids in documents]
        raw = "\n".join(texts).encode()
        accuracy, nats = masked_accuracy(masked, documents)
        found[lang] = {
            "documents": len(documents),
            "bytes": sum(len(text.encode()) for text in texts),
            "bits_per_byte": round(bits_per_byte(causal, texts), 3),
            "xz_bits_per_byte": round(8 * len(lzma.compress(raw, preset=9)) / len(raw), 3),
            "masked_accuracy": round(accuracy, 4),
            "masked_loss": round(nats, 3),
            "commonest_token": round(commonest(documents), 4),
        }
    return found


def evaluate_translations(folder: Path, work: Path) -> dict[tuple[str, str, str], tuple[Measure, ...]]:
    """(from, into, what was translated) → measures, of pairs that the translator has not seen; beam 4."""
    lm, found = sm.load(folder), {}
    corpus, others = default_pairs.gather(work)
    for name, data in ((default_pairs.LEARNED, corpus), (" and ".join(default_pairs.TESTED), others)):
        for here, there in (("en", "zh"), ("zh", "en")):
            report = sm.evaluate(lm, task="translation", data=data, source=here, target=there, options={"beam": BEAMS})
            found[here, there, name] = report.measures
    return found


def evaluate_answers(folder: Path, work: Path) -> dict[str, tuple[Measure, ...]]:
    """Exact match and F1 on each set's held-out texts."""
    _, tested = answer_data.split(work)
    outputs = sm.evaluate(folder, task="qa", data=tested).outputs
    return {name: answer_measures(*asked) for name, asked in answer_quality.by_set(tested, outputs).items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure the default model on held-out text.")
    for name in ("corpus", "encoder", "decoder"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    print(json.dumps(evaluate(given.corpus, given.encoder, given.decoder), indent=2))
