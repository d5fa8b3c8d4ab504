"""Make the bundled models: fetch what they learn from, prepare it, train them, store them, measure them.

    python -m scripts.build_default [--work FOLDER] [--only STAGE]

Each stage leaves a folder under the working folder and is skipped where that is there, so that the command may be
stopped and given again; a training goes on where it stopped. About two and a half hours on two cores, one model on each
(`--only encoder` and `--only decoder` side by side, with OMP_NUM_THREADS=1; likewise `translate` and `answer`), and as
long as `ALIGN_MINUTES` says for `align`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch

import sensorium as sm
from benchmarks import align_quality, answer_data, answer_quality
from benchmarks.data_emoji import tables
from scripts import default_pairs
from scripts.default_corpus import gather
from scripts.evaluate_default import evaluate, evaluate_answers, evaluate_translations
from scripts.fetch import cache_folder
from scripts.model_card import align_card, answer_card, card, translate_card
from sensorium.data.tokens.tokenizer import ROLES
from sensorium.families.checkpoint import read_model, write_model
from sensorium.families.senses import read_senses, write_senses
from sensorium.files import write_json
from sensorium.inference.fixtures import write_fixtures

ASSETS = Path(__file__).parents[1] / "src" / "sensorium" / "assets" / "default"
PARTS = ("encoder", "decoder")
TOKENIZER = "bpe:8192"
ALIGN_MINUTES = 12.0


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


def translate(work: Path) -> None:
    """Stage 5: LibreOffice's help in English and Chinese, and a translator of both directions."""
    pairs = work / "pairs"
    pairs.mkdir(exist_ok=True)
    corpus, _ = default_pairs.gather(pairs)
    if not (work / "translate" / "config.json").is_file():
        sm.train(corpus, recipe="default-translator", out=work / "translate", resume=True)


def answer(work: Path) -> None:
    """Stage 6: a small encoder, and questions that it learns to answer: what `benchmarks/answer_quality.py` trains."""
    questions = work / "questions"
    learned, tested = answer_data.split(questions)
    encoder = answer_quality.encoder(questions)
    if not (work / "answer" / "config.json").is_file():
        sm.train(learned, recipe="default-answerer", init=encoder, validation=tested, out=work / "answer", resume=True)


def align(work: Path) -> None:
    """Stage 7: emoji and their names in five languages, in one space: what `benchmarks/align_quality.py` trains."""
    folder = work / "emoji"
    align_quality.trained(folder, tables(folder), ALIGN_MINUTES)


def export(work: Path) -> None:
    """Stage 8: store the models for text in half precision, add fixtures, measure what was stored, write the cards."""
    for part in PARTS:
        _store(work / part, ASSETS / part)
    measured = evaluate(work / "corpus", ASSETS / "encoder", ASSETS / "decoder")
    for part in PARTS:
        write_fixtures(ASSETS / part)
        (ASSETS / part / "README.md").write_text(card(part, work, measured), encoding="utf-8")
    print(json.dumps(measured, indent=2))


def export_translate(work: Path) -> None:
    """Stage 9: the same for the translator."""
    _store(work / "translate", ASSETS / "translate")
    write_fixtures(ASSETS / "translate")
    measured = evaluate_translations(ASSETS / "translate", work / "pairs")
    (ASSETS / "translate" / "README.md").write_text(translate_card(work / "translate", measured), encoding="utf-8")


def export_answer(work: Path) -> None:
    """Stage 10: the same for the model that answers."""
    _store(work / "answer", ASSETS / "answer")
    write_fixtures(ASSETS / "answer")
    measured = evaluate_answers(ASSETS / "answer", work / "questions")
    (ASSETS / "answer" / "README.md").write_text(answer_card(work / "answer", measured), encoding="utf-8")


def export_align(work: Path) -> None:
    """Stage 11: the same for the towers of pictures and texts."""
    folder, out = work / "emoji", ASSETS / "align"
    made = tables(folder)
    run = align_quality.trained(folder, made, ALIGN_MINUTES)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    loaded, tokenizer = read_senses(run), sm.Tokenizer.from_folder(run)
    special = {role: tokenizer.special_id(role) for role in ROLES}
    write_senses(out, loaded.aligned, special=special, like=loaded, dtype=torch.float16)
    _copy_beside(run, out)
    lines = align_quality.measured(made, out)
    (out / "README.md").write_text(align_card(run, lines), encoding="utf-8")
    print("\n".join(lines))


def _store(run: Path, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    loaded = read_model(run)
    tokenizer = sm.Tokenizer.from_folder(run)
    special = {role: tokenizer.special_id(role) for role in ROLES}
    write_model(out, loaded.model, special=special, dtype=torch.float16)
    _copy_beside(run, out)


def _copy_beside(run: Path, out: Path) -> None:
    """The tokenizer, and what the run says of itself."""
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
        "translate": translate,
        "answer": answer,
        "align": align,
        "export": export,
        "export-translate": export_translate,
        "export-answer": export_answer,
        "export-align": export_align,
    }
    parser = argparse.ArgumentParser(description="Make the bundled models.")
    parser.add_argument("--work", type=Path, default=cache_folder() / "default")
    parser.add_argument("--only", choices=list(stages))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    for name, stage in stages.items():
        if given.only in (None, name):
            stage(given.work)


if __name__ == "__main__":
    main()
