"""A fresh model, of the size that a recipe says."""

from __future__ import annotations

from typing import Any

from sensorium.core.model import AnyConfig, Transformer, build
from sensorium.data.corpus import ParallelShards
from sensorium.data.loading.mixing import Mixture
from sensorium.data.shards import TokenShards
from sensorium.errors import ConfigError
from sensorium.families import bart, bert, distilbert, gpt2, llama, marian, modernbert, roberta, t5
from sensorium.objectives.objective import Split
from sensorium.training.recipe import Recipe
from sensorium.training.source import Source
from sensorium.training.start import start


def build_model(recipe: Recipe, source: Source) -> Transformer:
    """A model with fresh weights.

    Args:
        recipe: says of what size and kind it is.
        source: what it will be trained on.

    Raises:
        ConfigError: the recipe describes no model, or the corpus has a vocabulary for each side.
    """
    read, written = (one.backend.get_vocab() for one in (source.tokenizer, source.tokenizer.target))
    if read != written:
        raise ConfigError(
            "the corpus has a vocabulary for each side, a fresh model has one for both",
            where=str(source.folder),
            fix="Train the model that the tokenizer is from, by --init, or prepare the pairs without --tokenizer",
        )
    model = build(model_config(recipe, source.tokenizer.vocab_size, pad_id=source.tokenizer.pad_id or 0))
    start(model, _predicted(source.train))
    return model


def _predicted(split: Split) -> TokenShards | Mixture | None:
    """The text whose tokens are predicted, where it is one."""
    text = split.target if isinstance(split, ParallelShards) else split
    return text if isinstance(text, TokenShards | Mixture) else None


def model_config(recipe: Recipe, vocab_size: int, *, pad_id: int = 0) -> AnyConfig:
    """The model that a recipe describes, for a vocabulary and its padding, from which RoBERTa counts positions.

    Raises:
        ConfigError: the recipe describes none.
    """
    model, pairs = recipe.fresh, recipe.objective.pairs != "none"
    shared: dict[str, Any] = {
        "vocab_size": vocab_size,
        "dim": model.dim,
        "layers": model.layers,
        "heads": model.heads,
        "feedforward": model.feedforward,
        "context": model.context,
        "dropout": model.dropout,
    }
    both = {**shared, "attention_dropout": model.dropout}
    match model.family:
        case "llama":
            return llama.sized(**shared, kv_heads=model.kv_heads)
        case "gpt2":
            return gpt2.sized(**both, embed_dropout=model.dropout)
        case "bert":
            return bert.sized(**both, pooler=pairs, pair=pairs)
        case "roberta":
            return roberta.sized(**both, pad_id=pad_id)
        case "distilbert":
            return distilbert.sized(**both)
        case "modernbert":
            return modernbert.sized(**shared)
        case "marian":
            return marian.sized(**shared, decoder_layers=model.decoder_layers)
        case "bart":
            return bart.sized(**both, decoder_layers=model.decoder_layers)
        case "t5":
            del shared["context"]
            return t5.sized(**shared, head_dim=model.dim // model.heads, decoder_layers=model.decoder_layers)
