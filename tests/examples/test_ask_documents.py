"""The program gives the model's answers, and the file in which each stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import transformers as hf

from sensorium.tasks.model import load
from tests.inference.folders import _SIZE, CONTEXT, saved

PROGRAM = Path(__file__).parents[2] / "examples" / "ask_documents.py"
TEXTS = {"a.txt": "The cat sat by the lamp.", "b.md": "The oil is in the cellar. It is old.", "c.txt": "A bird sang."}


def test_each_answer_comes_with_its_file(tmp_path: Path) -> None:
    model, folder = tmp_path / "model", tmp_path / "manuals"
    config = hf.BertConfig(**_SIZE, max_position_embeddings=CONTEXT, pad_token_id=0)
    saved(hf.BertForQuestionAnswering(config), model, "encoder")
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(model), str(folder), "Where is the oil?", "Who sang?"],
        capture_output=True, check=True, timeout=120, encoding="utf-8",
    )  # fmt: skip
    together = "\n\n".join(TEXTS[name] for name in sorted(TEXTS))
    expected = load(model).answer("Where is the oil?", context=together)
    assert f"  {' '.join(expected.text.split())}  ({expected.score:.0%})\n" in done.stdout
    blocks = done.stdout.strip().split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == ["Where is the oil?", "Who sang?"]
    for block in blocks:
        answer = block.splitlines()[1].rsplit("  (", 1)[0].strip()
        (named,) = [name for name in TEXTS if str(folder / name) in block.splitlines()[2]]
        # An untrained model may point at a span that goes on into the next document.
        assert answer in " ".join(together[together.index(TEXTS[named]) :].split())
