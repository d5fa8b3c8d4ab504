"""Sensorium: build your own language model, from raw files to a served and understood checkpoint.

    import sensorium as sm

    sm.prepare("books/", out="corpus")
    sm.train("corpus", recipe="bert-mini", out="runs/bert")
    sm.load("runs/bert").fill_mask("This is a [MASK] example.")

Importing this package imports nothing heavy: each name is fetched from its module at its first use.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "prepare": "sensorium.data.prepare.prepare",
    "prepare_parallel": "sensorium.data.parallel.prepare",
    "Corpus": "sensorium.data.shards",
    "ParallelCorpus": "sensorium.data.corpus",
    "Tokenizer": "sensorium.data.tokens.tokenizer",
    "train": "sensorium.training.train",
    "Run": "sensorium.training.train",
    "load_recipe": "sensorium.training.recipe",
    "give_eyes": "sensorium.training.caption",
    "align": "sensorium.training.align",
    "pretrain": "sensorium.training.pretrain_senses",
    "fuse": "sensorium.training.fuse",
    "FusedHandle": "sensorium.tasks.fused",
    "FusedRun": "sensorium.training.fuse",
    "load": "sensorium.tasks.load",
    "AlignedModel": "sensorium.tasks.aligned",
    "LanguageModel": "sensorium.tasks.model",
    "evaluate": "sensorium.tasks.evaluate",
    "backtranslate": "sensorium.tasks.backtranslate",
    "verify": "sensorium.inference.fixtures",
    "tour": "sensorium.tour.tour",
    "SensoriumError": "sensorium.errors",
}

__all__ = [
    "AlignedModel",
    "Corpus",
    "FusedHandle",
    "FusedRun",
    "LanguageModel",
    "ParallelCorpus",
    "Run",
    "SensoriumError",
    "Tokenizer",
    "__version__",
    "align",
    "backtranslate",
    "evaluate",
    "fuse",
    "give_eyes",
    "load",
    "load_recipe",
    "prepare",
    "prepare_parallel",
    "pretrain",
    "tour",
    "train",
    "verify",
]

if TYPE_CHECKING:
    from sensorium.data.corpus import ParallelCorpus as ParallelCorpus
    from sensorium.data.parallel.prepare import prepare_parallel as prepare_parallel
    from sensorium.data.prepare.prepare import prepare as prepare
    from sensorium.data.shards import Corpus as Corpus
    from sensorium.data.tokens.tokenizer import Tokenizer as Tokenizer
    from sensorium.errors import SensoriumError as SensoriumError
    from sensorium.inference.fixtures import verify as verify
    from sensorium.tasks.aligned import AlignedModel as AlignedModel
    from sensorium.tasks.backtranslate import backtranslate as backtranslate
    from sensorium.tasks.evaluate import evaluate as evaluate
    from sensorium.tasks.fused import FusedHandle as FusedHandle
    from sensorium.tasks.load import load as load
    from sensorium.tasks.model import LanguageModel as LanguageModel
    from sensorium.tour.tour import tour as tour
    from sensorium.training.align import align as align
    from sensorium.training.caption import give_eyes as give_eyes
    from sensorium.training.fuse import FusedRun as FusedRun
    from sensorium.training.fuse import fuse as fuse
    from sensorium.training.pretrain_senses import pretrain as pretrain
    from sensorium.training.recipe import load_recipe as load_recipe
    from sensorium.training.train import Run as Run
    from sensorium.training.train import train as train


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sensorium' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """A verb may have the name of the package that it lives in: `sensorium.tour` is always the verb.

    Python binds every subpackage to its parent when it is first imported, which would hide the verb.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
