"""What a tour works with: its text, its recipes, its prompts. The defaults are `sensorium tour`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

BUNDLED = Path(__file__).parents[1] / "assets" / "corpus"
SECONDS = 360
"""The most that the default plan may take on two cores."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings of a tour."""

    corpus: Path = BUNDLED
    """A folder of text with a SOURCES.md that names its files and their licences."""
    tokenizer: str = "bpe:8000"
    validation: float = 0.02
    encoder: tuple[str, ...] = (
        "run.max_minutes=2.0",
        "run.steps=100000",
        "run.eval_every=100",
        "run.save_every=1000",
    )
    """Overrides of the recipe `bert-tiny`."""
    decoder: tuple[str, ...] = (
        "run.max_minutes=1.4",
        "run.steps=100000",
        "run.eval_every=100",
        "run.save_every=1000",
    )
    """Overrides of the recipe `llama-tiny`."""
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
