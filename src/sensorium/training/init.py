"""`--init`: a model of any size that is trained further on a corpus of its vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sensorium.core.config import EncoderDecoderConfig, ModelConfig, StackConfig
from sensorium.core.model import AnyConfig
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, CheckpointError
from sensorium.families.checkpoint import LoadedModel, family_of, read_model
from sensorium.files import StrPath
from sensorium.inference.open import locate
from sensorium.training.recipe import ModelRecipe, Recipe
from sensorium.training.source import Source

_OF_TWO_STACKS = ("seq2seq", "span_corruption", "infilling")
_SAME = {"kv_heads": "heads", "decoder_layers": "layers"}
_HAS_TOKENIZER = ("tokenizer.json", "vocab.txt", "vocab.json", "source.spm", "spiece.model", "sentencepiece.bpe.model")


def open_init(init: StrPath, recipe: Recipe, source: Source) -> LoadedModel:
    """The model of a folder, which must do what the recipe trains for, and read the corpus's tokens.

    Args:
        init: a model folder, or the name of a bundled model.
        recipe: what it is trained for.
        source: what it is trained on.

    Raises:
        InputError: there is no such model.
        CapabilityError: it has not what the objective trains, or its family is not one that is trained.
        CheckpointError: it cannot be read, or has another vocabulary than the corpus.
    """
    folder = locate(init)[0]
    if not folder.is_dir():
        raise CapabilityError("is no model folder", where=str(folder), fix="Give a Hugging Face folder")
    loaded = read_model(folder)
    missing = _missing(loaded.model.config, recipe)
    if missing:
        raise CapabilityError(
            f"{loaded.architecture} has no {missing}, which objective.kind={recipe.objective.kind!r} trains",
            where=str(init),
            fix="Give another model, or choose the recipe by what the model is",
        )
    _check_vocabulary(loaded, folder, source, str(init))
    return loaded


def _missing(config: AnyConfig, recipe: Recipe) -> str:
    """What the objective needs and the model lacks."""
    kind = recipe.objective.kind
    if isinstance(config, EncoderDecoderConfig):
        return "" if kind in _OF_TWO_STACKS else "stack that stands alone"
    if kind in _OF_TWO_STACKS:
        return "decoder beside its encoder"
    if config.stack.causal != (kind == "causal"):
        return "causal attention" if kind == "causal" else "attention in both directions"
    if config.language is None:
        return "language model's head"
    if recipe.objective.pairs != "none" and not config.n_pair_classes:
        return "head for sentence pairs"
    return ""


def _check_vocabulary(loaded: LoadedModel, folder: Path, source: Source, where: str) -> None:
    """A model may have rows to spare, as T5's are padded, where its own tokenizer is the corpus's."""
    fix = f"Prepare the corpus with --tokenizer {where}"
    vocabulary, expected = _stacks(loaded.model.config)[0].embed.vocab_size, source.tokenizer.vocab_size
    own = Tokenizer.from_folder(folder) if any((folder / name).is_file() for name in _HAS_TOKENIZER) else None
    if vocabulary < expected or (vocabulary != expected and (own is None or own.vocab_size != expected)):
        raise CheckpointError(
            f"the model's vocabulary has {vocabulary} tokens, the corpus's {expected}", where=where, fix=fix
        )
    if own is not None and any(a != b for a, b in zip(_tokens(own), _tokens(source.tokenizer), strict=True)):
        raise CheckpointError("the model's tokens are others than the corpus's", where=where, fix=fix)


def _tokens(tokenizer: Tokenizer) -> tuple[dict[str, int], dict[str, int]]:
    """Of what is read, and of what is written."""
    return tokenizer.backend.get_vocab(), tokenizer.target.backend.get_vocab()


def fit(recipe: Recipe, loaded: LoadedModel, overrides: Sequence[str], where: StrPath) -> Recipe:
    """The recipe with the model's own numbers, and sequences that are no longer than it takes.

    Args:
        recipe: has those of a fresh model.
        loaded: the model that is trained instead.
        overrides: what was asked for besides: of the model, only what it is.
        where: it came from, for messages.

    Raises:
        CheckpointError: another size is asked for than the model has.
    """
    first, last = _stacks(loaded.model.config)
    family = family_of(loaded.config)
    attention = last.blocks[0].attention
    contexts = [stack.context for stack in (first, last) if stack.context is not None]
    context = min(contexts, default=recipe.fresh.context)
    model = ModelRecipe(
        family=recipe.fresh.family if family is None else family.__name__.rpartition(".")[2],  # type: ignore[arg-type]
        dim=last.dim,
        layers=len(first.blocks),
        heads=attention.n_heads,
        feedforward=last.blocks[0].feedforward.width,
        context=context,
        kv_heads=attention.n_kv_heads if attention.n_kv_heads != attention.n_heads else None,
        decoder_layers=len(last.blocks) if len(last.blocks) != len(first.blocks) else None,
        dropout=max(last.embed.dropout, last.blocks[0].dropout, attention.dropout),
    )
    for key in (text.partition("=")[0].strip() for text in overrides):
        name = key.removeprefix("model.")
        asked, found = (_number(one, name) for one in (recipe.fresh, model)) if name != key else (None, None)
        if asked != found:
            raise CheckpointError(
                f"{key}={asked!r} is not what the given model has: {found!r}",
                where=str(where),
                fix=f"Leave {key} out; the model's size is what it is",
            )
    batch = replace(recipe.batch, seq_len=min(recipe.batch.seq_len, context))
    return replace(recipe, model=model, batch=batch)


def _number(model: ModelRecipe, name: str) -> object:
    """A model's number, where one that is left out is another's."""
    found = getattr(model, name)
    if found is None and name in _SAME:
        return getattr(model, _SAME[name])
    return found


def _stacks(config: AnyConfig) -> tuple[StackConfig, StackConfig]:
    """The stack that reads and the one that writes; twice the same where there is one."""
    if isinstance(config, ModelConfig):
        return config.stack, config.stack
    return config.encoder, config.decoder
