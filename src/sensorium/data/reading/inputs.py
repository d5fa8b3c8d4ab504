"""All documents of whatever is given: the plain way to read, for those who need no processes and no spans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sensorium.data.reading.files import read_file
from sensorium.data.reading.listing import list_files, names_of
from sensorium.data.reading.noted import whole
from sensorium.data.reading.packed import LIMITS, Limits
from sensorium.data.reading.places import STANDARD_INPUT, Place
from sensorium.data.sample import Ledger, Sample
from sensorium.files import StrPath


def read_inputs(
    inputs: Sequence[StrPath],
    ledger: Ledger,
    *,
    column: str = "text",
    encoding: str | None = None,
    limits: Limits = LIMITS,
) -> Iterator[Sample]:
    """All documents of all inputs, in the order given; folders in the order of their sorted paths.

    A file that cannot be read to its end gives none.

    Args:
        inputs: files, folders, URLs for fsspec, or "-" for standard input as one plain text.
        ledger: receives counts, files with their hashes, and problems.
        column: the column of tables and the key of JSON Lines that holds the text.
        encoding: of all text, whatever it looks like.
        limits: what compressed files may unpack to.

    Raises:
        InputError: an input does not exist, or its format is not known.
        DataError: a table has no such column; in strict mode, any unusable file or row.
        CapabilityError: a package that reads such files is not installed.
    """
    files = list_files(inputs, ledger)
    for file, name in zip(files, names_of(files, inputs), strict=True):

        def read(ledger: Ledger, file: Place = file, name: str = name) -> Iterator[Sample]:
            return read_file(file, ledger, column=column, encoding=encoding, name=name, limits=limits)

        yield from read(ledger) if file == STANDARD_INPUT else whole(read, ledger)
