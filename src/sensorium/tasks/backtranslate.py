"""Pairs out of text in one language: its translations by a model of the other direction (Sennrich et al. 2016).

A translator from English to Chinese learns from Chinese text alone, once a translator from Chinese to English has read
it: the sources of such pairs are written by a machine, their targets, which the model learns to write, by people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sensorium.data.codes import language_code
from sensorium.errors import CapabilityError, InputError
from sensorium.files import StrPath, atomic_file, refuse_existing
from sensorium.inference.engine import Seq2SeqEngine
from sensorium.inference.logits import Number
from sensorium.progress import progress
from sensorium.tasks.model import LanguageModel, load

GROUP = "back-translated"
"""What stands in the group column: pairs of one group are held out together or not at all."""
_AT_ONCE = 1024
"""Texts that are translated together, those of like lengths side by side."""


@dataclass(frozen=True)
class BackTranslation:
    """A table of pairs that was written."""

    path: Path
    pairs: int
    left_out: int
    """Lines that are empty, or longer than the model reads, or of which it makes nothing."""


def backtranslate(
    model: LanguageModel | StrPath,
    texts: Iterable[str],
    *,
    out: StrPath,
    source: str | None = None,
    target: str | None = None,
    beam: int = 1,
    temperature: Number | None = None,
    seed: int | None = None,
    force: bool = False,
    show_progress: bool | None = None,
) -> BackTranslation:
    """Write a table of pairs for `prepare_parallel`: each text, and before it its translation.

    Args:
        model: translates out of the language of the texts; a model, or what `load` takes.
        texts: one a line, in the language that the new model is to write.
        out: the .tsv file to make: a group, the translation, the text, under a header with both languages.
        source: language of the texts, where the model does not name it.
        target: language to translate into: of the new model's sources.
        beam: hypotheses that are followed; one is fast, and does about as well.
        temperature: above 0 draws the tokens instead, which pays where pairs are many (Edunov et al. 2018).
        seed: of the draws.
        force: replace `out`.
        show_progress: None shows a bar if stderr is a terminal.

    Raises:
        InputError: `out` exists, a language is not known, or the model names none and none is given.
        CapabilityError: the model does not translate.
        DiskError: the disk is full or may not be written.
    """
    lm = model if isinstance(model, LanguageModel) else load(str(model))
    engine = lm.engine_for("translate")
    if not isinstance(engine, Seq2SeqEngine):
        raise CapabilityError("the model does not translate", where=lm.source)
    refuse_existing(out, force=force)
    spoken, written = _language(engine, source, 0), _language(engine, target, 1)
    pairs, kept = 0, _Kept(engine)
    with atomic_file(out) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"group\t{written}\t{spoken}\n")
        with progress("translating back", None, show=show_progress) as advance:
            lines = kept.lines(texts)
            while batch := list(islice(lines, _AT_ONCE)):
                made = lm.translate(batch, source=source, target=target, beam=beam, temperature=temperature, seed=seed)
                for text, translation in zip(batch, (_one_line(one.text) for one in made), strict=True):
                    if translation:
                        file.write(f"{GROUP}\t{translation}\t{text}\n")
                        pairs += 1
                advance(len(batch), "")
    return BackTranslation(Path(out), pairs, kept.seen - pairs)


def _language(engine: Seq2SeqEngine, given: str | None, side: int) -> str:
    """The code of a language, as it was given, or as the model names it."""
    if given is not None:
        return language_code(given)
    named = engine.facts.languages[side]
    if named is None:
        raise InputError(
            "the model does not say from which language into which it translates",
            where=engine.source,
            fix='Give source= and target= (--from and --to), for example "zh" and "en"',
        )
    return named


class _Kept:
    """Counts lines, and leaves out what a model cannot read."""

    def __init__(self, engine: Seq2SeqEngine) -> None:
        self._engine = engine
        self.seen = 0

    def lines(self, texts: Iterable[str]) -> Iterator[str]:
        most = self._engine.context
        for text in texts:
            self.seen += 1
            line = _one_line(text)
            if line and (most is None or len(self._engine.tokenizer.encode(line)) < most):
                yield line


def _one_line(text: str) -> str:
    """A text that may stand in a cell of a table."""
    return " ".join(text.split())
