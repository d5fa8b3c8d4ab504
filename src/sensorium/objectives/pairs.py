"""What all objectives of encoder-decoders share: a source to read, a target to write, and the loss of the target.

Sources and targets of a batch lie end to end in a row each, source i beside target i, so no length costs padding
and a batch is as many examples as its budget of both sides' tokens holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sensorium.core.count import training_flops
from sensorium.core.encoder_decoder import EncoderDecoder
from sensorium.core.model import AnyConfig, Transformer
from sensorium.core.pack import Packed, pack
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, ConfigError
from sensorium.objectives.cross_entropy import linear_cross_entropy_sums, smoothed_cross_entropy
from sensorium.objectives.objective import Ids, Loss, joined


@dataclass(frozen=True, eq=False)
class PairExample:
    """A source, and what is to be written."""

    source: Ids
    target: Ids
    """What the decoder reads: the token that starts it, then the targets but the last."""
    targets: Ids
    """What it is to predict at each of these."""
    n_bytes: int = 0
    """UTF-8 bytes of the text that is written; 0 where it is no text."""


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Examples laid end to end."""

    source: Packed
    target: Packed
    targets: Int[Tensor, " n"]
    n_bytes: int

    @property
    def tokens(self) -> int:
        return int(self.source.ids.shape[1] + self.target.ids.shape[1])


class Ends:
    """The special tokens that a tokenizer puts around a text for an encoder-decoder, as ids.

    Args:
        tokenizer: of the sources, with that of the targets at its `target`; both must end a text.
        start: the decoder's first token.

    Raises:
        ConfigError: a tokenizer has no token that ends a text.
        CapabilityError: the tokenizer marks each text with its language, as mBART's, NLLB's and M2M's do.
    """

    def __init__(self, tokenizer: Tokenizer, *, start: int) -> None:
        _refuse_marks(tokenizer)
        self._source, self._target = _around(tokenizer), _around(tokenizer.target)
        self._start = np.array([start])

    @property
    def size(self) -> int:
        """Tokens around a text, at most."""
        return max(len(before) + len(after) for before, after in (self._source, self._target))

    def example(self, source: Ids, target: Ids, *, n_bytes: int = 0) -> PairExample:
        """A source and a target with all that stands around them."""
        read, written = (
            np.concatenate((before, ids, after))
            for ids, (before, after) in ((source, self._source), (target, self._target))
        )
        return PairExample(read, np.concatenate((self._start, written[:-1])), written, n_bytes)


def _around(tokenizer: Tokenizer) -> tuple[Ids, Ids]:
    """The special tokens before a text and after it."""
    if tokenizer.eos_id is None:
        raise ConfigError("an encoder-decoder needs a tokenizer with [EOS]", fix="Prepare with another one")
    encoding = tokenizer.for_kind("seq2seq").encoding("a")
    text = [i for i, sequence in enumerate(encoding.sequence_ids) if sequence is not None]
    ids = np.array(encoding.ids, dtype=np.int64)
    return (ids[: text[0]], ids[text[-1] + 1 :]) if text else (ids[:0], ids)


def _refuse_marks(tokenizer: Tokenizer) -> None:
    """A source's mark names one language, a target's another; a corpus does not say by which names."""
    marks = {tokenizer.id(token) for token in tokenizer.languages.values()}
    mark = next((id for id in tokenizer.encode("") if id in marks), None)
    if mark is not None:
        raise CapabilityError(
            f"the tokenizer marks each text with its language ({tokenizer.token(mark)}), and models with such a"
            " tokenizer, mBART and NLLB among them, are not trained",
            fix="Prepare the corpus with another tokenizer, and train a marian, bart or t5",
        )


class TwoStacks:
    """The part of an objective that `PairExample` and `PairBatch` decide.

    Args:
        lengths: tokens of a source and of a target on average, which tell how much there is to compute.
        smoothing: share of each target that is spread over the vocabulary.
    """

    def __init__(self, *, lengths: tuple[float, float], smoothing: float = 0.0) -> None:
        self._lengths = lengths
        self._smoothing = smoothing

    def size(self, example: PairExample) -> int:
        """The tokens of both sides."""
        return len(example.source) + len(example.target)

    def collate(self, examples: Sequence[PairExample], device: torch.device | str = "cpu") -> PairBatch:
        """Examples laid end to end."""
        return PairBatch(
            source=pack([example.source for example in examples], device=device),
            target=pack([example.target for example in examples], device=device),
            targets=joined([example.targets for example in examples], device),
            n_bytes=sum(example.n_bytes for example in examples),
        )

    def flops(self, config: AnyConfig) -> float:
        """A token of either side has its share of a pair of average lengths."""
        source, target = (max(1, round(length)) for length in self._lengths)
        return training_flops(config, length=target, source_length=source) * target / (source + target)

    def loss(self, model: Transformer, batch: PairBatch) -> Loss:
        """Mean cross-entropy of the target's tokens; `loss` among its parts is that without smoothing.

        Raises:
            ConfigError: the model is no encoder-decoder.
        """
        inputs = _two_stacks(model).language_inputs(_hidden(model, batch))
        total, plain = smoothed_cross_entropy(*inputs, batch.targets, smoothing=self._smoothing)
        return Loss(total, {"loss": plain})

    @torch.inference_mode()
    def evaluate(self, model: Transformer, batches: Iterator[PairBatch], n_bytes: int) -> dict[str, float]:
        """Loss in nats a token of the target, without smoothing; perplexity, accuracy, and bits per byte of the text
        that is written, where it is text. Nothing of nothing."""
        nats, correct, count, written = 0.0, 0, 0, 0
        for batch in batches:
            inputs = _two_stacks(model).language_inputs(_hidden(model, batch))
            part, right = linear_cross_entropy_sums(*inputs, batch.targets)
            nats, correct, count = nats + part, correct + right, count + len(batch.targets)
            written += batch.n_bytes
        if not count:
            return {}
        mean = nats / count
        metrics = {"loss": mean, "perplexity": math.exp(min(mean, 700.0)), "accuracy": correct / count}
        return metrics | ({"bits_per_byte": nats / math.log(2) / written} if written else {})


def _two_stacks(model: Transformer) -> EncoderDecoder:
    if not isinstance(model, EncoderDecoder):
        raise ConfigError("a source and a target need an encoder-decoder", fix="Set model.family to marian, bart or t5")
    return model


def _hidden(model: Transformer, batch: PairBatch) -> Float[Tensor, "n dim"]:
    """Of the targets."""
    hidden = model(
        batch.source.ids,
        batch.target.ids,
        source_lengths=batch.source.lengths,
        target_lengths=batch.target.lengths,
    )
    return hidden[0]  # type: ignore[no-any-return]
