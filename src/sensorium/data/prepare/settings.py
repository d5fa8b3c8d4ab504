"""What decides the bytes of a corpus."""

from __future__ import annotations

from dataclasses import dataclass

from sensorium.data.cleaning.text import UnicodeForm


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides the corpus; stands in its manifest."""

    column: str
    encoding: str | None
    form: UnicodeForm
    languages: tuple[str, ...] | None
    min_characters: int
    validation: float
    seed: int
    tokenizer: str
    strict: bool
    stages: tuple[str, ...]
    """Each stage with its settings, in their order."""
    keep_text: bool
    keep_keys: bool
