"""Numbers that carry a check of their own: bank cards, IBANs, Chinese resident IDs, US social security numbers.

A number of the right form whose check does not hold is most likely another number, and is left alone.
"""

from __future__ import annotations

import calendar

_IBAN_CODES = {
    15: "NO",
    16: "BE",
    18: "DK FI FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
IBAN_LENGTHS = {code: length for length, codes in _IBAN_CODES.items() for code in codes.split()}
"""Characters of an IBAN, by country (SWIFT's registry)."""
_ID_WEIGHTS = [pow(2, 17 - place, 11) for place in range(17)]
_ID_CHECKS = "10X98765432"
_CARDS = (
    (4, 4, {13, 16, 19}),
    (51, 55, {16}),
    (2221, 2720, {16}),
    (34, 34, {15}),
    (37, 37, {15}),
    (6011, 6011, {16}),
    (644, 659, {16}),
    (3528, 3589, {16}),
    (300, 305, {14}),
    (36, 36, {14}),
    (38, 39, {14}),
    (62, 62, {16, 17, 18, 19}),
    (5018, 5018, {16, 19}),
    (6304, 6304, {16, 19}),
)
"""First digits (from, to) and lengths: Visa, Mastercard, American Express, Discover, JCB, Diners, UnionPay, Maestro."""


def is_card(digits: str) -> bool:
    """Whether digits are a bank card's: a known issuer's, of its length, with Luhn's check (ISO/IEC 7812-1)."""
    known = any(
        len(digits) in lengths and first <= int(digits[: len(str(first))]) <= last for first, last, lengths in _CARDS
    )
    return known and len(set(digits)) > 1 and _luhn(digits)


def _luhn(digits: str) -> bool:
    doubled = (2 * int(digit) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(value - 9 * (value > 9) for value in doubled)) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether letters and digits without spaces are an IBAN: its country's length, and the check of ISO 7064."""
    if IBAN_LENGTHS.get(text[:2]) != len(text):
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


def is_resident_id(text: str) -> bool:
    """Whether 18 characters are a Chinese resident's ID (GB 11643): region, date of birth, check."""
    region, year, month, day = int(text[:2]), int(text[6:10]), int(text[10:12]), int(text[12:14])
    if not (11 <= region <= 83 and 1850 <= year <= 2100 and 1 <= month <= 12):
        return False
    if not 1 <= day <= calendar.monthrange(year, month)[1]:
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_ID_WEIGHTS, text, strict=False))
    return _ID_CHECKS[total % 11] == text[17].upper()


def is_social_security(area: str, group: str, serial: str) -> bool:
    """Whether three groups of digits may be a US social security number: those that were never given out may not."""
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"
