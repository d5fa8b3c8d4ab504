"""What a run would do, from a sample: how fast each stage is, what it keeps, and what all of it would take.

The sample is the beginning of some files, spread over the input, and goes through everything that the run itself would
do, in a temporary folder. What a sample cannot tell: how many duplicates there are across all of the input.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sensorium.data.prepare import learn
from sensorium.data.prepare.arrow import read_arrow
from sensorium.data.prepare.build import Choices, after, built
from sensorium.data.prepare.chain import text_bytes
from sensorium.data.prepare.engine import Engine
from sensorium.data.prepare.executor import Here
from sensorium.data.prepare.finish import Left, Wanted, collect, seconds, tokenised
from sensorium.data.prepare.reading import CUT, Reading, parts_of
from sensorium.data.prepare.units import Part, Unit, in_units
from sensorium.data.prepare.work import Work
from sensorium.data.sample import Ledger
from sensorium.data.stages import Stage
from sensorium.data.tokens.train import DEFAULT, given_folder, parse_spec
from sensorium.errors import InputError
from sensorium.files import StrPath

SAMPLES = 8
"""Files, or spans of files, that are looked into."""
SAMPLE = 1 << 20
"""Characters that are read of each."""
_PACKED, _RATIO = {".gz", ".zst", ".xz", ".bz2"}, 3.0
"""What a packed file becomes, where its end was not seen."""


@dataclass(frozen=True, kw_only=True)
class StageRate:
    """How a stage does on the sample."""

    name: str
    megabytes_per_second: float
    """On one core."""
    kept: float
    """Share of the documents that it was handed."""
    dropped: Mapping[str, int]
    """Documents by rule."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run would do."""

    files: int
    """And spans of files."""
    bytes: int
    """Of the files."""
    text_bytes: int
    """Of the text in them, estimated."""
    sampled: int
    """Bytes of text that were looked at."""
    stages: Sequence[StageRate]
    """Reading, each stage, and tokenizing."""
    kept: float
    """Share of the text that is left."""
    workers: int
    seconds: float
    """For everything, with so many workers, estimated."""
    disk: int
    """Bytes that the run and the corpus need at most, estimated."""
    memory: int
    """Bytes of all processes, estimated."""


def plan(
    inputs: StrPath | Sequence[StrPath],
    *,
    choices: Choices | None = None,
    stages: Sequence[Stage] | None = None,
    against: Sequence[StrPath] = (),
    tokenizer: StrPath | None = None,
    column: str = "text",
    encoding: str | None = None,
    workers: int = 1,
) -> Plan:
    """Try a run on a sample.

    Args:
        inputs: as for `prepare`, but for standard input.
        choices: what the stages are built of, as by the arguments of `prepare`.
        stages: or the stages themselves.
        against: corpora whose documents count as seen before.
        tokenizer: as for `prepare`.
        column: the table column or JSON key that holds the text.
        encoding: of all text.
        workers: processes that the estimate is for.

    Raises:
        InputError: an argument is wrong, an input is missing or a pipe.
        DataError: nothing of the sample is left.
    """
    paths = list(inputs) if isinstance(inputs, Sequence) and not isinstance(inputs, str) else [inputs]
    pipeline = after(built(choices or Choices()) if stages is None else list(stages), against)
    given = given_folder(tokenizer)
    spec = None if given is not None else parse_spec(str(tokenizer or DEFAULT))
    ledger = Ledger()
    parts = parts_of(paths, ledger)
    if any(part.path == "-" for part in parts):
        raise InputError("a sample cannot be taken of standard input", fix="Name files, or leave --plan out")
    with TemporaryDirectory(prefix="sensorium-plan-") as name:
        engine = Engine(
            work=Work(Path(name), Path(name)),
            units=in_units(_spread(parts)),
            executor=Here(),
            strict=False,
            show_progress=False,
        )
        segments = engine.segments(pipeline, Reading(column, strict=False, limit=SAMPLE, encoding=encoding), 0)
        engine.run(segments)
        left = collect(engine, segments, 0.0, ledger)
        begun = time.perf_counter()
        step = tokenised(engine, left, Wanted(given=given, spec=spec, exact=False), strict=False, keep_text=False)
        training = time.perf_counter() - begun
        took = seconds(engine, segments[0], left, step)
        training = max(0.0, training - took["tokenizing"])
        remaining = _remaining(left)
        disk = sum(path.stat().st_size for path in Path(name).rglob("*") if path.is_file())
    sampled = left.accounts[0].bytes_in if left.accounts else remaining
    kept = remaining / sampled
    total = _text_bytes(parts, engine.units, sampled, ledger)
    learned = min(1.0, learn.LEARNED_FROM / max(1, total)) if spec is not None else 0.0
    scale = total / sampled
    return Plan(
        files=len(parts),
        bytes=sum(part.size for part in parts),
        text_bytes=total,
        sampled=sampled,
        stages=_rates(left.accounts, took, sampled, remaining),
        kept=kept,
        workers=workers,
        seconds=scale * (sum(took.values()) / workers + training * learned),
        disk=round(2 * disk * scale),
        memory=(workers + 1) * _memory(),
    )


def _spread(parts: Sequence[Part]) -> list[Part]:
    """Some of the parts, evenly spread over them."""
    count = min(SAMPLES, len(parts))
    return [parts[(2 * place + 1) * len(parts) // (2 * count)] for place in range(count)]


def _text_bytes(parts: Sequence[Part], units: Sequence[Unit], sampled: int, ledger: Ledger) -> int:
    """Bytes of text in all files. Where the sample is whole files, they are as much text to the byte as those; else
    plain files are text from end to end, and packed ones what such files usually unpack to."""
    seen = [part for unit in units for part in unit.parts]
    if not ledger.counts[CUT]:
        return round(sampled * sum(part.size for part in parts) / max(1, sum(part.size for part in seen)))
    return int(sum(part.size * (_RATIO if Path(part.path).suffix.lower() in _PACKED else 1.0) for part in parts))


def _remaining(left: Left) -> int:
    """Bytes of text that all stages leave; without a stage, of what was read."""
    if left.accounts:
        return left.accounts[-1].bytes_out
    return sum(text_bytes(batch) for _, path in left.staged.units for batch in read_arrow(path))


def _rates(accounts: Sequence[Any], took: Mapping[str, float], sampled: int, remaining: int) -> list[StageRate]:
    def rate(name: str, handed: int) -> float:
        return handed / 1e6 / max(took[name], 1e-6)

    rates = [StageRate(name="reading", megabytes_per_second=rate("reading", sampled), kept=1.0, dropped={})]
    for account in accounts:
        rates.append(
            StageRate(
                name=account.name,
                megabytes_per_second=rate(account.name, account.bytes_in),
                kept=account.documents_out / account.documents_in if account.documents_in else 1.0,
                dropped=dict(account.dropped),
            )
        )
    last = rate("tokenizing", remaining)
    return [*rates, StageRate(name="tokenizing", megabytes_per_second=last, kept=1.0, dropped={})]


def _memory() -> int:
    """Bytes that this process has needed at most; a worker needs about as much."""
    import resource
    import sys

    peak = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return peak if sys.platform == "darwin" else peak * 1024
