"""Batches as training takes them: one at a time, each with the place in the data that follows it.

Unusual: for a GPU the next batch is made, and moved there, in a thread while the GPU computes. What was made ahead and
not taken is no part of the place, so that a run resumes exactly.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic

import torch

from sensorium.objectives.objective import BatchT
from sensorium.objectives.order import Place
from sensorium.objectives.stream import Stream


@dataclass(frozen=True, kw_only=True, eq=False)
class Taken(Generic[BatchT]):
    """A batch, and where the stream stands around it."""

    batch: BatchT
    where: str
    """Before it, in words."""
    places: list[Place]
    """After it, in each corpus."""
    passed: list[float]
    """Epochs of each corpus, this batch included."""


class Feed(Generic[BatchT]):
    """The batches of a stream, for one device; to be used as a context, which ends what it makes ahead.

    Args:
        stream: from where it stands; nobody else may draw from it.
        device: where the batches go.
    """

    def __init__(self, stream: Stream[Any, Any, BatchT], device: torch.device) -> None:
        self._stream, self._device = stream, device
        # On a CPU the thread would only take time from the products.
        self._thread = None if device.type == "cpu" else ThreadPoolExecutor(1, "batches")
        self._ahead: Future[Taken[BatchT]] | None = None

    def __enter__(self) -> Feed[BatchT]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def take(self) -> Taken[BatchT]:
        """The next batch.

        Raises:
            DataError: the data has no unit.
        """
        if self._thread is None:
            return self._make()
        now = self._ahead or self._thread.submit(self._make)
        self._ahead = self._thread.submit(self._make)
        return now.result()

    def _make(self) -> Taken[BatchT]:
        where = self._stream.where
        batch = self._stream.next(self._device)
        return Taken(batch=batch, where=where, places=list(self._stream.places), passed=self._stream.passed)
