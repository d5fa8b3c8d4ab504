"""Masking what names a person or a machine: e-mail addresses, URLs, phone numbers, identity numbers, IP addresses.

Each kind is masked only if asked for, replaced by a placeholder (`<EMAIL>`), and counted. A number is masked if its
own check holds (`numbers`), a phone number if it is written as one is in China, in North America or with a country's
code, or if a word before it says that it is one. Names and street addresses are not found: no rule can.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from sensorium.data.cleaning.numbers import is_card, is_iban, is_resident_id, is_social_security
from sensorium.data.stages import TEXT, Mapped, with_texts
from sensorium.errors import InputError, unknown

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["url", "email", "ip", "iban", "id", "card", "ssn", "phone"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which they are looked for: what one has taken, the next does not see."""
COUNTED = {
    "url": "URLs",
    "email": "e-mail addresses",
    "ip": "IP addresses",
    "iban": "IBANs",
    "id": "resident IDs",
    "card": "bank cards",
    "ssn": "social security numbers",
    "phone": "phone numbers",
}

_BEFORE = r"(?<![0-9A-Za-z_.,=+#$€£¥-])(?<![0-9][:/])"
_AFTER = r"(?![0-9A-Za-z_]|[.,:-][0-9])"
"""A number stands for itself: it is no part of a longer number, a word, a time, a ratio or a price."""
_NUMBER = re.compile(
    r"[0-9](?:(?:[^0-9\n]{0,3}[0-9]){5}|\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[0-9A-Fa-f]{3}:[0-9A-Fa-f:]{3})"
)
"""Six digits close together, or the beginning of an IP address: any number that is masked holds it, in one line."""
_URL_HINTS = ("://", "www.", "WWW.", "Www.")
_SCHEME = re.compile(r"(?<![A-Za-z0-9])(?:https?|ftp)://|(?<![A-Za-z0-9@./-])www\.(?=[A-Za-z0-9])", re.IGNORECASE)
_URL_REST = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_URL_END = ".,;:!?'\"*"
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9])[A-Za-z0-9][A-Za-z0-9_%+-]{0,63}+(?:\.{1,2}[A-Za-z0-9_%+-]{1,63}+){0,20}+\.{0,2}@"
    r"(?![0-9]+(?:\.[0-9]|x\.))(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
