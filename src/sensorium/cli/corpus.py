"""`sensorium corpus`: what is known of a prepared corpus, and what was dropped on the way to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sensorium.cli.printing import print_json

if TYPE_CHECKING:
    from sensorium.data.corpus_report import CorpusReport

_LISTED = 8
_EXCERPT = 300
Folder = Annotated[Path, typer.Argument(metavar="CORPUS", help="A folder that prepare made.")]
corpus = typer.Typer(no_args_is_help=True)


@corpus.callback()
def about() -> None:
    """Look at a prepared corpus: what it holds, and what was dropped on the way."""


@corpus.command()
def show(
    folder: Folder,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots and samples here.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file that stands at --html.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Tell what a corpus holds, and what became of the documents that it was made of."""
    from sensorium.data.corpus_page import page
    from sensorium.data.corpus_report import CorpusReport
    from sensorium.errors import InputError

    found = CorpusReport.open(folder)
    if html is not None:
        if html.exists() and not force:
            raise InputError("already exists", where=str(html), fix="Choose another --html, or pass --force")
        page(found).write(html)
    if json:
        print_json(found.to_dict())
        return
    _show(found)
    if html is not None:
        typer.echo(f"page at {html}")


@corpus.command()
def dropped(
    folder: Folder,
    stage: Annotated[str | None, typer.Option(help="Only what this stage dropped.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only what this rule dropped.")] = None,
    sample: Annotated[int, typer.Option(help="Show so many documents.")] = 10,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show documents that were dropped, by which rule, and why."""
    from sensorium.data.corpus_report import CorpusReport
    from sensorium.errors import InputError

    if sample < 1:
        raise InputError(f"--sample {sample} is not positive", fix="Ask for one document or more")
    report = CorpusReport.open(folder)
    found = report.dropped(stage=stage, rule=rule, sample=sample)
    reasons = [one for one in report.reasons if stage in (None, one[0]) and rule in (None, one[1])]
    if json:
        counts = [{"stage": of, "rule": name, "documents": count} for of, name, count in reasons]
        print_json({"rules": counts, "documents": found})
        return
    _table(["stage", "rule", "documents"], [[of, name, f"{count:,}"] for of, name, count in reasons], numeric={2})
    for one in found:
        typer.echo(f"\n{_plain(f'{one.stage}: {one.reason}')}\n{_plain(one.source)}, {one.characters:,} characters")
        typer.echo(f"    {_plain(one.excerpt)}")


def _show(report: CorpusReport) -> None:
    from sensorium.data.corpus_page import share, size

    unit = "pairs" if report.kind == "parallel" else "documents"
    for split in report.splits:
        typer.echo(
            f"{split.name:>10}: {split.documents:,} {unit}, {sum(split.tokens):,} tokens, {size(sum(split.bytes))}"
        )
    typer.echo(f" tokenizer: {report.vocab_size:,} tokens, {report.bytes_per_token} bytes a token")
    if report.stages:
        head = ["stage", "documents in", "dropped", "", "text out", "most by"]
        rows = []
        for stage in report.stages:
            gone = stage.documents_in - stage.documents_out
            most = ", ".join(sorted(stage.dropped, key=lambda rule: (-stage.dropped[rule], rule))[:2])
            counted = [f"{stage.documents_in:,}", f"{gone:,}", share(gone, stage.documents_in)]
            rows.append([stage.name, *counted, size(stage.bytes_out), most])
        _table(head, rows, numeric={1, 2, 3, 4})
    else:
        for _, rule, count in report.reasons[:_LISTED]:
            typer.echo(f"   dropped: {count:,} {_plain(rule)}")
    if languages := report.languages:
        whole = sum(counts.get("bytes", 0) for counts in languages.values())
        ordered = sorted(languages, key=lambda code: (-languages[code].get("bytes", 0), code))
        rows = [_language(code, languages[code], whole, report.fertility.get(code, {})) for code in ordered[:_LISTED]]
        head = ["language", "documents", "text", "", "tokens a word", "a character"]
        _table(head, rows, numeric={1, 2, 3, 4, 5})
    for one in report.problems[:_LISTED]:
        typer.echo(f"unreadable: {_plain(str(one.get('where')))}: {_plain(str(one.get('reason')))}")
    if report.has_samples:
        typer.echo(f"what was dropped is shown by sensorium corpus dropped {report.folder}")


def _language(code: str, counts: Any, whole: int, fertility: Any) -> list[str]:
    from sensorium.data.corpus_page import share, size

    length = counts.get("bytes", 0)
    fits = (fertility.get(name) for name in ("tokens_per_word", "tokens_per_character"))
    listed = [code or "unknown", f"{counts.get('documents', 0):,}", size(length), share(length, whole)]
    return [*listed, *("–" if one is None else f"{one:.2f}" for one in fits)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: set[int]) -> None:
    """A table as wide as the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="")
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place in numeric else "left", no_wrap=place in numeric)
    for row in rows:
        table.add_row(*(Text(_plain(cell)) for cell in row))
    Console(highlight=False).print(table)


def _plain(text: str) -> str:
    """A text on one line, of which nothing can move the cursor or turn the writing round."""
    line = "".join(letter if letter.isprintable() else " " for letter in text[: 2 * _EXCERPT])
    line = " ".join(line.split())
    return line if len(line) <= _EXCERPT else f"{line[:_EXCERPT]}…"
