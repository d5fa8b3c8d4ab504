"""What `prepare` checks before and says after, whether it makes a corpus of texts or of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sensorium.data.sample import Ledger
from sensorium.errors import DataError, InputError
from sensorium.files import StrPath, refuse_impossible


def check_share(validation: float, seed: int) -> None:
    """Raise where they are out of range.

    Raises:
        InputError: they are.
    """
    if not 0 <= validation < 1:
        raise InputError(f"validation={validation} is not a share from 0 to below 1", fix="Try 0.02")
    if not 0 <= seed < 1 << 63:
        raise InputError(f"seed={seed} is not a number from 0 to below 2**63", fix="Try 0")


def check_places(inputs: Sequence[StrPath], out: Path) -> None:
    """Raise where the output would lie in an input, or replace one, or where a name cannot be one.

    Raises:
        InputError: it would.
    """
    for path in (*inputs, out):
        refuse_impossible(path)
    place = out.resolve()
    for given in map(Path, inputs):
        source = given.resolve()
        if given.exists() and source.is_relative_to(place):
            raise InputError(f"the output would replace the input {given}", where=str(out), fix="Choose another --out")
        if given.is_dir() and place.is_relative_to(source):
            raise InputError(
                "the output folder lies inside an input folder", where=str(out), fix="Choose another --out"
            )


def nothing_usable(ledger: Ledger, what: str, fix: str) -> DataError:
    """The error of an input that gives nothing, with every reason.

    Args:
        ledger: what was dropped and what could not be read.
        what: what a unit of the input is called.
        fix: what to do.
    """
    reasons = [f"{count} {reason}" for reason, count in ledger.dropped.items()]
    if ledger.problems:
        first = ledger.problems[0]
        reasons.append(f"{ledger.counts['problems']} unreadable, first {first['where']}: {first['reason'].rstrip('.')}")
    return DataError(f"no usable {what} ({'; '.join(reasons) or 'the input is empty'})", fix=fix)
