"""Chats: messages as the OpenAI API has them, their pictures, and the model's answer.

Unusual: a picture is named by a `data:` URL, by a local path, or handed in as it is. What an `http` URL names is
fetched only if the caller allows it: a program that answers strangers must not be sent to look around its own network.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from torch import Tensor

from sensorium.errors import CapabilityError, InputError, unknown
from sensorium.files import refuse_unspeakable
from sensorium.inference.chat_template import Message, rendered_ids
from sensorium.inference.decode import Request
from sensorium.inference.engine import Engine
from sensorium.inference.eyes import Looking, SeeingEngine, Seen, refuse_placeholder
from sensorium.inference.logits import Sampling
from sensorium.modalities.pixels import Picture

ROLES = ("system", "user", "assistant", "tool", "developer")
_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[^;,]+)*),(.*)", re.DOTALL)
_MOST_BYTES = 64 << 20
_SECONDS = 20


@dataclass(frozen=True, eq=False)
class Chat:
    """Messages in the templates' form, and their pictures in their order."""

    messages: list[Message]
    pictures: list[Picture]


def read_chat(messages: Sequence[Mapping[str, Any]], *, allow_urls: bool = False, allow_files: bool = True) -> Chat:
    """Look over messages and gather their pictures.

    Args:
        messages: `role`, and `content`: a text, or a list of parts: {"type": "text", "text": ...},
            {"type": "image_url", "image_url": {"url": ...}} or {"type": "image", "image": a path, bytes or tensor}.
        allow_urls: fetch what http and https URLs name.
        allow_files: open local paths.

    Raises:
        InputError: a message has another form, or a picture that may not be opened.
    """
    if not isinstance(messages, list | tuple) or not messages:
        raise InputError(
            "a chat is a list of messages, and not empty", fix='Give for example [{"role": "user", "content": "Hello"}]'
        )
    pictures: list[Picture] = []
    shaped: list[Message] = []
    for number, message in enumerate(messages, 1):
        where = f"message {number}"
        if not isinstance(message, Mapping) or message.get("role") not in ROLES:
            role = message.get("role") if isinstance(message, Mapping) else message
            raise InputError(unknown("role", str(role), ROLES), where=where, fix='Write {"role": ..., "content": ...}')
        for said in message.values():
            if isinstance(said, str):
                refuse_unspeakable(said, where=where)
        content = message.get("content")
        if isinstance(content, str):
            shaped.append({**message})
            continue
        if not isinstance(content, Sequence):
            raise InputError("has no content", where=where, fix="Give a text, or a list of parts")
        parts = [_part(part, f"{where}, part {i}") for i, part in enumerate(content, 1)]
        found = [_picture(part, allow_urls, allow_files) for part in parts if part["type"] == "image"]
        pictures += found
        shaped.append({**message, "content": [part if part["type"] == "text" else {"type": "image"} for part in parts]})
    return Chat(shaped, pictures)


def _part(part: Any, where: str) -> dict[str, Any]:
    """A part as {"type": "text", "text"} or {"type": "image", "image", "where"}."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in ("text", "input_text") and isinstance(part.get("text"), str):
        refuse_unspeakable(part["text"], where=where)
        return {"type": "text", "text": part["text"]}
    if kind in ("image_url", "input_image"):
        url = part.get("image_url")
        return {"type": "image", "image": url.get("url") if isinstance(url, Mapping) else url, "where": where}
    if kind == "image":
        return {"type": "image", "image": part.get("image", part.get("url", part.get("path"))), "where": where}
    raise InputError(
        f"a part of the type {kind!r} is not read" if kind else "is no part of a message",
        where=where,
        fix='Give {"type": "text", "text": ...} or {"type": "image_url", "image_url": {"url": ...}}',
    )


def _picture(part: Mapping[str, Any], allow_urls: bool, allow_files: bool) -> Picture:
    image, where = part["image"], part["where"]
    if isinstance(image, bytes | Tensor):
        return image
    if not isinstance(image, str | os.PathLike):
        raise InputError("names no picture", where=where, fix="Give a data: URL, a path, bytes or a tensor")
    text = os.fspath(image)
    if text.startswith("data:"):
        return _of_data(text, where)
    if re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE):
        scheme = urlsplit(text).scheme.lower()
        if scheme in ("http", "https"):
            if not allow_urls:
                raise InputError(
                    "names a picture on the network, which is not fetched unless it is allowed",
                    where=where,
                    fix="Send the picture itself as a data: URL, or allow URLs (allow_urls=True)",
                )
            return _fetched(text, where)
        if scheme != "file":
            raise InputError(f"{scheme}: URLs are not read", where=where, fix="Give a data: URL or a path")
        text = unquote(urlsplit(text).path)
    if not allow_files:
        raise InputError("local files are not opened here", where=where, fix="Send the picture as a data: URL")
    return Path(text)


def _of_data(url: str, where: str) -> bytes:
    match = _DATA.fullmatch(url)
    try:
        if match is None:
            raise ValueError
        if ";base64" in match[2]:
            return base64.b64decode(unquote(match[3]), validate=True)
        return unquote_to_bytes(match[3])
    except (ValueError, binascii.Error) as error:
        raise InputError(
            "a damaged data: URL", where=where, fix="Write data:image/png;base64, and the picture in base64"
        ) from error


def _fetched(url: str, where: str) -> bytes:
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=_SECONDS) as answer:
            content: bytes = answer.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"the picture cannot be fetched: {error}", where=where, fix="Check the address") from error
    if len(content) > _MOST_BYTES:
        raise InputError(f"the picture is larger than {_MOST_BYTES >> 20} MiB", where=where, fix="Make it smaller")
    return content


def chat_request(
    engine: Engine, chat: Chat, *, max_new_tokens: int, sampling: Sampling, stop: tuple[str, ...], seed: int | None
) -> tuple[Engine, Request]:
    """A chat as a request for its answer, and the engine to give it to.

    Raises:
        CapabilityError: the model has no chat template, or the chat has pictures and the model does not see.
        InputError: a picture cannot be opened, a text holds the placeholder, or the chat fills the context.
        DataError: a picture is none, is damaged or too large.
    """
    seen: Seen | None = None
    if isinstance(engine, SeeingEngine):
        for number, message in enumerate(chat.messages, 1):
            texts = [message["content"]] if isinstance(message["content"], str) else message["content"]
            for text in texts:
                words = text if isinstance(text, str) else text.get("text", "")
                refuse_placeholder(engine.tokenizer, engine.image_id, words, f"message {number}")
        seen = engine.see(chat.pictures) if chat.pictures else None
    elif chat.pictures:
        raise CapabilityError(
            "the model does not see pictures",
            where=engine.source,
            fix="Load one that does (a LLaVA folder, or what sensorium.give_eyes made), or leave the pictures out",
        )
    ids = rendered_ids(engine, chat.messages)
    if not ids:
        raise InputError("the chat is empty", fix="Say something")
    if engine.context is not None:
        if len(ids) >= engine.context:
            raise InputError(
                f"the chat is {len(ids)} tokens long, the model's context holds {engine.context}",
                fix="Drop its oldest messages",
            )
        max_new_tokens = min(max_new_tokens, engine.context - len(ids))
    request = Request(prompt=ids, max_new_tokens=max_new_tokens, sampling=sampling, stop=stop, seed=seed)
    if isinstance(engine, SeeingEngine) and seen is not None:
        return Looking(engine, [seen]), request
    return engine, request
