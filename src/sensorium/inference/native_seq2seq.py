"""Our core's encoder–decoder as an engine: sources packed without padding, beams as branches of one row a source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from sensorium.core.capture import Capture
from sensorium.core.encoder_decoder import EncoderDecoder
from sensorium.core.pack import pack, pad_back
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, CheckpointError
from sensorium.families.checkpoint import read_model
from sensorium.files import StrPath
from sensorium.inference.branches import BranchState, LogitsBuffer
from sensorium.inference.engine import Capability, Ids, Logits
from sensorium.inference.seq2seq_facts import Seq2SeqFacts, read_facts
from sensorium.inference.unable import Unable


class NativeSeq2SeqEngine(Unable):
    """A model of the core that reads one sequence and writes another, and its tokenizer.

    Args:
        model: on its device, in its precision. It is put into evaluation and its gradients are turned off.
        tokenizer: the model's.
        facts: how its decoder is started and searched.
        source: where it came from, for messages.
        context: the longest sequence that it was made to read, where no table of positions says it.

    Raises:
        CheckpointError: the tokenizer has more tokens than the model.
    """

    name = "native"
    causal = False
    capabilities: frozenset[Capability] = frozenset({"translate", "generate"})

    def __init__(
        self,
        model: EncoderDecoder,
        tokenizer: Tokenizer,
        *,
        facts: Seq2SeqFacts,
        source: str,
        context: int | None = None,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.facts = facts
        self.source = source
        self.eos_ids = facts.eos_ids
        self.context = model.config.encoder.context or context
        self.target_context = model.config.decoder.context or context
        self.device = next(model.parameters()).device
        vocabulary = model.config.encoder.embed.vocab_size
        if tokenizer.vocab_size > vocabulary:
            raise CheckpointError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the model only {vocabulary}",
                where=source,
                fix="Put the tokenizer files that belong to this model into the folder",
            )
        self._buffer = LogitsBuffer(model)

    @classmethod
    def open(cls, source: StrPath, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> NativeSeq2SeqEngine:
        """Open a Hugging Face folder.

        Raises:
            CheckpointError: it is corrupt or incomplete.
            CapabilityError: the core does not know its family, or it is no encoder-decoder.
        """
        folder = Path(source)
        loaded = read_model(folder, dtype=dtype, device=device)
        if not isinstance(loaded.model, EncoderDecoder):
            raise CapabilityError("the model is no encoder-decoder", where=str(source))
        tokenizer = Tokenizer.from_folder(folder)
        facts = read_facts(loaded.config, folder, tokenizer=tokenizer)
        size = loaded.config.get("n_positions")
        context = size if isinstance(size, int) and size > 0 else None
        return cls(loaded.model, tokenizer, facts=facts, source=str(source), context=context)

    @torch.inference_mode()
    def read(self, sources: Sequence[Ids], capacity: int, beams: int = 1) -> tuple[BranchState, Logits]:
        """See `Seq2SeqEngine`. The cache grows as needed, whatever the capacity."""
        packed = pack(sources, device=self.device)
        hidden = self.model.encode(packed.ids, lengths=packed.lengths)
        lengths = torch.tensor(packed.lengths, device=self.device)
        valid = torch.arange(max(packed.lengths), device=self.device)[None] < lengths[:, None]
        memory = self.model.memory(pad_back(hidden, valid), None if bool(valid.all()) else valid)
        state = BranchState(self.model, memory, beams, self._buffer)
        return state, state.step([self.facts.start] * len(sources))

    def prefill(self, sequences: Sequence[Ids], capacity: int) -> tuple[BranchState, Logits]:
        """See `Engine`: the prompts are the sources."""
        return self.read(sequences, capacity)

    @torch.inference_mode()
    def cross_attention(self, source: Ids, target: Ids) -> Float[Tensor, "layers targets sources"]:
        """See `Seq2SeqEngine`."""
        capture = Capture(hidden=False)
        read, written = ([list(ids)] for ids in (source, (self.facts.start, *target[:-1])))
        self.model(torch.tensor(read, device=self.device), torch.tensor(written, device=self.device), capture=capture)
        return torch.cat(capture.cross).float().mean(1).cpu()
