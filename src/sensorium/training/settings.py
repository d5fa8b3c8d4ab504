"""What the loop asks of a recipe, whatever it trains."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from sensorium.training.recipe import OptimRecipe, RunRecipe, ScheduleRecipe


@runtime_checkable
class Settings(Protocol):
    """How long, how fast, how much at a time."""

    @property
    def title(self) -> str:
        """What is trained, in a word or two, for the progress bar."""

    @property
    def budget(self) -> int:
        """The most that a batch holds, in what the objective's `size` counts: tokens, rows."""

    @property
    def accumulate(self) -> int:
        """Batches of one step."""

    @property
    def optim(self) -> OptimRecipe: ...

    @property
    def schedule(self) -> ScheduleRecipe: ...

    @property
    def run(self) -> RunRecipe: ...

    def to_dict(self) -> dict[str, Any]:
        """As JSON, to tell whether a run that is gone on with is the same."""
