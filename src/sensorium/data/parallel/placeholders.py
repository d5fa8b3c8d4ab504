"""What a translation must carry over as it is: `%s`, `%(name)d`, `%1$s`, `{name}`, `${VAR}`, `$VAR`, `<b>`, `&amp;`.

Both sides of a pair must hold the same ones, in any order; a tag counts by its name, since an attribute may be
translated (`title`, the language in a link).
"""

from __future__ import annotations

import regex

_PLACEHOLDER = regex.compile(
    r"""
    %%
  | %\([\w.-]+\)[-+#0\ ]*\d*(?:\.\d+)?[a-zA-Z]                # Python's  %(name)s
  | %(?:\d+\$)?[-+\#0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?           # C's       %-5.2f  %1$s  %ld
    (?:hh?|ll?|[qjztL])?[diouxXeEfFgGcCsSpaA@](?![a-zA-Z])
  | %[L]?(?:\d{1,2}|n)(?![a-zA-Z\d])                          # Qt's      %1  %n
  | \$\{[^{}\s]+\} | \$\([\w.-]+\) | \$[A-Za-z_]\w*         # shell's   ${VAR}  $(VAR)  $VAR
  | \{\{?[^{}\s]*\}?\}                                        # Python's  {name}  {0:.2f}  {{name}}
  | </?[A-Za-z][\w:.-]*(?:\s[^<>]*)?/?>                       # a tag
  | &(?:[A-Za-z][A-Za-z0-9]+|\#\d+|\#x[0-9A-Fa-f]+);          # an entity
    """,
    flags=regex.X,
)
_TAG_NAME = regex.compile(r"</?[\w:.-]+")


def placeholders(text: str) -> list[str]:
    """The placeholders of a text as they stand, in order.

    A per cent sign after a digit (`5 %d'eau`, `100%`) is one, no placeholder.
    """
    return [match.group() for match in find(text)]


def find(text: str) -> list[regex.Match[str]]:
    """The placeholders of a text with their places."""
    found = list[regex.Match[str]]()
    for match in _PLACEHOLDER.finditer(text):
        after_digit = match.start() > 0 and text[match.start() - 1].isdigit()
        follows = found and found[-1].end() == match.start()
        if match.group()[0] != "%" or match.group() == "%%" or follows or not after_digit:
            found.append(match)
    return found


def agree(a: str, b: str) -> bool:
    """Whether two texts hold the same placeholders, each as often."""
    return sorted(map(_bare, placeholders(a))) == sorted(map(_bare, placeholders(b)))


def _bare(placeholder: str) -> str:
    """A tag without its attributes; everything else as it is."""
    if placeholder[0] != "<":
        return placeholder
    name = _TAG_NAME.match(placeholder)
    return f"{name.group()}>" if name else placeholder
