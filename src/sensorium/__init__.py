"""Sensorium: build your own language model, from raw files to a served and understood checkpoint.

    import sensorium as sm

    sm.prepare("books/", out="corpus")
    sm.train("corpus", recipe="bert-mini", out="runs/bert")
    sm.load("runs/bert").fill_mask("This is a [MASK] example.")

Importing this package imports nothing heavy: each name is fetched from its module at its first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "prepare": "sensorium.data.pipeline",
    "Corpus": "sensorium.data.shards",
    "Tokenizer": "sensorium.data.tokenizer",
    "train": "sensorium.training.train",
    "Run": "sensorium.training.train",
    "load_recipe": "sensorium.training.recipe",
    "load": "sensorium.tasks.model",
    "LanguageModel": "sensorium.tasks.model",
    "verify": "sensorium.inference.fixtures",
    "SensoriumError": "sensorium.errors",
}

__all__ = [
    "Corpus",
    "LanguageModel",
    "Run",
    "SensoriumError",
    "Tokenizer",
    "__version__",
    "load",
    "load_recipe",
    "prepare",
    "train",
    "verify",
]

if TYPE_CHECKING:
    from sensorium.data.pipeline import prepare as prepare
    from sensorium.data.shards import Corpus as Corpus
    from sensorium.data.tokenizer import Tokenizer as Tokenizer
    from sensorium.errors import SensoriumError as SensoriumError
    from sensorium.inference.fixtures import verify as verify
    from sensorium.tasks.model import LanguageModel as LanguageModel
    from sensorium.tasks.model import load as load
    from sensorium.training.recipe import load_recipe as load_recipe
    from sensorium.training.train import Run as Run
    from sensorium.training.train import train as train


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sensorium' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
