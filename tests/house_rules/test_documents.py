"""What the documents and the package's own messages tell a reader to type is there to be typed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import sensorium
from tests.house_rules.cli import parse
from tests.house_rules.documents import DOCUMENTS, ROOT, commands, fenced, python
from tests.house_rules.usage import Usage

SHELL = """
$ LANG=C OMP_NUM_THREADS=2 .venv/bin/sensorium train corpus \\
    --recipe bert-mini   # it's a comment
cat a | sensorium fill default "a | b (c)" --top-k 3 | head && sensorium recipes > recipes.txt
pip install sensorium
"""
every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def held(arguments: list[str]) -> None:
    try:
        parse(arguments)
    except Exception as error:
        error.add_note(f"in: sensorium {' '.join(arguments)}")
        raise


def test_commands_are_found_in_shell() -> None:
    assert list(commands(SHELL)) == [
        ["train", "corpus", "--recipe", "bert-mini"],
        ["fill", "default", "a | b (c)", "--top-k", "3"],
        ["recipes"],
    ]


def test_blocks_and_spans_are_found_in_markdown() -> None:
    text = "`sm.a` \n```python\nb\n```\n- x\n\n  ~~~sh title=1\n  c\n    d\n  ~~~\n"
    assert list(fenced(text)) == [("python", "b\n"), ("sh", "c\n  d\n")]
    assert list(python(text)) == ["b\n", "sm.a"]


@every_document
def test_a_documents_commands_parse(path: Path) -> None:
    for language, block in fenced(path.read_text(encoding="utf-8")):
        if language not in ("python", "py"):
            for arguments in commands(block):
                held(arguments)


@every_document
def test_a_documents_python_keeps_to_the_api(path: Path) -> None:
    usage = Usage()
    for code in python(path.read_text(encoding="utf-8")):
        try:
            usage.check(code)
        except Exception as error:
            error.add_note(f"in:\n{code}")
            raise


def test_the_packages_docstring_keeps_to_the_api() -> None:
    code = re.findall(r"^    (.*)$", sensorium.__doc__ or "", re.MULTILINE)
    assert code
    Usage().check("\n".join(code))


def test_the_commands_in_the_packages_messages_parse() -> None:
    """Those on lines of their own, and those after a colon: `Make one with: sensorium prepare ...`."""
    found = [
        arguments
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for command in re.findall(r"(?:^|: )(sensorium .+)$", node.value, re.MULTILINE)
        for arguments in commands(command)
    ]
    assert found
    for arguments in found:
        held(arguments)


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("sm.lode('m')", "lode"),
        ("from sensorium.data import nothing", "nothing"),
        ("import sensorium as s\ns.train('c', recipe='r', out='o', recie='q')", "recie"),
        ("sm.prepare('books/')", "out"),
        ("sm.load(..., verfy=True)", "verfy"),
        ("sm.load('m').chatter('hello')", "chatter"),
        ("lm = sm.load('m')\nlm.generate('a', tokens=3)", "tokens"),
        ("sm.load('m').tokenizer.encoed('a')", "encoed"),
        ("done = sm.tour('t')\nprint(done.repotr)", "repotr"),
        ("for x in range(3): sm.load('m', engin=x)", "engin"),
    ],
)
def test_wrong_python_is_found(code: str, complaint: str) -> None:
    with pytest.raises((ImportError, AttributeError, TypeError), match=complaint):
        Usage().check(code)
