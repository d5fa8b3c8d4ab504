"""The command line as a user meets it: what it prints, how it exits, and what it leaves in a folder."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from sensorium.cli.app import main
from sensorium.files import file_hash


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


def shell(*arguments: str, stdin: bytes = b"") -> Done:
    """Run the console script's own `main` in this process, warnings shown as a shell shows them."""
    out, err = io.StringIO(), io.StringIO()
    given = io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin)), encoding="utf-8")

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        err.write(warnings.formatwarning(message, category, filename, lineno))

    with (
        patch.object(sys, "argv", ["sensorium", *arguments]),
        patch.object(sys, "stdin", given),
        patch.dict(os.environ, {"SENSORIUM_DEBUG": ""}),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        warnings.showwarning = show
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return Done(code, out.getvalue(), err.getvalue())


def apart(*arguments: str, stdin: str = "", **options) -> Done:
    """Run it in a process of its own, for limits, signals and files that only a process has."""
    done = subprocess.run(
        [sys.executable, "-m", "sensorium.cli.app", *arguments],
        check=False,
        input=stdin,
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )
    return Done(done.returncode, done.stdout or "", done.stderr)


def tree(folder: Path) -> dict[str, str]:
    """Everything in a folder, hidden files too: path → hash of the file."""
    return {
        str(path.relative_to(folder)): file_hash(path) if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }
