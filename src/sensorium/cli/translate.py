"""`sensorium translate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sensorium.cli.lines import lines_of
from sensorium.cli.options import DeviceOption, EngineOption, open_model
from sensorium.cli.printing import print_json

if TYPE_CHECKING:
    from sensorium.inference.seq2seq_facts import EarlyStopping
    from sensorium.results import Translation
    from sensorium.tasks.wish import TranslateOptions


def translate(
    model: Annotated[str, typer.Argument(help="The folder of an encoder-decoder: Marian, BART, T5 ...")],
    text: Annotated[str | None, typer.Argument(help="The text; without it, every line of stdin.")] = None,
    source: Annotated[str | None, typer.Option("--from", help="Language of the text, e.g. en.")] = None,
    target: Annotated[str | None, typer.Option("--to", help="Language to translate into, e.g. zh.")] = None,
    file: Annotated[Path | None, typer.Option(help="Translate every line of this file.")] = None,
    beam: Annotated[
        int | None, typer.Option(help="Hypotheses followed at once; what the model says by default, else 4.")
    ] = None,
    n_best: Annotated[int, typer.Option(help="Translations to give of each text.")] = 1,
    length_penalty: Annotated[float | None, typer.Option(help="Above 0 favours long translations.")] = None,
    early_stopping: Annotated[
        str | None, typer.Option(help="When a search is done, as in Hugging Face's generate: true, false or never.")
    ] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="The most tokens of a translation.")] = None,
    glossary: Annotated[
        Path | None, typer.Option(help="Terms and their translations: lines of `term<tab>translation`, .csv or .json.")
    ] = None,
    keep_placeholders: Annotated[bool, typer.Option(help="Keep %s, {name}, $VAR, tags and addresses.")] = True,
    align: Annotated[bool, typer.Option("--align", help="Tell which words translate which.")] = False,
    temperature: Annotated[float | None, typer.Option(help="Above 0 draws the words instead of searching.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the likeliest that make up this share.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Drop what is less likely than this share of the best.")] = None,
    seed: Annotated[int | None, typer.Option(help="Makes drawing repeatable.")] = None,
    engine: EngineOption = None,
    device: DeviceOption = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print as JSON, a line a text.")] = False,
) -> None:
    """Translate a text, or lines as they come."""
    from sensorium.errors import InputError
    from sensorium.tasks.glossary_file import read_glossary

    if text is not None and text != "-" and file is not None:
        raise InputError("a text and --file are given", fix="Give one of them")
    options: TranslateOptions = {
        "source": source,
        "target": target,
        "beam": beam,
        "n_best": n_best,
        "length_penalty": length_penalty,
        "early_stopping": _early_stopping(early_stopping),
        "max_new_tokens": max_new_tokens,
        "glossary": None if glossary is None else read_glossary(glossary),
        "keep_placeholders": keep_placeholders,
        "align": align,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "seed": seed,
    }
    if text is not None and text != "-":
        _print(open_model(model, engine, device).translate(text, **options), json)
        return
    lines = lines_of(file)
    lm = open_model(model, engine, device)
    for found in lm.stream_translate(lines, **options):
        _print(found, json, line=True)


def _early_stopping(word: str | None) -> EarlyStopping | None:
    """What the word means to `generate`.

    Raises:
        InputError: nothing.
    """
    from sensorium.errors import InputError, unknown

    values: dict[str | None, EarlyStopping | None] = {None: None, "true": True, "false": False, "never": "never"}
    if word not in values:
        raise InputError(unknown("--early-stopping", str(word), ("true", "false", "never")))
    return values[word]


def _print(found: Translation, json: bool, *, line: bool = False) -> None:
    if json:
        print_json(found)
        return
    for one in (found, *found.alternatives):
        # A line stays a line, whatever the model writes, so that the output's lines are the input's.
        text = " ".join(one.text.splitlines()) if line else one.text
        typer.echo(text if not found.alternatives else f"{one.score:9.4f}  {text}")
    for link in found.alignment or ():
        typer.echo(f"  {link.source[0]}-{link.source[1]} -> {link.target[0]}-{link.target[1]}  {link.score:.2f}")
    if found.alternatives:
        typer.echo()
