"""Which text of a row is translated into which: the languages that the user names, or else those of the first row."""

from __future__ import annotations

from collections.abc import Iterator

from sensorium.data.codes import matching
from sensorium.data.parallel.columns import Wanted
from sensorium.data.sample import Ledger, Translations
from sensorium.errors import DataError


class Directions:
    """Finds the two sides in a row of texts, by the languages wanted, or else by those of the first row."""

    def __init__(self, wanted: Wanted, ledger: Ledger) -> None:
        self._wanted, self._ledger = wanted, ledger
        self._said = bool(wanted.source and wanted.targets)
        self.found: list[tuple[str, str]] = []
        """From, to; said from the start, or settled by the first row."""
        if wanted.source and wanted.targets:
            self.found = [(wanted.source, code) for code in wanted.targets]

    def pairs(self, row: Translations) -> Iterator[tuple[int, str, str]]:
        """The number of a direction, a text and its translation, for every direction that the row has.

        Raises:
            DataError: the row's languages are others than the first row's, or more than two, and none are named.
        """
        if len(row.texts) < 2:
            self._ledger.drop("without a text in both languages")
            return
        if not self.found:
            self._settle(row)
        some = False
        for way, (here, there) in enumerate(self.found):
            source, target = matching(here, row.texts), matching(there, row.texts)
            if source and target and source != target:
                some = True
                yield way, row.texts[source], row.texts[target]
        if not some and self._said:
            self._ledger.drop("without a text in both languages")
        elif not some:
            here, there = self.found[0]
            raise DataError(
                f"holds {' and '.join(row.texts)}, where the first row holds {here} and {there}",
                where=row.source,
                fix="Say which are meant with --from and --to",
            )

    def _settle(self, row: Translations) -> None:
        """Take from the first row what the user leaves open."""
        codes, asked = list(row.texts), self._wanted.targets
        targets = [code for want in asked if (code := matching(want, codes))]
        if self._wanted.source:
            source = matching(self._wanted.source, codes)
        else:
            source = next((code for code in codes if code not in targets), None)
        if not asked:
            targets = [code for code in codes if code != source]
        if source is None or not targets or (not asked and len(targets) > 1):
            said = " and ".join(codes) or "no text"
            raise DataError(f"holds {said}", where=row.source, fix="Say which two are meant with --from and --to")
        self.found = [(self._wanted.source or source, code) for code in asked or targets]
