"""A model that is trained further, whatever its size: its weights stay, and its head is another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from sensorium.core.config import ModelConfig
from sensorium.core.model import Encoder, build, initialise
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, CheckpointError, InputError
from sensorium.families.checkpoint import family_of, read_model
from sensorium.families.heads import Task, carried
from sensorium.files import StrPath
from sensorium.inference.open import locate
from sensorium.training.recipe import Recipe

_OF_LABELS = ("classes.", "tags.")
"""Parts whose rows are labels."""


@dataclass(frozen=True, eq=False)
class Given:
    """An encoder and its tokenizer."""

    folder: Path
    encoder: Encoder
    tokenizer: Tokenizer
    family: ModuleType

    @classmethod
    def open(cls, init: StrPath | None, recipe: Recipe) -> Given:
        """Open the model that a recipe takes.

        Args:
            init: a model folder, or the name of a bundled model.
            recipe: what it is trained for.

        Raises:
            InputError: none is given, or there is none.
            CapabilityError: it is no encoder of a family that the core knows.
            CheckpointError: it cannot be read.
        """
        kind = recipe.objective.kind
        if init is None:
            raise InputError(
                f"objective.kind={kind!r} trains a model that is given",
                fix="Add --init MODEL, a folder or default:encoder",
            )
        folder = locate(init)[0]
        if not folder.is_dir():
            raise CapabilityError("is no model folder", where=str(folder), fix="Give the folder of an encoder")
        loaded = read_model(folder)
        family = family_of(loaded.config)
        if not isinstance(loaded.model, Encoder) or family is None or not hasattr(family, "for_task"):
            raise CapabilityError(
                f"{loaded.architecture} is no encoder, and objective.kind={kind!r} trains one",
                where=str(init),
                fix="Give a BERT, RoBERTa, DistilBERT or ModernBERT by --init",
            )
        tokenizer = Tokenizer.from_folder(folder)
        vocabulary = loaded.model.config.stack.embed.vocab_size
        if tokenizer.vocab_size > vocabulary:
            raise CheckpointError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the model only {vocabulary}",
                where=str(folder),
                fix="Put the tokenizer files that belong to this model into the folder",
            )
        return cls(folder, loaded.model, tokenizer, family)

    def fit(self, recipe: Recipe) -> Recipe:
        """The recipe with sequences that are no longer than the model takes."""
        context = self.encoder.config.stack.context
        if context is None or context >= recipe.batch.seq_len:
            return recipe
        return replace(recipe, batch=replace(recipe.batch, seq_len=context))

    def fresh(self, task: Task) -> tuple[str, ...]:
        """Parts of the encoder with a task's head that start from fresh weights: none if it has the head already."""
        with torch.device("meta"):
            model = build(self._config(task))
        known = self._known(task)
        new = [name for name, p in model.named_parameters() if name not in known or known[name].shape != p.shape]
        return tuple(dict.fromkeys(name.rpartition(".")[0] for name in new))

    def notes(self, recipe: Recipe, task: Task) -> tuple[str, ...]:
        """What a reader should know: what is new in the model, and what of the recipe it does not allow."""
        fresh = self.fresh(task)
        new = f"{' and '.join(fresh)} start from fresh weights" if fresh else "its head is the given model's"
        told = [f"the model is {self.folder}; {new}"]
        length = self.fit(recipe).batch.seq_len
        if length < recipe.batch.seq_len:
            told.append(f"it takes {length} tokens, so batch.seq_len is {length}")
        return tuple(told)

    def with_head(self, task: Task) -> Encoder:
        """The encoder with the head of a task; fresh weights are drawn with PyTorch's global generator."""
        model = build(self._config(task))
        if not isinstance(model, Encoder):
            raise TypeError("an encoder with another head is an encoder")
        initialise(model)
        known = self._known(task)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in known and known[name].shape == parameter.shape:
                    parameter.copy_(known[name])
        return model

    def _config(self, task: Task) -> ModelConfig:
        """A pooler goes where nothing reads it, as in the stock classes: else it would be saved as it came."""
        config: ModelConfig = self.family.for_task(self.encoder.config, task)
        reads = config.classes is not None and config.classes.pooling == "pooler"
        return replace(config, pooler=config.pooler and reads)

    def _known(self, task: Task) -> dict[str, Tensor]:
        """Weights that stay: all but those of other labels."""
        same = self.encoder.config.labels == task.labels
        known: dict[str, Tensor] = {
            name: parameter
            for name, parameter in self.encoder.named_parameters()
            if same or not name.startswith(_OF_LABELS)
        }
        tables = (self.family.keymap(config, "") for config in (self.encoder.config, self._config(task)))
        return {new: known[old] for new, old in carried(*tables).items() if old in known} | known