"""Two dots in a row are in some old addresses; three end a sentence. `vue@2.6.14` and `logo@2x.png` are files."""
_IPV4 = re.compile(r"(?<![0-9A-Za-z_.-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9A-Za-z_-]|\.[0-9])")
_IPV6 = re.compile(r"(?<![0-9A-Za-z_:.])[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{2,34}(?![0-9A-Za-z_:])")
_VERSION = re.compile(r"(?:version|release|build|rev|ver|v|版本|版)\.?[ :：]{0,2}$", re.IGNORECASE)
_IBAN = re.compile(r"(?<![0-9A-Za-z])[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,3})?(?![0-9A-Za-z])")
_ID = re.compile(r"(?<![0-9A-Za-z.])[1-8][0-9]{16}[0-9Xx](?![0-9A-Za-z]|\.[0-9])")
_CARD = re.compile(
    r"(?<![0-9A-Za-z.-])(?:[2-6][0-9]{12,18}|[2-6][0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}|"
    r"3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5})(?![0-9A-Za-z]|[.-][0-9])"
)
_SSN = re.compile(rf"{_BEFORE}([0-9]{{3}})-([0-9]{{2}})-([0-9]{{4}}){_AFTER}")
_PHONE = re.compile(
    rf"""
    (?=[0-9+(（]) {_BEFORE} (?:
        (?:\+|00)86[ -]?1[3-9][0-9](?:[ -]?[0-9]{{4}}){{2}}             # China, mobile, with its code
      | 1[3-9][0-9](?:[0-9]{{8}} | [ -][0-9]{{4}}[ -][0-9]{{4}})           # and without
      | (?:\+86[ -]?)?(?:\(0[1-9][0-9]{{1,2}}\)|（0[1-9][0-9]{{1,2}}）)[ -]?[2-8][0-9]{{6,7}}
      | (?:\+86[ -]?0?|0)(?:10|2[0-9]|[3-9][0-9]{{2}})[ -][2-8][0-9]{{6,7}}(?:-[0-9]{{1,5}})?
      | [48]00-[0-9]{{3}}-[0-9]{{4}} | [48]00[ ][0-9]{{3}}[ ][0-9]{{4}}
      | \+[1-9][0-9]{{0,2}}(?:[ .-]?\(0?[0-9]{{1,4}}\))?                         # any country, with its code
          [ .-]?[0-9]{{1,5}}(?:[ .-]?[0-9]{{2,5}}){{1,5}}
      | (?:\+?1[ .-])?\([2-9][0-9]{{2}}\)[ ]?[2-9][0-9]{{2}}[ .-][0-9]{{4}}          # North America
      | (?:\+?1[ .-])?[2-9][0-9]{{2}}([.-])[2-9][0-9]{{2}}\1[0-9]{{4}}
      | 0[1-9](?:[ .][0-9]{{2}}){{4}}                                              # France
      | 0[1-9][0-9]{{1,3}}[ ][0-9]{{3,4}}[ ][0-9]{{4}}                             # Britain, Japan
      | 0[1-9]0-[0-9]{{4}}-[0-9]{{4}} | 0[1-9]-[0-9]{{4}}-[0-9]{{4}}
    ) {_AFTER}
    """,
    re.VERBOSE,
)
_NAMED_PHONE = re.compile(
    r"(?:(?<![A-Za-z])(?:tel|phone|telephone|mobile|cell|fax|téléphone|tél|telefon|handy|teléfono|whatsapp)\b\.?"
    r"(?: ?(?:no\.?|number))?|电话|電話|手机|手機|传真|傳真|热线|熱線|联系方式|号码|联系人)"
    r"[^0-9+(\n]{0,4}([+(]?[0-9](?:[0-9 ().-]{0,5}/)?[0-9 ().-]{4,20}[0-9])(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_YEARS = re.compile(
    r"(?:19|20)[0-9]{2}(?:[./-](?:19|20)?[0-9]{2}|([./-])[0-9]{1,2}\1[0-9]{1,2})"
    r"|[0-9]{1,2}([./-])[0-9]{1,2}\2(?:19|20)[0-9]{2}"
)
"""A span of years or a date."""
_NOT_DIGITS = re.compile(r"[^0-9]+")


def mask(text: str, kinds: Sequence[str] = KINDS, *, placeholder: str = "<{}>") -> tuple[str, Counter[str]]:
    """The text with placeholders, and how many of each kind.

    Args:
        text: any text.
        kinds: what to mask.
        placeholder: what stands for it, `{}` being its kind in capitals.
    """
    counts = Counter[str]()
    if "url" in kinds and any(part in text for part in _URL_HINTS):
        text = _apply("url", text, placeholder, counts)
    if "email" in kinds and "@" in text:
        text = _apply("email", text, placeholder, counts)
    numbers = [kind for kind in KINDS[2:] if kind in kinds]
    return (_mask_numbers(text, numbers, placeholder, counts) if numbers else text), counts


def _apply(kind: Kind, text: str, placeholder: str, counts: Counter[str]) -> str:
    text, count = _FINDERS[kind](text, placeholder.format(kind.upper()))
    if count:
        counts[kind] += count
    return text


def _mask_numbers(text: str, kinds: Sequence[Kind], placeholder: str, counts: Counter[str]) -> str:
    """Of most texts, no line or a few hold a number that is long enough: only these are looked at closely."""
    pieces, done = list[str](), 0
    found = _NUMBER.search(text)
    while found:
        start = text.rfind("\n", 0, found.start()) + 1
        end = text.find("\n", found.end())
        end = len(text) if end < 0 else end
        line = text[start:end]
        for kind in kinds:
            line = _apply(kind, line, placeholder, counts)
        pieces += [text[done:start], line]
        done = end
        found = _NUMBER.search(text, end)
    return "".join([*pieces, text[done:]]) if pieces else text


def _mask_urls(text: str, by: str) -> tuple[str, int]:
    pieces, done, count = list[str](), 0, 0
    for found in _SCHEME.finditer(text):
        if found.start() < done or (rest := _URL_REST.match(text, found.end())) is None:
            continue
        url = rest.group().rstrip(_URL_END)
        while url.endswith((")", "]")) and url.count(url[-1]) > url.count("(" if url[-1] == ")" else "["):
            url = url[:-1].rstrip(_URL_END)
        if not url:
            continue
        pieces += [text[done : found.start()], by]
        done, count = found.end() + len(url), count + 1
    return ("".join([*pieces, text[done:]]), count) if count else (text, 0)


