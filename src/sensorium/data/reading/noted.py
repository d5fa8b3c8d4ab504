"""What the ledger is told of files: that they are there, how they are written, and of damaged ones only that."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from pathlib import Path

from sensorium.data.reading.encoding import HEAD, EncodingError, find_encoding, written
from sensorium.data.reading.packed import open_packed
from sensorium.data.reading.places import UnreadableError
from sensorium.data.reading.streams import BLOCK
from sensorium.data.sample import Ledger, Sample
from sensorium.files import file_hash

_HELD = 1 << 25
"""Characters of one file's documents that are held until it is known that the file is right; a larger one is read
twice."""


def whole(read: Callable[[Ledger], Iterator[Sample]], ledger: Ledger) -> Iterator[Sample]:
    """The documents of a file if all of it can be read; otherwise none, and a problem in the ledger.

    Args:
        read: reads the file, from the beginning each time.
        ledger: receives what is said of the file.

    Raises:
        DataError: in strict mode, any unusable file.
    """
    trial, held, size = Ledger(strict=ledger.strict), list[Sample](), 0
    try:
        for sample in read(trial):
            size += len(sample.text)
            if size <= _HELD:
                held.append(sample)
    except UnreadableError as error:
        ledger.problem(error.where, error.problem, error.fix)
        return
    if size <= _HELD:
        ledger.merge(trial)
        yield from held
    else:
        del held
        yield from read(ledger)


def note_file(path: Path, ledger: Ledger) -> bool:
    """Put a file's size and hash into the ledger; False if it is empty, which is a problem."""
    size = path.stat().st_size
    ledger.count("files")
    ledger.count("bytes", size)
    if not size:
        ledger.problem(str(path), "the file is empty")
        return False
    ledger.files.append({"path": path.name, "bytes": size, "xxh3_128": file_hash(path)})
    return True


def text_encoding(path: Path, ledger: Ledger) -> str | None:
    """A text file's encoding, after all of it was read once; None if there is none, which is a problem.

    Raises:
        OSError: it cannot be read, or unpacked.
    """
    with open_packed(path) as file:
        head = file.read(HEAD)
        try:
            encoding = find_encoding(head, complete=len(head) < HEAD)
        except EncodingError as error:
            ledger.problem(str(path), str(error), fix="Convert it to UTF-8 first (for example with iconv)")
            return None
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            block = head
            while block:
                decoder.decode(block)
                block = file.read(BLOCK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            ledger.problem(str(path), f"not valid {written(encoding)}: {error.reason}")
            return None
    return encoding
