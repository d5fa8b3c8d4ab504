"""`sensorium prepare`: of texts, or of pairs with `--parallel`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from sensorium.cli.options import columns_of
from sensorium.cli.printing import print_json

_PANEL = "Translations"


def prepare(
    inputs: Annotated[list[str], typer.Argument(help="Files and folders; - is standard input.")],
    out: Annotated[Path, typer.Option(help="The corpus folder to make.")],
    tokenizer: Annotated[
        str | None,
        typer.Option(help="bpe:8000, wordpiece:N, unigram:N, a folder that holds a tokenizer, or default:translate."),
    ] = None,
    languages: Annotated[
        str | None, typer.Option(help="Keep documents in the scripts of these languages, e.g. en,zh.")
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Table column or JSON key that holds the text; text if left out.")
    ] = None,
    form: Annotated[str, typer.Option(help="Unicode form: NFC or NFKC.")] = "NFC",
    min_characters: Annotated[int | None, typer.Option(help="Drop documents shorter than this; 1 if left out.")] = None,
    validation: Annotated[float, typer.Option(help="Share of documents or pairs held out.")] = 0.02,
    seed: Annotated[int, typer.Option(help="Chooses what is held out.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first file that cannot be read.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the corpus that stands at --out.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
    parallel: Annotated[
        bool,
        typer.Option(
            "--parallel",
            help="The inputs are translations: TSV, CSV, JSON Lines, Parquet, TMX, .po, .mo, or files aligned by line.",
            rich_help_panel=_PANEL,
        ),
    ] = False,
    source: Annotated[
        str | None,
        typer.Option("--from", help="Language to translate from; the files may tell it.", rich_help_panel=_PANEL),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--to", help="Language to translate into, or several: zh,fr.", rich_help_panel=_PANEL),
    ] = None,
    both_ways: Annotated[
        bool,
        typer.Option("--both-ways", help="Learn pairs in both directions.", rich_help_panel=_PANEL),
    ] = False,
    columns: Annotated[
        str | None,
        typer.Option(help="Where the languages stand in a table: en=1,zh=text_zh.", rich_help_panel=_PANEL),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="Column that names a pair's document or package; groups are held out whole.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    hold_out: Annotated[
        list[str] | None,
        typer.Option(help="Hold out this group instead of a share; may be repeated.", rich_help_panel=_PANEL),
    ] = None,
    max_characters: Annotated[
        int | None, typer.Option(help="Drop longer texts; 1000 if left out.", rich_help_panel=_PANEL)
    ] = None,
    max_ratio: Annotated[
        float | None,
        typer.Option(help="Drop pairs that differ more in length; 3 if left out.", rich_help_panel=_PANEL),
    ] = None,
) -> None:
    """Clean, deduplicate and tokenise raw text, or translations, into a corpus."""
    from sensorium.errors import InputError

    if form not in ("NFC", "NFKC"):
        raise InputError(f"unknown Unicode form {form!r}", fix="Use NFC or NFKC")
    shared: dict[str, Any] = {
        "out": out,
        "tokenizer": tokenizer,
        "form": cast(Literal["NFC", "NFKC"], form),
        "validation": validation,
        "seed": seed,
        "strict": strict,
        "force": force,
    }
    of_texts = {
        "languages": _listed(languages) or None,
        "column": column,
        "min_characters": min_characters,
    }
    of_pairs = {
        "source": source,
        "target": _listed(target) or None,
        "both_ways": both_ways or None,
        "columns": columns_of(columns, example="en=1,zh=text_zh"),
        "group": group,
        "hold_out": hold_out or None,
        "max_characters": max_characters,
        "max_ratio": max_ratio,
    }
    mine, others = (of_pairs, of_texts) if parallel else (of_texts, of_pairs)
    for name, value in others.items():
        if value is not None:
            raise InputError(f"{_option(name)} is for {'texts' if parallel else 'translations'}", fix=_fix(parallel))
    given = {name: value for name, value in mine.items() if value is not None}
    manifest = _prepared(list(inputs), parallel, {**shared, **given})
    if json:
        print_json(manifest)
    else:
        _print(manifest, out)


def _prepared(inputs: list[str], parallel: bool, options: dict[str, Any]) -> dict[str, Any]:
    """Make the corpus; its manifest."""
    if parallel:
        from sensorium.data.parallel.prepare import prepare_parallel

        return prepare_parallel(inputs, **options).manifest
    from sensorium.data.pipeline import prepare as run

    return run(inputs, **options).manifest


def _print(manifest: dict[str, Any], out: Path) -> None:
    for split, counts in manifest["splits"].items():
        if "pairs" in counts:
            tokens = f"{counts['source']['tokens']:,} + {counts['target']['tokens']:,} tokens"
            typer.echo(f"{split:>10}: {counts['pairs']:,} pairs, {tokens}")
        else:
            typer.echo(f"{split:>10}: {counts['documents']:,} documents, {counts['tokens']:,} tokens")
    if groups := manifest.get("held_out", {}).get("groups"):
        typer.echo(f"  held out: {', '.join(groups[:10])}{' ...' if len(groups) > 10 else ''}")
    for reason, count in manifest["dropped"].items():
        typer.echo(f"   dropped: {count:,} {reason}")
    for what in ("files of other kinds", "catalogues in other languages"):
        if ignored := manifest["input"]["counts"].get(what):
            typer.echo(f"   ignored: {ignored:,} {what}")
    for problem in manifest["input"]["unreadable"][:5]:
        typer.echo(f"unreadable: {problem['where']}: {problem['reason']}")
    if directions := manifest.get("directions"):
        typer.echo(f"directions: {', '.join(f'{here} → {there}' for here, there in directions)}")
    tokens = manifest["tokenizer"]
    typer.echo(f" tokenizer: {tokens['vocab_size']:,} tokens, {tokens['bytes_per_token']} bytes a token")
    typer.echo(f"corpus at {out}")


def _listed(text: str | None) -> list[str]:
    return [name for part in (text or "").split(",") if (name := part.strip())]


def _option(name: str) -> str:
    return {"source": "--from", "target": "--to"}.get(name, f"--{name.replace('_', '-')}")


def _fix(parallel: bool) -> str:
    return "Leave it out, or leave --parallel out" if parallel else "Add --parallel, or leave it out"
