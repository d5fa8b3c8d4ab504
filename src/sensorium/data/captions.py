"""Short texts as a tower of texts reads them: framed by the tokenizer's special tokens, cut, padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from tokenizers import processors
from torch import Tensor

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import ConfigError

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Captions:
    """How texts become tokens.

    Args:
        tokenizer: puts the special tokens around a text that it was saved with.
        context: the most tokens, special ones included.
        full: pad every text to `context` (SigLIP), not only to the longest of a batch.

    Raises:
        ConfigError: the context leaves no room for text.
    """

    tokenizer: Tokenizer
    context: int
    full: bool = False

    def __post_init__(self) -> None:
        if sum(map(len, self._around)) >= self.context:
            raise ConfigError(f"a context of {self.context} tokens leaves no room for text", fix="Raise text.context")

    @property
    def _around(self) -> tuple[list[int], list[int]]:
        """Special tokens before and after a text."""
        encoding = self.tokenizer.encoding("a")
        places = [place for place, text in enumerate(encoding.sequence_ids) if text is not None]
        if not places:  # the tokenizer knows no letter a
            return encoding.ids[:1], encoding.ids[1:]
        return encoding.ids[: places[0]], encoding.ids[places[-1] + 1 :]

    def ids(self, texts: Sequence[str]) -> list[Ids]:
        """The tokens of each text; what it holds is text, even where it looks like a special token."""
        before, after = self._around
        room = self.context - len(before) - len(after)
        return [
            np.array([*before, *ids[:room], *after], dtype=np.int64) for ids in self.tokenizer.encode_raw(list(texts))
        ]

    def batch(
        self, texts: Sequence[Ids], device: torch.device | str = "cpu"
    ) -> tuple[Int[Tensor, "batch seq"], Bool[Tensor, "batch seq"]]:
        """Texts padded to one length, and where there is no padding."""
        length = self.context if self.full else max(map(len, texts))
        pad = self.tokenizer.pad_id
        ids = np.full((len(texts), length), 0 if pad is None else pad, dtype=np.int64)
        valid = np.zeros(ids.shape, dtype=bool)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = text
            valid[row, : len(text)] = True
        return torch.from_numpy(ids).to(device), torch.from_numpy(valid).to(device)


def between_ends(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that puts its begin token before a text and its end token after it, as CLIP's does.

    Raises:
        ConfigError: it has no such tokens.
    """
    copy: Any = type(tokenizer.backend).from_str(tokenizer.backend.to_str())
    bos, eos = tokenizer.special.get("bos"), tokenizer.special.get("eos")
    if bos is None or eos is None:
        raise ConfigError("the tokenizer has no begin and end tokens", fix="Train one, or give a tower of texts")
    copy.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {bos} $B {eos}",
        special_tokens=[(token, copy.token_to_id(token)) for token in (bos, eos)],
    )
    return Tokenizer(copy, dict(tokenizer.special))
