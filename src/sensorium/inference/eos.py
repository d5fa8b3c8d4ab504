"""Which tokens end a generation, gathered from everywhere that a model states it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.files import read_json


def end_tokens(tokenizer: Tokenizer, config: Mapping[str, Any], folder: Path | None = None) -> frozenset[int]:
    """End-of-sequence ids of generation_config.json, or else of config.json, and of the tokenizer.

    Raises:
        CheckpointError: generation_config.json is not a JSON object.
    """
    stated = config.get("eos_token_id")
    path = None if folder is None else folder / "generation_config.json"
    if path is not None and path.is_file():
        stated = read_json(path).get("eos_token_id", stated)
    ids = stated if isinstance(stated, list) else [stated]
    return frozenset(id for id in (*ids, tokenizer.eos_id) if isinstance(id, int))
