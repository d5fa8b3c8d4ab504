"""Stock encoder–decoders of `transformers` as an engine: whatever `AutoModelForSeq2SeqLM` opens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.inference.engine import Capability, Ids, Logits, Rows, right_padded
from sensorium.inference.seq2seq_facts import Seq2SeqFacts
from sensorium.inference.transformers_engine import cache_key
from sensorium.inference.unable import Unable


class TransformersSeq2SeqEngine(Unable):
    """A stock model that reads one sequence and writes another.

    Args:
        model: an `AutoModelForSeq2SeqLM`.
        tokenizer: the model's.
        facts: how its decoder is started and searched.
        source: where it came from.
    """

    name = "transformers"
    causal = False
    capabilities: frozenset[Capability] = frozenset({"translate", "generate"})

    def __init__(self, model: Any, tokenizer: Tokenizer, *, facts: Seq2SeqFacts, source: str) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.facts = facts
        self.source = source
        self.eos_ids = facts.eos_ids
        self.device = model.device
        self.context = self.target_context = _context(model.config)

    @torch.inference_mode()
    def read(self, sources: Sequence[Ids], capacity: int, beams: int = 1) -> tuple[StockState, Logits]:
        """See `Seq2SeqEngine`. The stock cache grows as needed, whatever the capacity."""
        ids, valid = right_padded(sequences=sources, fill=self.facts.pad_id or 0)
        ids, valid = ids.to(self.device), valid.long().to(self.device)
        hidden = self.model.get_encoder()(input_ids=ids, attention_mask=valid).last_hidden_state
        state = StockState(self.model, hidden, valid, beams)
        return state, state.step([self.facts.start] * len(sources))

    def prefill(self, sequences: Sequence[Ids], capacity: int) -> tuple[StockState, Logits]:
        """See `Engine`: the prompts are the sources."""
        return self.read(sequences, capacity)

    @torch.inference_mode()
    def cross_attention(self, source: Ids, target: Ids) -> Float[Tensor, "layers targets sources"]:
        """See `Seq2SeqEngine`."""
        before = self.model.config._attn_implementation
        self.model.set_attn_implementation("eager")
        try:
            out = self.model(
                input_ids=torch.tensor([list(source)], device=self.device),
                decoder_input_ids=torch.tensor([[self.facts.start, *target[:-1]]], device=self.device),
                output_attentions=True,
                use_cache=False,
            )
        finally:
            self.model.set_attn_implementation(before)
        return torch.cat(out.cross_attentions).float().mean(1).cpu()


class StockState:
    """Rows in the middle of being written, with the stock cache."""

    def __init__(self, model: Any, hidden: Tensor, valid: Tensor, beams: int) -> None:
        self._model = model
        self._hidden, self._valid = hidden, valid
        self._beams = beams
        """Rows that each row will be once the first are chosen."""
        self._cache: Any = None
        self._key = cache_key(model) or "past_key_values"

    @torch.inference_mode()
    def step(self, tokens: Rows) -> Logits:
        """See `State`."""
        out = self._model(
            encoder_outputs=(self._hidden,),
            attention_mask=self._valid,
            decoder_input_ids=torch.as_tensor(tokens, device=self._hidden.device)[:, None],
            use_cache=True,
            **{self._key: self._cache},
        )
        self._cache = out[self._key]
        return out.logits[:, -1].float()  # type: ignore[no-any-return]

    @torch.inference_mode()
    def keep(self, rows: Rows) -> None:
        """See `State`."""
        kept = torch.as_tensor(rows, device=self._hidden.device) // self._beams
        self._beams = 1
        self._hidden, self._valid = self._hidden[kept], self._valid[kept]
        self._cache.reorder_cache(kept)


def _context(config: Any) -> int | None:
    size = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    return int(size) if size else None
