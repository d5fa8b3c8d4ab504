"""Make the default model: fetch its text, prepare it, train encoder and decoder, store them, measure them.

    python -m scripts.build_default [--work FOLDER] [--only text|corpus|decoder|encoder|export]

Each stage leaves a folder under the working folder and is skipped where that is there, so that the command may be
stopped and given again; a training goes on where it stopped. About an hour on two cores, one model on each
(`--only encoder` and `--only decoder` side by side, with OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch

import sensorium as sm
from scripts.default_corpus import gather
from scripts.evaluate_default import evaluate
from scripts.fetch import cache_folder
from scripts.model_card import card
from sensorium.data.tokens.tokenizer import ROLES
from sensorium.families.checkpoint import read_model, write_model
from sensorium.files import write_json
from sensorium.inference.fixtures import write_fixtures

ASSETS = Path(__file__).parents[1] / "src" / "sensorium" / "assets" / "default"
PARTS = ("encoder", "decoder")
TOKENIZER = "bpe:8192"


def text(work: Path) -> None:
    """Stage 1: the text."""
    if not (work / "text").is_dir():
        part = work / "text.part"
        shutil.rmtree(part, ignore_errors=True)
        gather(part)
        part.rename(work / "text")


def corpus(work: Path) -> None:
    """Stage 2: one tokenizer and one corpus for both models."""
    if not (work / "corpus").is_dir():
        sm.prepare(work / "text", out=work / "corpus", tokenizer=TOKENIZER, validation=0.01)


def train(work: Path, part: str) -> None:
    """Stages 3 and 4: train by the recipes `default-encoder` and `default-decoder`."""
    if not (work / part / "config.json").is_file():
        sm.train(work / "corpus", recipe=f"default-{part}", out=work / part, resume=True)


def export(work: Path) -> None:
    """Stage 5: store in half precision, add fixtures, measure what was stored, write the cards."""
    for part in PARTS:
        _store(work / part, ASSETS / part)
    measured = evaluate(work / "corpus", ASSETS / "encoder", ASSETS / "decoder")
    for part in PARTS:
        write_fixtures(ASSETS / part)
        (ASSETS / part / "README.md").write_text(card(part, work, measured), encoding="utf-8")
    print(json.dumps(measured, indent=2))


def _store(run: Path, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    loaded = read_model(run)
    tokenizer = sm.Tokenizer.from_folder(run)
    special = {role: tokenizer.special_id(role) for role in ROLES}
    write_model(out, loaded.model, special=special, dtype=torch.float16)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(run / name, out / name)
    facts = json.loads((run / "sensorium.json").read_text(encoding="utf-8"))
    write_json(out / "sensorium.json", {key: facts[key] for key in ("sensorium", "parameters", "recipe", "run")})


def main() -> None:
    """Run the stages, or one of them."""
    stages = {
        "text": text,
        "corpus": corpus,
        "decoder": lambda work: train(work, "decoder"),
        "encoder": lambda work: train(work, "encoder"),
        "export": export,
    }
    parser = argparse.ArgumentParser(description="Make the default model.")
    parser.add_argument("--work", type=Path, default=cache_folder() / "default")
    parser.add_argument("--only", choices=list(stages))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    for name, stage in stages.items():
        if given.only in (None, name):
            stage(given.work)


if __name__ == "__main__":
    main()