def _mask_where(
    pattern: re.Pattern[str], holds: Callable[[re.Match[str]], bool] | None = None, group: int = 0
) -> Callable[[str, str], tuple[str, int]]:
    """A function that replaces what a pattern finds, if a condition holds."""

    def replace(text: str, by: str) -> tuple[str, int]:
        if holds is None and group == 0:
            return pattern.subn(lambda _: by, text)
        pieces, done = list[str](), 0
        for found in pattern.finditer(text):
            if holds is None or holds(found):
                pieces += [text[done : found.start(group)], by]
                done = found.end(group)
        return ("".join([*pieces, text[done:]]), len(pieces) // 2) if pieces else (text, 0)

    return replace


def _is_public_ipv4(found: re.Match[str]) -> bool:
    """Whether four numbers are the address of a machine: of no private network, which would tell nothing of anyone;
    not all below 32, as one address in 3,600 is and nearly every number of a section; nor called a version."""
    numbers = [int(part) for part in found.group().split(".")]
    if max(numbers) > 255 or max(numbers) < 32 or any(part[0] == "0" < part[1:] for part in found.group().split(".")):
        return False
    public = ipaddress.IPv4Address(found.group()).is_global
    return public and not _VERSION.search(found.string, max(0, found.start() - 12), found.start())


def _is_public_ipv6(found: re.Match[str]) -> bool:
    try:
        return ipaddress.IPv6Address(found.group()).is_global
    except ValueError:
        return False


def _mask_ips(text: str, by: str) -> tuple[str, int]:
    text, four = _mask_where(_IPV4, _is_public_ipv4)(text, by)
    text, six = _mask_where(_IPV6, _is_public_ipv6)(text, by) if ":" in text else (text, 0)
    return text, four + six


def _is_phone(found: re.Match[str]) -> bool:
    return 7 <= len(_NOT_DIGITS.sub("", found.group())) <= 15


def _is_named_phone(found: re.Match[str]) -> bool:
    number = found.group(1)
    return 6 <= len(_NOT_DIGITS.sub("", number)) <= 15 and not _YEARS.fullmatch(number)


def _mask_phones(text: str, by: str) -> tuple[str, int]:
    """Those that a word names first: the placeholder is such a word."""
    text, named = _mask_where(_NAMED_PHONE, _is_named_phone, 1)(text, by)
    text, count = _mask_where(_PHONE, _is_phone)(text, by)
    return text, named + count


_FINDERS: dict[Kind, Callable[[str, str], tuple[str, int]]] = {
    "url": _mask_urls,
    "email": _mask_where(_EMAIL),
    "ip": _mask_ips,
    "iban": _mask_where(_IBAN, lambda found: is_iban(found.group().replace(" ", ""))),
    "id": _mask_where(_ID, lambda found: is_resident_id(found.group())),
    "card": _mask_where(_CARD, lambda found: is_card(_NOT_DIGITS.sub("", found.group()))),
    "ssn": _mask_where(_SSN, lambda found: is_social_security(*found.group(1, 2, 3))),
    "phone": _mask_phones,
}


@dataclass(frozen=True)
class Mask:
    """Masks what names a person or a machine.

    Args:
        kinds: what to mask: url, email, ip, iban, id (a Chinese resident's), card, ssn (the USA's), phone.
        placeholder: what stands for it, `{}` being its kind in capitals.
    """

    kinds: tuple[str, ...] = ("email", "ip", "iban", "id", "card", "ssn", "phone")
    placeholder: str = field(default="<{}>", kw_only=True)
    name: str = field(default="mask", kw_only=True)

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise InputError(unknown("kind to mask", kind, KINDS))

    def map(self, batch: pa.RecordBatch) -> Mapped:
        """The masked texts."""
        texts: list[str] = batch.column(TEXT).to_pylist()
        counts, masked = Counter[str](), list[str]()
        for text in texts:
            result, found = mask(text, self.kinds, placeholder=self.placeholder)
            masked.append(result)
            counts.update(found)
        if not counts:
            return Mapped(batch)
        return Mapped(with_texts(batch, masked), {f"{COUNTED[kind]} masked": counts[kind] for kind in sorted(counts)})
