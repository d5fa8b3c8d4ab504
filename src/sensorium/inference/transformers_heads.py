"""Stock `transformers` models with a head over an encoder: answer spans, sequence classes, token tags."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.inference.engine import Capability, Ids, right_padded
from sensorium.inference.transformers_engine import context_of, first_position
from sensorium.inference.unable import Unable

_CAPABILITIES: dict[str, Capability] = {"spans": "answer", "classes": "classify", "tags": "tag"}


class TransformersHeadEngine(Unable):
    """See `HeadEngine`.

    Args:
        model: an `AutoModelForQuestionAnswering`, `...SequenceClassification` or `...TokenClassification`.
        tokenizer: the model's.
        kind: which of them.
        source: where it came from.
    """

    name = "transformers"
    causal = False

    def __init__(
        self, model: Any, tokenizer: Tokenizer, *, kind: Literal["spans", "classes", "tags"], source: str
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.source = source
        self.eos_ids = frozenset[int]()
        self.capabilities = frozenset({_CAPABILITIES[kind]})
        self.context = context_of(model.config, first_position(model))
        names = model.config.id2label
        self.labels = () if kind == "spans" else tuple(names[i] for i in range(len(names)))
        self.problem: str | None = getattr(model.config, "problem_type", None)
        self.device = model.device
        self._takes_types = "token_type_ids" in inspect.signature(model.forward).parameters

    def span_logits(
        self, sequences: Sequence[Ids], types: Sequence[Ids] | None = None
    ) -> list[Float[Tensor, "tokens 2"]]:
        """See `HeadEngine`."""
        out = self._run(sequences, types)
        both = torch.stack((out.start_logits, out.end_logits), -1).float().cpu()
        return [row[: len(sequence)] for row, sequence in zip(both, sequences, strict=True)]

    def class_logits(
        self, sequences: Sequence[Ids], types: Sequence[Ids] | None = None
    ) -> Float[Tensor, "sequences classes"]:
        """See `HeadEngine`."""
        return self._run(sequences, types).logits.float().cpu()  # type: ignore[no-any-return]

    def tag_logits(
        self, sequences: Sequence[Ids], types: Sequence[Ids] | None = None
    ) -> list[Float[Tensor, "tokens tags"]]:
        """See `HeadEngine`."""
        logits = self._run(sequences, types).logits.float().cpu()
        return [row[: len(sequence)] for row, sequence in zip(logits, sequences, strict=True)]

    @torch.inference_mode()
    def _run(self, sequences: Sequence[Ids], types: Sequence[Ids] | None) -> Any:
        ids, valid = right_padded(sequences, self.tokenizer.pad_id or 0)
        options = {}
        if types is not None and self._takes_types:
            options["token_type_ids"] = right_padded(types, 0)[0].to(self.device)
        return self.model(input_ids=ids.to(self.device), attention_mask=valid.long().to(self.device), **options)
