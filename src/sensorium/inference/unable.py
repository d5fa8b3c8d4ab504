"""What an engine answers to the calls of `Engine` that its model has no head for."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from sensorium.errors import CapabilityError
from sensorium.inference.engine import Ids, Logits, State


class Unable:
    """Every method raises `CapabilityError`; an engine overrides those that its model can do."""

    source: str

    def masked_logits(self, sequences: Sequence[Ids], positions: Sequence[Ids]) -> Float[Tensor, "masks vocab"]:
        """See `Engine`."""
        raise CapabilityError("the model has no masked logits", where=self.source)

    def logprobs(self, sequences: Sequence[Ids]) -> list[Float[Tensor, " scored"]]:
        """See `Engine`."""
        raise CapabilityError("the model gives no log-probabilities of single texts", where=self.source)

    def prefill(self, sequences: Sequence[Ids], capacity: int) -> tuple[State, Logits]:
        """See `Engine`."""
        raise CapabilityError("the model does not generate", where=self.source)
