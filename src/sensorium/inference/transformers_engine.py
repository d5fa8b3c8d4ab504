"""Stock `transformers` as an engine: every family that the core does not know, behind the same methods.

An extra. Everything of it is imported when a model is opened, and code that a model brings runs only if the caller
asks for it by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError
from sensorium.files import StrPath
from sensorium.inference.engine import Capability, Engine, Ids, Logits, Rows, left_padded, right_padded


class TransformersEngine:
    """A stock masked or causal language model.

    Args:
        model: an `AutoModelForMaskedLM` or `AutoModelForCausalLM`.
        tokenizer: the model's.
        causal: which of them.
        source: where it came from.
        eos_ids: tokens that end a generation.
    """

    name = "transformers"

    def __init__(
        self, model: Any, tokenizer: Tokenizer, *, causal: bool, source: str, eos_ids: Iterable[int] = ()
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.causal = causal
        self.source = source
        self.eos_ids = frozenset(eos_ids)
        self._first = first_position(model)
        self.context = context_of(model.config, self._first)
        self.device = model.device
        able: tuple[Capability, ...] = ("generate", "score") if causal else ("fill_mask", "score")
        self.capabilities = frozenset(able)

    @classmethod
    def open(
        cls,
        source: StrPath,
        *,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        trust_remote_code: bool = False,
    ) -> Engine:
        """Open a Hugging Face folder, with the engine of its kind.

        Raises:
            CapabilityError: `transformers` is not installed, or has no model of this kind.
            CheckpointError: it cannot read the folder.
        """
        from sensorium.inference.transformers_open import open_stock

        return open_stock(Path(source), dtype=dtype, device=device, trust_remote_code=trust_remote_code)

    @torch.inference_mode()
    def masked_logits(self, sequences: Sequence[Ids], positions: Sequence[Ids]) -> Float[Tensor, "masks vocab"]:
        """See `Engine`."""
        if self.causal:
            raise CapabilityError("a causal model has no masked logits", where=self.source)
        ids, valid = self._right_padded(sequences)
        logits = self.model(input_ids=ids, attention_mask=valid.long()).logits
        rows = [row for row, places in enumerate(positions) for _ in places]
        columns = [at for places in positions for at in places]
        return logits[rows, columns].float()  # type: ignore[no-any-return]

    @torch.inference_mode()
    def logprobs(self, sequences: Sequence[Ids]) -> list[Float[Tensor, " scored"]]:
        """See `Engine`."""
        if not self.causal:
            raise CapabilityError("an encoder gives no causal log-probabilities", where=self.source)
        ids, valid = self._right_padded(sequences)
        logits = self.model(input_ids=ids, attention_mask=valid.long()).logits[:, :-1].float()
        chosen = logits.gather(-1, ids[:, 1:, None])[..., 0] - logits.logsumexp(-1)
        return [row[: len(sequence) - 1].cpu() for row, sequence in zip(chosen, sequences, strict=True)]

    @torch.inference_mode()
    def prefill(self, sequences: Sequence[Ids], capacity: int) -> tuple[TransformersState, Logits]:
        """See `Engine`. The stock cache grows as needed, whatever the capacity."""
        if not self.causal:
            raise CapabilityError("an encoder does not generate", where=self.source)
        ids, valid = left_padded(sequences, self.tokenizer.pad_id or 0)
        mask = torch.ones_like(ids, dtype=torch.bool) if valid is None else valid
        state = TransformersState(self.model, mask.to(self.device), self._first)
        return state, state.read(ids.to(self.device))

    def _right_padded(
        self, sequences: Sequence[Ids]
    ) -> tuple[Int[Tensor, "rows longest"], Float[Tensor, "rows longest"] | Tensor]:
        ids, valid = right_padded(sequences, self.tokenizer.pad_id or 0)
        return ids.to(self.device), valid.to(self.device)


class TransformersState:
    """Rows in the middle of being decoded, with the stock cache.

    Families differ in what their forward pass takes: some have no positions (ALiBi), and a few (Mamba) no cache of
    the kind that rows can leave; those read each row anew at every step.
    """

    def __init__(self, model: Any, valid: Tensor, first: int = 0) -> None:
        self._model = model
        self._takes = inspect.signature(model.forward).parameters.keys()
        self._key = cache_key(model)
        self._valid = valid
        self._first = first
        self._cache: Any = None
        self._rows: list[Tensor] = []

    def read(self, ids: Tensor) -> Logits:
        """Append the columns of `ids`; logits after the last."""
        if self._key is None:
            return self._read_anew(ids)
        options: dict[str, Any] = {self._key: self._cache, "use_cache": True}
        if "position_ids" in self._takes:
            counted = (self._valid.long().cumsum(1) - 1).clamp(min=0)
            options["position_ids"] = self._first + counted[:, -ids.shape[1] :]
        if "logits_to_keep" in self._takes:
            options["logits_to_keep"] = 1
        out = self._model(input_ids=ids, attention_mask=self._valid.long(), **options)
        self._cache = out[self._key]
        return out.logits[:, -1].float()  # type: ignore[no-any-return]

    def _read_anew(self, ids: Tensor) -> Logits:
        parts = [row[valid] for row, valid in zip(ids, self._valid[:, -ids.shape[1] :], strict=True)]
        self._rows = [torch.cat(pair) for pair in zip(self._rows or [p[:0] for p in parts], parts, strict=True)]
        return torch.cat([self._model(input_ids=row[None]).logits[:, -1] for row in self._rows]).float()

    @torch.inference_mode()
    def step(self, tokens: Rows) -> Logits:
        """See `State`."""
        self._valid = torch.nn.functional.pad(self._valid, (0, 1), value=True)
        return self.read(torch.as_tensor(tokens, device=self._valid.device)[:, None])

    @torch.inference_mode()
    def keep(self, rows: Rows) -> None:
        """See `State`."""
        kept = torch.as_tensor(rows, device=self._valid.device)
        self._valid = self._valid[kept]
        self._rows = [self._rows[row] for row in kept.tolist()] if self._rows else []
        if self._cache is not None:
            self._cache.batch_select_indices(kept)


def cache_key(model: Any) -> str | None:
    """What a stock model calls the cache of its past, which changed in `transformers` 5; None where it has no cache
    of keys and values (Mamba)."""
    takes = inspect.signature(model.forward).parameters
    keys = () if getattr(model, "_is_stateful", False) else ("cache", "past_key_values")
    return next((key for key in keys if key in takes), None)


def first_position(model: Any) -> int:
    """The row of the position table that the first token takes: in RoBERTa's kin, the one after the padding id."""
    for name, module in model.named_modules():
        if name.rpartition(".")[2] == "position_embeddings" and getattr(module, "padding_idx", None) is not None:
            return int(module.padding_idx) + 1
    return 0


def context_of(config: Any, first: int) -> int | None:
    """The longest sequence that a stock model takes, where there is a limit."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    size = getattr(text, "max_position_embeddings", None)
    if size is None or size <= 0:
        return None
    return int(size) - first
