"""`sensorium prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.printing import print_json


def prepare(
    inputs: Annotated[list[str], typer.Argument(help="Files and folders; - is standard input.")],
    out: Annotated[Path, typer.Option(help="The corpus folder to make.")],
    tokenizer: Annotated[
        str | None, typer.Option(help="bpe:8000, wordpiece:N, unigram:N, or a folder that holds a tokenizer.")
    ] = None,
    languages: Annotated[
        str | None, typer.Option(help="Keep documents in the scripts of these languages, e.g. en,zh.")
    ] = None,
    column: Annotated[str, typer.Option(help="Table column or JSON key that holds the text.")] = "text",
    form: Annotated[str, typer.Option(help="Unicode form: NFC or NFKC.")] = "NFC",
    min_characters: Annotated[int, typer.Option(help="Drop documents shorter than this.")] = 1,
    validation: Annotated[float, typer.Option(help="Share of documents held out.")] = 0.02,
    seed: Annotated[int, typer.Option(help="Chooses the held-out documents.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first file that cannot be read.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the corpus that stands at --out.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Clean, deduplicate and tokenise raw text into a corpus."""
    from sensorium.data.pipeline import prepare as run
    from sensorium.errors import InputError

    if form not in ("NFC", "NFKC"):
        raise InputError(f"unknown Unicode form {form!r}", fix="Use NFC or NFKC")
    corpus = run(
        list(inputs),
        out=out,
        tokenizer=tokenizer,
        languages=[name for part in (languages or "").split(",") if (name := part.strip())] or None,
        column=column,
        form="NFC" if form == "NFC" else "NFKC",
        min_characters=min_characters,
        validation=validation,
        seed=seed,
        strict=strict,
        force=force,
    )
    manifest = corpus.manifest
    if json:
        print_json(manifest)
        return
    for split, counts in manifest["splits"].items():
        typer.echo(f"{split:>10}: {counts['documents']:,} documents, {counts['tokens']:,} tokens")
    for reason, count in manifest["dropped"].items():
        typer.echo(f"   dropped: {count:,} {reason}")
    if ignored := manifest["input"]["counts"].get("files of other kinds"):
        typer.echo(f"   ignored: {ignored:,} files of other kinds")
    for problem in manifest["input"]["unreadable"][:5]:
        typer.echo(f"unreadable: {problem['where']}: {problem['reason']}")
    tokens = manifest["tokenizer"]
    typer.echo(f" tokenizer: {tokens['vocab_size']:,} tokens, {tokens['bytes_per_token']} bytes a token")
    typer.echo(f"corpus at {out}")
