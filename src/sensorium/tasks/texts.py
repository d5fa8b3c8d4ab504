"""Texts as they are handed in, checked before any work is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sensorium.errors import InputError


def checked(given: object, what: str = "text") -> list[str]:
    """The texts, all of them strings that UTF-8 can write; a string alone is a list of one.

    Raises:
        InputError: one is no string, or holds half of a surrogate pair (as bytes do that were no valid UTF-8).
    """
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise InputError(
            f"expected a {what} as a string, got {type(given).__name__}", fix="Give a string, or a list of strings"
        )
    texts = list(given)
    found: list[str] = []
    for number, text in enumerate(texts):
        where = place(number, texts, what)
        if not isinstance(text, str):
            raise InputError(f"expected a {what} as a string, got {type(text).__name__}", where=where)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"the {what} is not valid Unicode at character {error.start + 1}",
                where=where,
                fix="Give UTF-8 text",
            ) from error
        found.append(text)
    return found


def place(number: int, texts: Sequence[object], what: str = "text") -> str | None:
    """How a message names one of several texts; a single one needs no name."""
    return f"{what} {number + 1}" if len(texts) > 1 else None
