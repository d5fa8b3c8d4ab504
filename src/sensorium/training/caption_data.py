"""Tables of pictures and their texts, as what a language model with eyes learns from.

Unusual: pictures that cannot be read are listed once and counted, and their rows left out; what a frozen tower says of
each picture is computed once, however many rows show it, and stands on the disk where it is large. Pictures are held
out, not rows: a picture that is measured by is in no row that is learned from.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

from sensorium.core.eyes import SeeingDecoder
from sensorium.data.labelled.split import held_out
from sensorium.data.media import resolved
from sensorium.data.rows import named_rows
from sensorium.data.sample import Ledger
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import DataError, InputError, SensoriumError, unknown
from sensorium.files import disk_errors, refuse_unspeakable
from sensorium.inference.chat_template import ask_about, chat_ids
from sensorium.inference.eyes import picture_prompt, refuse_placeholder
from sensorium.modalities.pixels import ImageSpec, image_batch
from sensorium.objectives.caption import CaptionExamples
from sensorium.progress import progress
from sensorium.training.caption_recipe import CaptionRecipe

ROLES = ("image", "caption", "prompt")
_NAMES = {
    "image": ("image", "picture", "photo", "img", "image_path", "filepath", "file_name", "filename", "file", "path"),
    "caption": ("caption", "text", "title", "description", "name", "answer", "label"),
    "prompt": ("prompt", "question", "instruction"),
}
_AT_ONCE = 64
"""Pictures that are looked at between two movements of the progress bar."""
_LARGE = 1 << 30
"""Bytes of looks beyond which they stand on the disk."""


@dataclass(frozen=True, slots=True)
class Captioned:
    """A picture's path, a text, and what stands between them."""

    image: Path
    name: str
    """The path as the table writes it."""
    text: str
    prompt: str | None
    source: str


def read_captions(path: Path, ledger: Ledger, *, columns: Mapping[str, str] | None = None) -> list[Captioned]:
    """The rows of a table that name a picture and have a text; the others go into the ledger.

    Args:
        path: CSV or TSV with a header, JSON Lines, JSON or Parquet. Paths of pictures are relative to its folder, and
            do not lead out of it; absolute ones are taken as they are.
        ledger: receives problems.
        columns: names of the columns `image`, `caption` and `prompt`, where they are not the usual ones.

    Raises:
        InputError: there is no such file, or it has no such column.
        DataError: it holds no rows, or nothing tells which column is what.
    """
    rows = list(named_rows(path, ledger))
    if not rows:
        why = f": {ledger.problems[0]['reason']}" if ledger.problems else ""
        raise DataError(f"holds no rows{why}", where=str(path), fix="Give a table of pictures and their texts")
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    chosen = _columns(names, columns or {}, path)
    found, folder = [], path.resolve().parent
    for where, row in rows:
        image, text = row.get(chosen["image"] or ""), row.get(chosen["caption"] or "")
        prompt = None if chosen["prompt"] is None else row.get(chosen["prompt"])
        if not isinstance(image, str) or not image.strip():
            ledger.problem(where, "names no picture")
        elif not isinstance(text, str) or not text.strip():
            ledger.problem(where, "has no text")
        else:
            asked, name = prompt if isinstance(prompt, str) else None, os.path.normpath(image.strip())
            try:
                refuse_unspeakable(f"{text}{asked or ''}")
                found.append(Captioned(resolved(name, folder), name, text.strip(), asked, where))
            except InputError as error:
                ledger.problem(where, error.problem)
    return found


def _columns(names: Sequence[str], wanted: Mapping[str, str], path: Path) -> dict[str, str | None]:
    for role, name in wanted.items():
        if role not in ROLES:
            raise InputError(unknown("column", role, ROLES), fix="Say for example image=file,caption=title")
        if name not in names:
            raise InputError(unknown("column", name, names), where=str(path))
    lower = {name.lower(): name for name in reversed(names) if name not in wanted.values()}
    chosen: dict[str, str | None] = {}
    for role in ROLES:
        usual = next((lower.pop(name) for name in _NAMES[role] if name in lower), None)
        chosen[role] = wanted.get(role) or usual
        if chosen[role] is None and role != "prompt":
            raise DataError(
                f"which column is the {role}?",
                where=str(path),
                fix=f"Say it with --columns {role}=NAME (present: {', '.join(names)})",
            )
    return chosen


def fingerprint(rows: Sequence[Captioned]) -> str:
    """Tells data apart: the rows, and how large each picture's file is."""
    hashed = xxhash.xxh3_128()
    for row in rows:
        size = row.image.stat().st_size if row.image.is_file() else -1
        hashed.update("\0".join((row.name, str(size), row.prompt or "", row.text, "")).encode("utf-8", "replace"))
    return hashed.hexdigest()


def names_of(rows: Sequence[Captioned]) -> dict[Path, str]:
    """What the table calls each picture, where it first does."""
    return {row.image: row.name for row in reversed(rows)}


def split_rows(rows: Sequence[Captioned], share: float) -> tuple[list[Captioned], list[Captioned]]:
    """Rows to learn from, and those of the pictures that are held out."""
    names = names_of(rows)
    held = held_out([names[row.image] for row in rows], share)
    return (
        [row for row, out in zip(rows, held, strict=True) if not out],
        [row for row, out in zip(rows, held, strict=True) if out],
    )


