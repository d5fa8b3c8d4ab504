"""The special tokens of a run's model: which of the tokenizer's it starts and ends with, and those that are added."""

from __future__ import annotations

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from sensorium.data.tokens.tokenizer import ROLES, Tokenizer
from sensorium.errors import ConfigError
from sensorium.families import bart, marian, t5
from sensorium.families.checkpoint import LoadedModel
from sensorium.inference.seq2seq_facts import read_facts
from sensorium.objectives.denoising import SENTINELS, sentinel
from sensorium.training.recipe import ModelRecipe

_START = "decoder_start_token_id"
_FAMILIES = {"bart": bart, "marian": marian, "t5": t5}


def special_ids(tokenizer: Tokenizer) -> dict[str, int | None]:
    """Role → id, None where there is no such token."""
    return {role: tokenizer.special_id(role) for role in ROLES}


def decoder_start(model: ModelRecipe, tokenizer: Tokenizer, given: LoadedModel | None) -> int:
    """The token that a decoder's text follows on: what the given model says, else what its family usually takes.

    Raises:
        ConfigError: the tokenizer has no such token.
        CheckpointError: the given model names none.
        CapabilityError: its settings for generation ask for what the core does not have.
    """
    if given is not None:
        stated = {key: value for key, value in given.generation.items() if value is not None}
        return read_facts({**given.config, **stated}).start
    roles = [role for role in _FAMILIES[model.family].SPECIAL[_START] if role in ROLES]
    ids = special_ids(tokenizer)
    found = next((id for role in roles if (id := ids[role]) is not None), None)
    if found is None:
        raise ConfigError(
            f"model.family={model.family!r} starts its decoder with [{roles[0].upper()}], which the tokenizer lacks",
            fix="Prepare with another tokenizer, or set another model.family",
        )
    return found


def with_sentinels(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with the tokens that stand for spans, behind its others if it has none: the ids that a corpus was
    prepared with stay. As in T5's vocabularies the first span's has the highest id."""
    if tokenizer.id(sentinel(0)) is not None:
        return tokenizer
    backend = Backend.from_str(tokenizer.backend.to_str())
    backend.add_special_tokens(
        [AddedToken(sentinel(number), special=True, normalized=False) for number in reversed(range(SENTINELS))]
    )
    return Tokenizer(backend, dict(tokenizer.special), tokenizer.chat_template)
