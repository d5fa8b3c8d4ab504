"""What the documents show: the fenced blocks of a Markdown file, and the commands of a piece of shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("README*.md", "CONTRIBUTING.md", "docs/**/*.md", "examples/**/*.md", "src/sensorium/assets/**/*.md")
    for path in ROOT.glob(pattern)
)
_FENCE = re.compile(r"^( *)(```+|~~~+) *(\w*)[^\n]*\n(.*?)^\1\2", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`((?:sm|sensorium)\.(?!json`|safetensors`)[^`\n]+)`")
"""Code, not a file's name."""
_OPERATOR = re.compile(r"[();<>|&]+")
_ASSIGNMENT = re.compile(r"\w+=.*", re.DOTALL)


def fenced(text: str) -> Iterator[tuple[str, str]]:
    """The language and the text of each fenced block."""
    for block in _FENCE.finditer(text):
        yield block[3].lower(), dedent(block[4])


def python(text: str) -> Iterator[str]:
    """The Python blocks of a document, then what its prose calls, such as `sm.load(folder)`."""
    yield from (block for language, block in fenced(text) if language in ("python", "py"))
    yield from _SPAN.findall(_FENCE.sub("", text))


def commands(shell: str) -> Iterator[list[str]]:
    """The arguments of each `sensorium` in a piece of shell: after a prompt, a pipe or settings, over many lines."""
    for line in shell.replace("\\\n", " ").splitlines():
        if "sensorium" not in line:
            continue
        words = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars=True)
        words.whitespace_split = True
        for operator, group in groupby(words, key=lambda word: bool(_OPERATOR.fullmatch(word))):
            command = list(group)
            while command and _ASSIGNMENT.fullmatch(command[0]):
                del command[0]
            if not operator and command and Path(command[0]).name == "sensorium":
                yield command[1:]