@dataclass(frozen=True, eq=False)
class Gallery:
    """Pictures as they were looked at, and where each one's look stands; files that cannot be read are absent."""

    looks: Tensor
    places: dict[Path, int]
    problems: dict[Path, str]


@torch.no_grad()
def look_at(
    rows: Sequence[Captioned],
    model: SeeingDecoder,
    spec: ImageSpec,
    *,
    pixels: bool,
    scratch: Path,
    show_progress: bool | None = None,
) -> Gallery:
    """Decode each picture once, and ask the tower about it unless its pixels are wanted.

    Args:
        rows: name the pictures.
        model: has the tower.
        spec: how pictures become what it reads.
        pixels: keep pixels, in 16 bits, rather than what the tower says.
        scratch: a folder where looks that are too large for the memory stand.
        show_progress: None shows a bar if stderr is a terminal.

    Raises:
        DataError: no picture can be read.
    """
    paths = list(dict.fromkeys(row.image for row in rows))
    device = next(model.tower.parameters()).device
    problems: dict[Path, str] = {}
    shape = (3, *spec.size) if pixels else (model.config.tokens, model.config.width)
    dtype = torch.float16 if pixels else torch.float32
    looks = _room((len(paths), *shape), dtype, scratch)
    model.tower.eval()
    with progress("looking at pictures", len(paths), show=show_progress) as advance:
        for start in range(0, len(paths), _AT_ONCE):
            part = paths[start : start + _AT_ONCE]

            def failed(index: int, error: SensoriumError, part: list[Path] = part) -> None:
                problems[part[index]] = error.problem

            batch = image_batch(part, spec, failed=failed)
            looks[start : start + len(part)] = batch if pixels else model.look(batch.to(device)).float().cpu()
            advance(len(part), "")
    if len(problems) == len(paths):
        path, why = next(iter(problems.items()), (Path(), "there are none"))
        raise DataError(f"none of {len(paths)} pictures can be read: {why}", where=str(path), fix="Check the paths")
    return Gallery(looks, {path: place for place, path in enumerate(paths) if path not in problems}, problems)


def _room(shape: tuple[int, ...], dtype: torch.dtype, scratch: Path) -> Tensor:
    size = math.prod(shape)
    if size * dtype.itemsize <= _LARGE:
        return torch.empty(shape, dtype=dtype)
    with disk_errors(scratch):
        descriptor, name = tempfile.mkstemp(prefix=".looks.", suffix=".part", dir=scratch)
        os.close(descriptor)
        try:
            return torch.from_file(name, shared=True, size=size, dtype=dtype).view(shape)
        finally:
            os.unlink(name)  # it lives on as long as it is mapped


def examples_of(
    rows: Sequence[Captioned],
    gallery: Gallery,
    tokenizer: Tokenizer,
    recipe: CaptionRecipe,
    *,
    image_id: int,
    features: int,
    ledger: Ledger,
) -> CaptionExamples:
    """Tokenise rows whose pictures could be read.

    Args:
        rows: pictures and texts.
        gallery: holds the pictures.
        tokenizer: has the placeholder and an end token.
        recipe: says what stands between a picture and its text, and the longest example.
        image_id: the placeholder.
        features: placeholders of a picture.
        ledger: receives what is left out.

    Raises:
        InputError: a prompt or the recipe holds the placeholder.
    """
    known = [row for row in rows if row.image in gallery.places]
    kept: list[dict[str, Any]] = []
    prompts: dict[str, np.ndarray[Any, np.dtype[np.int64]]] = {}
    texts = [row.text if recipe.eyes.chat else _after(_prompt(row, recipe), row.text) for row in known]
    for row, ids in zip(known, tokenizer.encode_raw(texts), strict=True):
        said = _prompt(row, recipe)
        if said not in prompts:
            prompts[said] = _prompt_ids(tokenizer, recipe, said, image_id, features, row.source)
        if len(prompts[said]) + len(ids) > recipe.batch.seq_len:
            ledger.problem(row.source, f"is longer than batch.seq_len={recipe.batch.seq_len} with its picture")
            continue
        kept.append({"row": row, "prompt": prompts[said], "text": np.array([*ids, tokenizer.eos_id], dtype=np.int64)})
    return CaptionExamples(
        prompts=[one["prompt"] for one in kept],
        texts=[one["text"] for one in kept],
        places=np.array([gallery.places[one["row"].image] for one in kept], dtype=np.int64),
        looks=gallery.looks,
        sizes_in_bytes=np.array([len(one["row"].text.encode("utf-8", "replace")) for one in kept], dtype=np.int64),
    )


def _prompt(row: Captioned, recipe: CaptionRecipe) -> str:
    return recipe.eyes.prompt if row.prompt is None else row.prompt


def _after(prompt: str, text: str) -> str:
    """A word that follows a word begins with a space."""
    return f" {text}" if prompt and not prompt[-1].isspace() else text


def _prompt_ids(
    tokenizer: Tokenizer, recipe: CaptionRecipe, prompt: str, image_id: int, features: int, where: str
) -> np.ndarray[Any, np.dtype[np.int64]]:
    if not recipe.eyes.chat:
        ids = picture_prompt(tokenizer, image_id=image_id, features=features, prompt=prompt)
        return np.array(ids, dtype=np.int64)
    refuse_placeholder(tokenizer, image_id, prompt, where)
    image = tokenizer.token(image_id)
    ids = chat_ids(tokenizer, [ask_about(prompt)], image=image, features=features, where=where)
    return np.array(ids, dtype=np.int64)
