"""The plain filters that every run has: documents that are too short, and those in another script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sensorium.data.language import SCRIPTS, script
from sensorium.data.stages import TEXT

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Length:
    """Drops documents that are empty or too short.

    Args:
        min_characters: of the shortest document that stays; an empty one never does.
        name: of the stage, in reports.
    """

    min_characters: int = 1
    name: str = "length"

    def judge(self, batch: pa.RecordBatch) -> pa.Array:
        """Which are `empty` or `too short`."""
        import pyarrow as pa
        import pyarrow.compute as pc

        lengths = pc.utf8_length(batch.column(TEXT))
        none = pa.scalar(None, pa.string())
        short = pc.if_else(pc.less(lengths, self.min_characters), "too short", none)
        return pc.if_else(pc.equal(lengths, 0), "empty", short)


@dataclass(frozen=True, kw_only=True)
class InScripts:
    """Keeps documents in the scripts of some languages.

    It does not tell English from French: both are written in Latin letters.

    Args:
        languages: of `sensorium.data.language.SCRIPTS`.
        name: of the stage, in reports.
    """

    languages: tuple[str, ...]
    name: str = "script"

    def judge(self, batch: pa.RecordBatch) -> pa.Array:
        """Which are in `another script`."""
        import pyarrow as pa

        wanted = {SCRIPTS[language] for language in self.languages}
        texts = batch.column(TEXT).to_pylist()
        return pa.array([None if script(text) in wanted else "another script" for text in texts], pa.string())
