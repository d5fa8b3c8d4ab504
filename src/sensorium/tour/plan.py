"""What a tour works with: its text, its recipes, its prompts. The defaults are `sensorium tour`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_ASSETS = Path(__file__).parents[1] / "assets"
BUNDLED = _ASSETS / "corpus"
SECONDS = 360
"""The most that the default plan may take on two cores."""


class Strings(NamedTuple):
    """Texts to translate; the first is looked at more closely."""

    source: str
    target: str
    texts: tuple[str, ...]


class Term(NamedTuple):
    """A text with a word in it that must be translated so."""

    text: str
    term: str
    said: str


class Asked(NamedTuple):
    """A question, and the right answer."""

    question: str
    right: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings of a tour."""

    corpus: Path = BUNDLED
    """A folder of text with a SOURCES.md that names its files and their licences."""
    tokenizer: str = "bpe:8000"
    validation: float = 0.02
    encoder: tuple[str, ...] = (
        "model.context=32",
        "batch.seq_len=32",
        "objective.mask_rate=0.3",
        "optim.lr=6e-3",
        "optim.muon_lr=6e-3",
        "optim.beta2=0.95",
        "schedule.kind=wsd",
        "schedule.decay=0.4",
        "run.max_minutes=2.4",
        "run.steps=1000000",
        "run.eval_every=80",
    )
    """Overrides of the recipe `bert-tiny`. Its window is short: each learned position then sees more of the text, and
    the encoder finds out in minutes that neighbours matter, for which it takes several times as long at 128."""
    decoder: tuple[str, ...] = (
        "batch.seq_len=256",
        "run.max_minutes=1.2",
        "run.steps=1000000",
        "run.eval_every=80",
    )
    """Overrides of the recipe `llama-tiny`, trained at the whole length of its context."""
    masks: tuple[str, ...] = (
        "It is a [MASK] day.",
        "She was very [MASK] to see him.",
        "This is a [MASK] example.",
        "床前明[MASK]光。",
        "春[MASK]不觉晓。",
        "山[MASK]水复疑无路。",
    )
    prompts: tuple[str, ...] = ("It was a truth", "Emma was", "春风", "明月")
    new_tokens: int = 60
    translator: str = "default:translate"
    strings: tuple[Strings, ...] = (
        Strings(
            "en",
            "zh",
            (
                "Insert a table into the document",
                "Open the file",
                "Save As",
                "Print preview",
                "Select the cells that you want to format.",
                "Delete %s?",
                "Cannot open the file {name}.",
            ),
        ),
        Strings("zh", "en", ("在文档中插入表格", "打开文件", "字体大小", "选择要打印的页面。", "无法打开文件 %s。")),
    )
    """By direction. What the translator does not know is named, and passed over."""
    terms: tuple[Term, ...] = (
        Term("Open the spreadsheet", "spreadsheet", "试算表"),
        Term("Delete the slide", "slide", "投影片"),
    )
    """In the first direction."""
    answerer: str = "default:answer"
    book: Path = BUNDLED / "austen.jsonl.gz"
    """A file of text; all of it is the context of every question."""
    questions: tuple[Asked, ...] = (
        Asked("When was Sir Walter Elliot born?", "1760"),
        Asked("What was the only book that Sir Walter Elliot ever took up for his own amusement?", "the Baronetage"),
        Asked("Where did the family of Dashwood live?", "Sussex"),
        Asked("How many children had Mr. Morland?", "ten"),
        Asked("Who is the owner of Pemberley?", "Mr. Darcy"),
        Asked("Who lives at Rosings?", "Lady Catherine de Bourgh"),
    )
    aligned: str = "default:align"
    pictures: Path = _ASSETS / "pictures" / "pictures.zip"
    """An archive with names.json, which names each picture in some languages, and the pictures."""
    digits: Path = _ASSETS / "digits" / "digits.zip"
    """An archive with digits.csv: columns image, sound, voice, digit; and the files that it names."""
    fusion: str = "concat"
    """How features are fused."""
    fuse: tuple[str, ...] = (
        "picture.size=24",
        "picture.patch=6",
        "picture.dim=64",
        "picture.layers=2",
        "picture.feedforward=128",
        "sound.dim=64",
        "sound.layers=2",
        "sound.feedforward=128",
        "optim.lr=2e-3",
        "augment.crop=0.85",
        "run.epochs=1000",
        "run.max_minutes=0.5",
        "run.eval_every=1000000",
    )
    """Settings of `sensorium fuse`."""
