"""Plain arguments to a list of stages: what `prepare` does where a user gives no list of their own.

The order is that of cost and of sense: texts are repaired before anything looks at them, private data is masked before
anything of a text can be shown in a report, cheap filters come before dear ones, and documents are compared when only
those are left that are worth it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensorium.data.cleaning.text import Clean, UnicodeForm
from sensorium.data.dedup.exact import SameDocuments
from sensorium.data.language import SCRIPTS
from sensorium.data.prepare.basic import InScripts, Length
from sensorium.data.stages import Comparer, Stage
from sensorium.errors import InputError, unknown
from sensorium.files import StrPath

if TYPE_CHECKING:
    from sensorium.data.quality.together import WordFilter

TIDY = ("entities", "width", "repeats", "boilerplate")
"""What texts are tidied of if it is asked for: HTML entities, full-width letters, lines that are repeated, menus and
notices of web pages."""
QUALITY = ("gopher", "fineweb", "c4")
"""Published sets of rules, in the order in which they are applied."""
KEYS = "keys"
"""The folder of a corpus that holds what later runs compare with."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a user asks for in plain words; see `prepare`."""

    form: UnicodeForm = "NFC"
    min_characters: int = 1
    languages: tuple[str, ...] | None = None
    identify: bool = False
    quality: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    tidy: tuple[str, ...] = ()
    chinese: str | None = None
    paragraphs: bool = False
    near: bool = False
    decontaminate: tuple[str, ...] = ()
    stop_words: bool = False


def built(choices: Choices) -> list[Stage]:
    """The stages for some choices.

    Raises:
        InputError: a set of rules or a language is not known.
    """
    for name in choices.quality:
        if name not in QUALITY:
            raise InputError(unknown("set of quality rules", name, QUALITY), fix="Leave --quality out to keep all")
    stages = _cleaned(choices)
    if choices.mask:
        from sensorium.data.cleaning.mask import Mask

        stages.append(Mask(kinds=choices.mask))
    stages.append(Length(min_characters=choices.min_characters))
    stages += _languages(choices)
    stages += _quality(choices.quality)
    stages.append(SameDocuments())
    if choices.paragraphs:
        from sensorium.data.dedup.parts import SameLines, SameParagraphs

        # The rules of C4 take blank lines out, so that a line is what a paragraph was.
        as_lines = SameLines(shortest=SameParagraphs.shortest, name=SameParagraphs.name)
        stages.append(as_lines if "c4" in choices.quality else SameParagraphs())
    if choices.near:
        from sensorium.data.dedup.near import NearDuplicates

        stages.append(NearDuplicates())
    if choices.decontaminate:
        from sensorium.data.dedup.contaminated import Decontaminate

        for path in map(Path, choices.decontaminate):
            if not path.is_file():
                raise InputError("no such evaluation set", where=str(path), fix="Check the path")
        stages.append(Decontaminate(against=tuple(map(Path, choices.decontaminate))))
    if choices.stop_words:
        from sensorium.data.stopwords import StopWords

        if not choices.identify:
            raise InputError("stop words are of a language, which nothing tells", fix="Add --identify")
        stages.append(StopWords())
    return stages


def _cleaned(choices: Choices) -> list[Stage]:
    """What repairs and tidies texts."""
    for name in choices.tidy:
        if name not in TIDY:
            raise InputError(unknown("way to tidy", name, TIDY), fix=f"Use some of {', '.join(TIDY)}")
    stages: list[Stage] = [Clean(form=choices.form, entities="entities" in choices.tidy)]
    if "width" in choices.tidy:
        from sensorium.data.cleaning.width import Width

        stages.append(Width())
    if choices.chinese:
        from sensorium.data.cleaning.chinese import Chinese

        stages.append(Chinese(to=choices.chinese))
    if "repeats" in choices.tidy:
        from sensorium.data.cleaning.lines import RepeatedLines

        stages.append(RepeatedLines())
    if "boilerplate" in choices.tidy:
        from sensorium.data.cleaning.lines import Boilerplate

        stages.append(Boilerplate())
    return stages


def _languages(choices: Choices) -> list[Stage]:
    """By a model that tells languages, or by scripts."""
    if choices.identify:
        from sensorium.data.identify import Identify, OfLanguages

        variants = any(code.startswith("zh-") for code in choices.languages or ())
        told: list[Stage] = [Identify(variants=variants)]
        return [*told, OfLanguages(choices.languages)] if choices.languages else told
    for language in choices.languages or ():
        if language not in SCRIPTS:
            raise InputError(
                unknown("language", language, SCRIPTS), fix="Leave --languages out to keep all, or add --identify"
            )
    return [InScripts(languages=choices.languages)] if choices.languages else []


def _quality(names: Sequence[str]) -> list[Stage]:
    """Filters of whole documents first, as one stage, which looks at the words of each once. C4 comes last: its edit of
    lines takes blank ones out, which the others count paragraphs by."""
    stages: list[Stage] = []
    filters: list[WordFilter] = []
    if "gopher" in names:
        from sensorium.data.quality.gopher import Gopher

        filters.append(Gopher())
    if "fineweb" in names:
        from sensorium.data.quality.fineweb import FineWeb

        filters.append(FineWeb())
    if filters:
        from sensorium.data.quality.together import Together

        stages.append(Together(tuple(filters)))
    if "c4" in names:
        from sensorium.data.quality.c4 import C4Documents, C4Lines

        stages += [C4Lines(), C4Documents()]
    return stages


def after(stages: Sequence[Stage], corpora: Sequence[StrPath]) -> list[Stage]:
    """The stages, with each comparer told what earlier corpora hold.

    Args:
        stages: the pipeline.
        corpora: folders that `prepare` made, with their keys kept.

    Raises:
        InputError: a corpus has no keys of a comparer, or the comparer cannot be told.
    """
    from sensorium.data.prepare.chain import named

    if not corpora:
        return list(stages)
    return [
        _comparing(step.stage, step.name, corpora) if isinstance(step.stage, Comparer) else step.stage
        for step in named(stages)
    ]


def _comparing(stage: Any, name: str, corpora: Sequence[StrPath]) -> Any:
    if not is_dataclass(stage) or isinstance(stage, type) or "against" not in {field.name for field in fields(stage)}:
        raise InputError(
            f"the stage {name!r} cannot compare with an earlier corpus", fix="Leave it out, or leave --against out"
        )
    earlier: tuple[Path, ...] = vars(stage)["against"]
    return replace(stage, against=(*earlier, *_keys(name, corpora)))


def _keys(name: str, corpora: Sequence[StrPath]) -> list[Path]:
    found = []
    for corpus in map(Path, corpora):
        folder = corpus / KEYS / folder_of(name)
        if not folder.is_dir():
            raise InputError(
                f"the corpus has no keys of the stage {name!r}",
                where=str(corpus),
                fix="Name a corpus that was prepared with the same stages and with its keys kept",
            )
        found += sorted(folder.glob("*.arrow"))
    return found


def folder_of(name: str) -> str:
    """A stage's name as that of a folder."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
