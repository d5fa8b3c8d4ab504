"""The objective that a recipe names, over what it learns from."""

from __future__ import annotations

from sensorium.data.corpus import ParallelShards
from sensorium.errors import ConfigError, DataError
from sensorium.families.checkpoint import LoadedModel
from sensorium.objectives.causal import CausalObjective
from sensorium.objectives.denoising import InfillingObjective, SpanCorruptionObjective
from sensorium.objectives.masked import MaskedObjective
from sensorium.objectives.masking import Masking
from sensorium.objectives.objective import AnyObjective, Split
from sensorium.objectives.seq2seq import Seq2SeqObjective
from sensorium.training.recipe import Recipe
from sensorium.training.source import Source
from sensorium.training.special import decoder_start


def build_objective(recipe: Recipe, source: Source, given: LoadedModel | None) -> AnyObjective:
    """What a recipe's model is trained for.

    Args:
        recipe: names it.
        source: what is learned from.
        given: the model whose weights are trained on, None for a fresh one.

    Raises:
        ConfigError: the tokenizer lacks a special token that the objective needs, sequences are too short, or the
            objective learns from labelled examples.
        CheckpointError: the given model names no token that its decoder starts with.
    """
    wanted, seq_len, tokenizer = recipe.objective, recipe.batch.seq_len, source.tokenizer
    match wanted.kind:
        case "causal":
            return CausalObjective(tokenizer, seq_len=seq_len)
        case "masked":
            masking = Masking.of(tokenizer, rate=wanted.mask_rate, unit=wanted.masking)
            return MaskedObjective(tokenizer, seq_len=seq_len, masking=masking, pairs=wanted.pairs)
        case "seq2seq":
            return Seq2SeqObjective(
                tokenizer,
                seq_len=seq_len,
                start=decoder_start(recipe.fresh, tokenizer, given),
                smoothing=wanted.label_smoothing,
                lengths=_mean_lengths(source.train),
            )
        case "span_corruption":
            return SpanCorruptionObjective(
                tokenizer,
                seq_len=seq_len,
                start=decoder_start(recipe.fresh, tokenizer, given),
                rate=wanted.mask_rate,
                mean_span=wanted.mean_span,
            )
        case "infilling":
            return InfillingObjective(
                tokenizer,
                seq_len=seq_len,
                start=decoder_start(recipe.fresh, tokenizer, given),
                rate=wanted.mask_rate,
                mean_span=wanted.mean_span,
                permute=wanted.permute,
            )
        case kind:
            raise ConfigError(f"objective.kind={kind!r} learns from labelled examples, not from a corpus")


def _mean_lengths(pairs: Split) -> tuple[float, float] | None:
    """Tokens of a source and of a target, each with its end."""
    if not isinstance(pairs, ParallelShards) or not len(pairs):
        return None
    source, target = (float(side.mean()) + 1 for side in pairs.lengths)
    return source, target


def left_out(recipe: Recipe, objective: AnyObjective, split: Split) -> tuple[str, ...]:
    """What of the data is not learned from, in words.

    Raises:
        DataError: all of it.
    """
    if not isinstance(objective, Seq2SeqObjective) or not isinstance(split, ParallelShards):
        return ()
    count = objective.too_long(split)
    if count == len(split):
        raise DataError(
            f"every pair has more than batch.seq_len={recipe.batch.seq_len} tokens on a side",
            where=str(split.folder),
            fix="Raise batch.seq_len and model.context",
        )
    return (f"{count:,} of {len(split):,} pairs are longer than batch.seq_len and left out",) if count else ()
