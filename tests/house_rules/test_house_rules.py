"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
EXTRAS = (
    "transformers", "gguf", "tensorboard", "sentencepiece", "huggingface_hub", "soundfile", "soxr", "av", "sklearn",
    "bm25s", "sacrebleu", "pytest",
)  # fmt: skip
IMPORT_ALL = """
import importlib, pkgutil, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {extras!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import sensorium
for module in pkgutil.walk_packages(sensorium.__path__, "sensorium."):
    importlib.import_module(module.name)
"""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_and_says_what_it_does(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text))


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)


def test_importing_sensorium_and_its_command_line_imports_nothing_heavy() -> None:
    done = run("import sys, sensorium, sensorium.cli.app; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert not {"torch", "numpy", "transformers", "matplotlib", "pyarrow", "tokenizers"} & set(done.stdout.split())


def test_every_module_imports_with_the_core_dependencies_alone() -> None:
    done = run(IMPORT_ALL.format(extras=EXTRAS))
    assert done.returncode == 0, done.stderr


def test_nothing_unpickles() -> None:
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert "pickle" not in text or "pickle can run code" in text, path
        assert text.count("torch.load(") == text.count("weights_only=True"), path
