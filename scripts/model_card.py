"""The card beside each of the default model's weights: what it is, what it learnt from, what it measures."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

_WHAT = {
    "encoder": (
        "A small BERT for English and Chinese: masked language model and next-sentence prediction.",
        "fill-mask",
        'sm.load("default:encoder").fill_mask("This is a [MASK] example.")',
    ),
    "decoder": (
        "A small Llama for English and Chinese: causal language model.",
        "text-generation",
        'sm.load("default:decoder").generate("Once upon a time", temperature=0.8, seed=0)',
    ),
}
_PACKAGES = {
    "austen": "r-cran-janeaustenr (Debian): Jane Austen's novels",
    "wordnet": "wordnet-base (Debian): WordNet 3.0 definitions and examples, © Princeton University",
    "python-docs": "python3.11-doc (Debian), © Python Software Foundation",
    "gnome-help": "gnome-user-docs (Debian), © the GNOME documentation project",
    "libreoffice-help": "libreoffice-help-en-us, -zh-cn (Debian), © The Document Foundation",
    "debian-handbook": "debian-handbook (Debian), © Raphaël Hertzog, Roland Mas",
    "poetry": "chinese-poetry 2.0.1 (npm): classical Chinese poems and prose",
}


def card(part: str, work: Path, measured: dict[str, dict[str, float]]) -> str:
    """The card of one part, in Markdown."""
    what, task, code = _WHAT[part]
    return "\n".join(
        [
            "---", "license: apache-2.0", "language: [en, zh]", f"pipeline_tag: {task}", "library_name: transformers",
            "---", "",
            f"# Sensorium default {part}", "", what, "", "```python", "import sensorium as sm", "", code, "```", "",
            "Stock `transformers` opens this folder too. Weights are stored as fp16 and computed in fp32.", "",
            "## Held-out text", "", *_measured(part, measured), "",
            "## Training text", "", *_sources(work / "text"), "",
            "One byte-level BPE tokenizer of 8,192 tokens serves both languages and both models.", "",
            "## How it was made", "", *_training(work / part), "",
            "Limits: it has seen some million tokens of manuals, dictionary entries, novels and classical poems. It",
            "knows the shape of these texts and hardly any facts, repeats itself, and carries the attitudes of its",
            "sources. It is there to try the tools with, not to be relied on.", "",
            "The weights are given under Apache-2.0, as the code is. None of the texts comes with them; the texts are",
            "their authors', under the licences named above.", "",
        ]
    )  # fmt: skip


def _measured(part: str, measured: dict[str, dict[str, float]]) -> list[str]:
    if part == "decoder":
        rows = ["| language | documents | bytes | bits per byte | xz -9 on the same text |", "|---|---|---|---|---|"]
        return rows + [
            f"| {lang} | {m['documents']:,} | {m['bytes']:,} | {m['bits_per_byte']} | {m['xz_bits_per_byte']} |"
            for lang, m in measured.items()
        ]
    rows = ["| language | documents | masked accuracy | masked loss | commonest token |", "|---|---|---|---|---|"]
    return rows + [
        f"| {lang} | {m['documents']:,} | {m['masked_accuracy']:.1%} | {m['masked_loss']} "
        f"| {m['commonest_token']:.1%} |"
        for lang, m in measured.items()
    ]


def _sources(folder: Path) -> list[str]:
    sizes: dict[tuple[str, str], int] = defaultdict(int)
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as rows:
            for line in rows:
                row = json.loads(line)
                name = next(name for name in _PACKAGES if row["source"].startswith(name))
                sizes[name, row["licence"]] += len(row["text"].encode())
    rows = ["| taken from | licence | MB |", "|---|---|---|"]
    return rows + [f"| {_PACKAGES[name]} | {licence} | {size / 1e6:.1f} |" for (name, licence), size in sizes.items()]


def _training(run: Path) -> list[str]:
    facts: dict[str, Any] = json.loads((run / "sensorium.json").read_text(encoding="utf-8"))
    recipe, done = facts["recipe"], facts["run"]
    shape = ", ".join(f"{key} {value}" for key, value in recipe["model"].items() if value is not None)
    return [
        f"`python -m scripts.build_default` makes it again: `sensorium.train` with the recipe `default-{run.name}`,",
        f"{done['steps']:,} steps over {done['tokens']:,} tokens, {done['seconds'] / 60:.0f} minutes on one core of a",
        f"small machine, {recipe['batch']['seq_len']} tokens at a time.",
        f"{facts['parameters']:,} parameters: {shape}.",
    ]  # fmt: skip
