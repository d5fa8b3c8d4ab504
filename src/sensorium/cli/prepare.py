"""`sensorium prepare`: of texts, or of pairs with `--parallel`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from sensorium.cli.options import columns_of
from sensorium.cli.printing import print_json

if TYPE_CHECKING:
    from sensorium.data.prepare.executor import Executor

_FILTERS, _DUPLICATES, _RUN, _PANEL = "What is kept", "Duplicates", "The run", "Translations"


def prepare(
    inputs: Annotated[list[str] | None, typer.Argument(help="Files and folders; - is standard input.")] = None,
    out: Annotated[Path | None, typer.Option(help="The corpus folder to make.")] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="bpe:8000, wordpiece:N, unigram:N, a folder that holds a tokenizer, or default:translate."),
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Table column or JSON key that holds the text; text if left out.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Of all text, such as gb18030; found out for each file if left out.")
    ] = None,
    form: Annotated[str, typer.Option(help="Unicode form: NFC or NFKC.")] = "NFC",
    validation: Annotated[float, typer.Option(help="Share of documents or pairs held out.")] = 0.02,
    seed: Annotated[int, typer.Option(help="Chooses what is held out.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first file that cannot be read.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the corpus that stands at --out.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
    languages: Annotated[
        str | None,
        typer.Option(
            help="Keep documents in the scripts of these languages, e.g. en,zh; with --identify, in the languages.",
            rich_help_panel=_FILTERS,
        ),
    ] = None,
    identify: Annotated[
        bool, typer.Option("--identify", help="Tell each document's language by a model.", rich_help_panel=_FILTERS)
    ] = False,
    min_characters: Annotated[
        int | None,
        typer.Option(help="Drop documents shorter than this; 1 if left out.", rich_help_panel=_FILTERS),
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(
            help="Published rules to filter by, of gopher, c4, fineweb: --quality gopher,c4.", rich_help_panel=_FILTERS
        ),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            help="Private data to mask, of email, url, ip, phone, id, card, iban, ssn.", rich_help_panel=_FILTERS
        ),
    ] = None,
    tidy: Annotated[
        str | None,
        typer.Option(
            help="Tidy texts of entities, width, repeats, boilerplate: --tidy entities,width.",
            rich_help_panel=_FILTERS,
        ),
    ] = None,
    chinese: Annotated[
        str | None,
        typer.Option(
            help="Bring Chinese to one script: simplified, traditional, taiwan or hongkong.", rich_help_panel=_FILTERS
        ),
    ] = None,
    stop_words: Annotated[
        bool,
        typer.Option(
            "--stop-words", help="Add a column without stop words; needs --keep-text.", rich_help_panel=_FILTERS
        ),
    ] = False,
    paragraphs: Annotated[
        bool,
        typer.Option("--paragraphs", help="Take out paragraphs seen before.", rich_help_panel=_DUPLICATES),
    ] = False,
    near: Annotated[
        bool,
        typer.Option("--near", help="Drop near-duplicates, not only equal documents.", rich_help_panel=_DUPLICATES),
    ] = False,
    decontaminate: Annotated[
        list[str] | None,
        typer.Option(
            help="Drop documents that share text with this evaluation set; may be repeated.",
            rich_help_panel=_DUPLICATES,
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="Drop what this corpus holds already; may be repeated.",
            rich_help_panel=_DUPLICATES,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that share the work; as many as cores, up to 8.", rich_help_panel=_RUN),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(help="Work on a Ray cluster: auto, local, or HOST:PORT.", rich_help_panel=_RUN),
    ] = None,
    keep_text: Annotated[
        bool, typer.Option("--keep-text", help="Keep the documents too, as Parquet.", rich_help_panel=_RUN)
    ] = False,
    keep_keys: Annotated[
        bool | None,
        typer.Option(
            "--keep-keys/--no-keys", help="Keep what --against needs; kept if left out.", rich_help_panel=_RUN
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Try it on a sample, say what it would take, write nothing.", rich_help_panel=_RUN),
    ] = False,
    self_test: Annotated[
        bool,
        typer.Option("--self-test", help="Take a toy corpus with known answers through it.", rich_help_panel=_RUN),
    ] = False,
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
    """Clean, filter, deduplicate and tokenise raw text, or translations, into a corpus."""
    from sensorium.errors import InputError

    if form not in ("NFC", "NFKC"):
        raise InputError(f"unknown Unicode form {form!r}", fix="Use NFC or NFKC")
    if self_test:
        from sensorium.cli.prepare_checks import print_self_test

        print_self_test(json=json)
        return
    if not inputs:
        raise InputError("no input given", fix="Name files or folders, or - for standard input")
    of_texts = {
        "languages": _listed(languages) or None,
        "identify": identify or None,
        "column": column,
        "encoding": encoding,
        "min_characters": min_characters,
        "quality": _listed(quality) or None,
        "mask": _listed(mask) or None,
        "tidy": _listed(tidy) or None,
        "chinese": chinese,
        "stop_words": stop_words or None,
        "paragraphs": paragraphs or None,
        "near": near or None,
        "decontaminate": decontaminate or None,
        "against": against or None,
        "workers": workers,
        "ray": ray,
        "keep_text": keep_text or None,
        "keep_keys": keep_keys,
        "plan": plan or None,
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
    given: dict[str, Any] = {name: value for name, value in mine.items() if value is not None}
    given |= {"tokenizer": tokenizer, "form": cast(Literal["NFC", "NFKC"], form)}
    if given.pop("plan", False):
        from sensorium.cli.prepare_checks import print_plan

        print_plan(list(inputs), given, _workers(workers), json=json)
        return
    if out is None:
        raise InputError("Missing option '--out'", fix="See: sensorium prepare --help")
    given |= {"out": out, "validation": validation, "seed": seed, "strict": strict, "force": force}
    manifest = _of_pairs(inputs, given) if parallel else _of_texts(inputs, out, given)
    if json:
        print_json(manifest)
    else:
        _print(manifest, out)


def _of_pairs(inputs: list[str], options: dict[str, Any]) -> dict[str, Any]:
    from sensorium.data.parallel.prepare import prepare_parallel

    return prepare_parallel(inputs, **options).manifest


def _of_texts(inputs: list[str], out: Path, options: dict[str, Any]) -> dict[str, Any]:
    from sensorium.data.prepare.prepare import prepare as run
    from sensorium.data.prepare.work import place_of

    given, address = options.pop("workers", None), options.pop("ray", None)
    try:
        with _on_ray(address, given) as executor:
            return run(inputs, **options, workers=_workers(given), executor=executor).manifest
    except KeyboardInterrupt:
        if place_of(out)[0].exists():
            typer.echo("cut off; the same command goes on where this one stopped", err=True)
        raise


@contextmanager
def _on_ray(address: str | None, workers: int | None) -> Iterator[Executor | None]:
    """The executor of a cluster, where one is asked for."""
    if address is None:
        yield None
        return
    from sensorium.data.prepare.ray import Ray

    with Ray(address, workers=workers) as executor, redirect_stdout(sys.stderr):  # Ray writes its messages to stdout
        yield executor


def _workers(given: int | None) -> int:
    import os

    return min(8, os.cpu_count() or 1) if given is None else given


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
    return {"source": "--from", "target": "--to", "keep_keys": "--no-keys"}.get(name, f"--{name.replace('_', '-')}")


def _fix(parallel: bool) -> str:
    return "Leave it out, or leave --parallel out" if parallel else "Add --parallel, or leave it out"
