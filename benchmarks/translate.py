"""Translating 2,000 sentences with beam 4, fp32: against `transformers` `generate` and CTranslate2.

    python -m benchmarks.translate [--model FOLDER] [--table TSV] [--to zh] [--count 2000] [--rounds 3]

The model is the one of several directions that `translation_quality.py` trained, and the sentences are the English
side of its test table; others may be named. All three run the same weights with the same beam and length limit.
`generate` gets its best: sentences sorted by length, the fastest of several batch sizes, chosen in a trial on a part of
them. CTranslate2 sorts and batches by itself.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import Comparison, report
from benchmarks.translation_quality import read
from scripts.fetch import cache_folder
from sensorium.data.corpus import language_token

BEAMS, LONGEST, TRIAL = 4, 128, 128
BATCHES = (8, 16, 32, 64)
ROUNDS = 3


def stock(folder: Path, texts: list[str], batch: int) -> list[str]:
    """Translations of `transformers`, in the order of the texts."""
    import torch

    model, tokenizer = _stock(folder)
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    found: dict[int, str] = {}
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        inputs = tokenizer([texts[i] for i in rows], return_tensors="pt", padding=True)
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            out = model.generate(**inputs, num_beams=BEAMS, max_new_tokens=LONGEST, do_sample=False)
        found.update(zip(rows, tokenizer.batch_decode(out, skip_special_tokens=True), strict=True))
    return [found[i] for i in range(len(texts))]


_LOADED: dict[Path, Any] = {}


def _stock(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    if folder not in _LOADED:
        model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
        _LOADED[folder] = model, AutoTokenizer.from_pretrained(folder)
    return _LOADED[folder]


def ctranslate(folder: Path, work: Path) -> Callable[[list[str]], list[str]] | None:
    """CTranslate2 over the same weights; None where it is not installed.

    Its own reading of Marian takes the last token for padding and starts from a zero embedding, as the models of
    Helsinki do. Ours start from the embedding of [PAD], token 0: so it is read as the BART that it is otherwise.
    """
    try:
        import ctranslate2
        from ctranslate2.converters import TransformersConverter, transformers
    except ImportError:
        return None
    import torch

    class Loader(transformers.BartLoader):
        architecture_name = "MarianMTModel"

        def get_model_spec(self, model: Any) -> Any:
            model.config.normalize_before = model.config.normalize_embedding = False
            return super().get_model_spec(model)

        def set_config(self, config: Any, model: Any, tokenizer: Any) -> None:
            config.eos_token, config.unk_token = tokenizer.eos_token, tokenizer.unk_token
            config.decoder_start_token = tokenizer.pad_token

    transformers._MODEL_LOADERS["MarianConfig"] = Loader()
    TransformersConverter(str(folder)).convert(str(work / "ct2"))
    translator = ctranslate2.Translator(
        str(work / "ct2"), device="cpu", compute_type="float32", inter_threads=1, intra_threads=torch.get_num_threads()
    )
    _, tokenizer = _stock(folder)

    def run(texts: list[str]) -> list[str]:
        tokens = [tokenizer.convert_ids_to_tokens(ids) for ids in tokenizer(texts)["input_ids"]]
        results = translator.translate_batch(
            tokens,
            beam_size=BEAMS,
            max_decoding_length=LONGEST,
            max_batch_size=2048,
            batch_type="tokens",
            suppress_sequences=[[tokenizer.pad_token]],
        )
        return [
            tokenizer.decode(tokenizer.convert_tokens_to_ids(r.hypotheses[0]), skip_special_tokens=True)
            for r in results
        ]

    return run


def measure(folder: Path, texts: list[str], to: str, n_rounds: int) -> None:
    """Load all, compare their texts, time them in turn."""
    import sensorium as sm

    lm, sign = sm.load(folder), language_token(to)

    def ours(marked: list[str]) -> list[str]:
        bare = [text.removeprefix(sign) for text in marked]  # it puts the token of the language there itself
        found = lm.translate(bare, target=to, beam=BEAMS, max_new_tokens=LONGEST, keep_placeholders=False)
        return [one.text for one in found]

    texts = [f"{sign}{text}" for text in texts]
    trial = texts[:: max(1, len(texts) // TRIAL)][:TRIAL]
    batch = max(BATCHES, key=lambda size: _rate(lambda some: stock(folder, some, size), trial)[0])
    sides: dict[str, Callable[[list[str]], list[str]]] = {
        "ours": ours,
        f"transformers `generate`, batch {batch}": lambda some: stock(folder, some, batch),
    }
    with tempfile.TemporaryDirectory() as work:
        if (run := ctranslate(folder, Path(work))) is not None:
            sides["CTranslate2"] = run
        for side in sides.values():
            side(trial[:16])
        rounds = [{name: _rate(side, texts) for name, side in sides.items()} for _ in range(n_rounds)]
    ours = tuple(one["ours"][0] for one in rounds)
    peers = {name: Comparison(ours, tuple(one[name][0] for one in rounds)) for name in sides if name != "ours"}
    same = {name: sum(a == b for a, b in zip(rounds[0]["ours"][1], rounds[0][name][1], strict=True)) for name in peers}
    report(
        f"Translating {len(texts):,} sentences, beam {BEAMS}, fp32",
        peers=peers,
        unit="sentences/s",
        targets=[3.0, 0.8][: len(peers)],
        notes=[f"{count:,} of {len(texts):,} texts are those of {name}" for name, count in same.items()],
    )


def _rate(side: Callable[[list[str]], list[str]], texts: list[str]) -> tuple[float, list[str]]:
    start = time.perf_counter()
    out = side(texts)
    return len(texts) / (time.perf_counter() - start), out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    trained = cache_folder() / "benchmarks" / "translation-zh"
    parser.add_argument("--model", type=Path, default=trained / "ours")
    parser.add_argument("--table", type=Path, default=trained / "test.en-zh.tsv", help="package, English, translation")
    parser.add_argument("--to", default="zh")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    if not given.model.is_dir():
        sys.exit(f"{given.model} is not there: run benchmarks.translation_quality first, or name another by --model")
    measure(given.model, [row[1] for row in read(given.table)][: given.count], given.to, given.rounds)
