"""Our core as an engine: packed encoding without padding, cached decoding that follows how many rows are left.

A single sequence on the CPU decodes through `one_row`; a batch through the core with padding on the left; and when
all rows of a batch but one are done, the last one moves to a cache of its own, without the padding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sensorium.core.cache import KVCache
from sensorium.core.codes import Codes
from sensorium.core.encoder_decoder import EncoderDecoder
from sensorium.core.model import Decoder, Encoder, Transformer
from sensorium.core.pack import pack
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, CheckpointError
from sensorium.families.checkpoint import read_model
from sensorium.files import StrPath
from sensorium.inference.engine import Capability, Ids, Logits, Rows, left_padded
from sensorium.inference.eos import end_tokens
from sensorium.inference.one_row import OneRow

_LOGIT_ROWS = 256
"""Positions whose logits over the whole vocabulary are held at one time when texts are scored."""


class NativeEngine:
    """A model of the core and its tokenizer.

    Args:
        model: on its device, in its precision. It is put into evaluation and its gradients are turned off.
        tokenizer: the model's.
        source: where it came from, for messages.
        eos_ids: tokens that end a generation.
        codes: the codes of matrices that came from a quantised file, by the names of the model's parameters.

    Raises:
        CheckpointError: the tokenizer has more tokens than the model.
    """

    name = "native"

    def __init__(
        self,
        model: Encoder | Decoder,
        tokenizer: Tokenizer,
        *,
        source: str,
        eos_ids: Iterable[int] = (),
        codes: Mapping[str, Codes] | None = None,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.source = source
        self.eos_ids = frozenset(eos_ids)
        self.causal = isinstance(model, Decoder)
        self.context = model.config.stack.context
        self.capabilities = _capabilities(model)
        self.device = next(model.parameters()).device
        vocabulary = model.config.stack.embed.vocab_size
        if tokenizer.vocab_size > vocabulary:
            raise CheckpointError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the model only {vocabulary}",
                where=source,
                fix="Put the tokenizer files that belong to this model into the folder",
            )
        self._one_row = OneRow(model, codes) if isinstance(model, Decoder) and OneRow.supports(model) else None

    @classmethod
    def open(cls, source: StrPath, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> NativeEngine:
        """Open a Hugging Face folder or a .gguf file.

        Raises:
            InputError: there is no model.
            CheckpointError: it is corrupt or incomplete.
            CapabilityError: the core does not know its family, or it is an encoder-decoder.
        """
        path = Path(source)
        if path.suffix == ".gguf":
            from sensorium.families.gguf import read_gguf

            file = read_gguf(path)
            tokenizer = Tokenizer(file.tokenizer, file.special, file.chat_template)
            eos = end_tokens(tokenizer, file.config)
            model = _one_stack(file.model.to(device=device, dtype=dtype), source)
            return cls(model, tokenizer, source=str(source), eos_ids=eos, codes=file.codes)
        loaded = read_model(path, dtype=dtype, device=device)
        tokenizer = Tokenizer.from_folder(path)
        eos = end_tokens(tokenizer, loaded.config, path)
        return cls(_one_stack(loaded.model, source), tokenizer, source=str(source), eos_ids=eos)

    @torch.inference_mode()
    def masked_logits(self, sequences: Sequence[Ids], positions: Sequence[Ids]) -> Float[Tensor, "masks vocab"]:
        """See `Engine`. The sequences are packed, and only the hidden states at the positions reach the head."""
        if not isinstance(self.model, Encoder):
            raise CapabilityError("a causal model has no masked logits", where=self.source)
        packed = pack([np.asarray(sequence) for sequence in sequences], device=self.device)
        hidden = self.model(packed.ids, lengths=packed.lengths)[0]
        starts = np.cumsum((0, *packed.lengths[:-1]))
        flat = [start + at for start, places in zip(starts.tolist(), positions, strict=True) for at in places]
        return self.model.masked_logits(hidden[torch.tensor(flat, device=self.device)]).float()

    @torch.inference_mode()
    def logprobs(self, sequences: Sequence[Ids]) -> list[Float[Tensor, " scored"]]:
        """See `Engine`."""
        if not isinstance(self.model, Decoder):
            raise CapabilityError("an encoder gives no causal log-probabilities", where=self.source)
        packed = pack([np.asarray(sequence) for sequence in sequences], device=self.device)
        hidden = self.model(packed.ids, lengths=packed.lengths)[0]
        parts = []
        for states, nexts in zip(
            torch.split(hidden[:-1], _LOGIT_ROWS), torch.split(packed.ids[0, 1:], _LOGIT_ROWS), strict=True
        ):
            logits = self.model.logits(states).float()
            parts.append(logits.gather(-1, nexts[:, None])[:, 0] - logits.logsumexp(-1))
        parts.append(hidden.new_zeros(1, dtype=torch.float32))
        return [part[:-1].cpu() for part in torch.split(torch.cat(parts), list(packed.lengths))]

    @property
    def labels(self) -> tuple[str, ...]:
        """See `HeadEngine`."""
        return self.model.config.labels

    @property
    def problem(self) -> str | None:
        """See `HeadEngine`."""
        head = self.model.config.classes
        return None if head is None else head.problem

    @torch.inference_mode()
    def span_logits(
        self, sequences: Sequence[Ids], types: Sequence[Ids] | None = None
    ) -> list[Float[Tensor, "tokens 2"]]:
        """See `HeadEngine`. The sequences are packed."""
        hidden, lengths = self._read(sequences, types)
        return list(torch.split(self._encoder().span_logits(hidden[0]).float().cpu(), list(lengths)))

    @torch.inference_mode()
    def class_logits(
        self, sequences: Sequence[Ids], types: Sequence[Ids] | None = None
    ) -> Float[Tensor, "sequences classes"]:
        """See `HeadEngine`. The sequences are packed."""
        hidden, lengths = self._read(sequences, types)
        return self._encoder().class_logits(hidden, lengths=lengths).float().cpu()

    @torch.inference_mode()
    def tag_logits(
        self, sequences: Sequence[Ids], types: Sequence[Ids] | None = None
    ) -> list[Float[Tensor, "tokens tags"]]:
        """See `HeadEngine`. The sequences are packed."""
        hidden, lengths = self._read(sequences, types)
        return list(torch.split(self._encoder().tag_logits(hidden[0]).float().cpu(), list(lengths)))

    def _read(
        self, sequences: Sequence[Ids], types: Sequence[Ids] | None
    ) -> tuple[Float[Tensor, "1 total dim"], tuple[int, ...]]:
        packed = pack([np.asarray(sequence) for sequence in sequences], device=self.device)
        typed = types is not None and self.model.config.stack.embed.n_types > 1
        segments = pack([np.asarray(part) for part in types], device=self.device).ids if typed and types else None
        return self._encoder()(packed.ids, types=segments, lengths=packed.lengths), packed.lengths

    def _encoder(self) -> Encoder:
        if not isinstance(self.model, Encoder):
            raise CapabilityError("only an encoder has heads for spans, classes and tags", where=self.source)
        return self.model

    @torch.inference_mode()
    def prefill(self, sequences: Sequence[Ids], capacity: int) -> tuple[NativeState, Logits]:
        """See `Engine`."""
        if not isinstance(self.model, Decoder):
            raise CapabilityError("an encoder does not generate", where=self.source)
        ids, valid = left_padded(sequences, self.tokenizer.pad_id or 0)
        state = NativeState(self.model, self._one_row, valid, len(sequences), capacity)
        return state, state.read(ids)


class NativeState:
    """Rows in the middle of being decoded, in a cache whose columns are the same for all of them."""

    def __init__(self, model: Decoder, one_row: OneRow | None, valid: Tensor | None, rows: int, capacity: int) -> None:
        weight = model.stack.embed.tokens.weight
        self._model = model
        self._one_row = one_row
        self._device = weight.device
        self._cache = KVCache(model.config.stack, rows, capacity, dtype=weight.dtype, device=weight.device)
        self._valid: Tensor | None = None
        if valid is not None:
            self._valid = torch.ones(rows, capacity, dtype=torch.bool)
            self._valid[:, : valid.shape[1]] = valid
            self._valid = self._valid.to(weight.device)

    def read(self, ids: Tensor) -> Logits:
        """Append the columns of `ids`; logits after the last."""
        end = self._cache.length + ids.shape[1]
        valid = None if self._valid is None else self._valid[:, :end]
        hidden = self._model(ids.to(self._device), valid=valid, cache=self._cache)
        return self._model.logits(hidden[:, -1]).float()

    @torch.inference_mode()
    def step(self, tokens: Rows) -> Logits:
        """See `State`."""
        if self._one_row is not None and self._valid is None and len(tokens) == 1:
            return torch.from_numpy(self._one_row.step(int(tokens[0]), self._cache))[None]
        return self.read(torch.as_tensor(tokens)[:, None])

    @torch.inference_mode()
    def keep(self, rows: Rows) -> None:
        """See `State`."""
        kept = torch.as_tensor(rows, device=self._device)
        self._cache.keep(kept)
        if self._valid is None:
            return
        self._valid = self._valid[kept]
        padding = int((~self._valid).sum(1).min())
        if padding:
            self._drop_columns(padding)
        if bool(self._valid.all()):
            self._valid = None

    def _drop_columns(self, count: int) -> None:
        """Remove the leading columns, which are padding in every row."""
        cache = self._cache
        cache.keys = [keys[:, :, count:].contiguous() for keys in cache.keys]
        cache.values = [values[:, :, count:].contiguous() for values in cache.values]
        cache.capacity -= count
        cache.length -= count
        if self._valid is not None:
            self._valid = self._valid[:, count:]


def _one_stack(model: Transformer, source: StrPath) -> Encoder | Decoder:
    if isinstance(model, EncoderDecoder):
        raise CapabilityError("is an encoder-decoder", where=str(source), fix="Open it with NativeSeq2SeqEngine")
    return model


def _capabilities(model: Encoder | Decoder) -> frozenset[Capability]:
    if isinstance(model, Decoder):
        return frozenset({"generate", "score"} if model.language is not None else ())
    heads: dict[Capability, object] = {
        "fill_mask": model.language,
        "score": model.language,
        "answer": model.spans,
        "classify": model.classes,
        "tag": model.tags,
    }
    return frozenset(name for name, head in heads.items() if head is not None)
