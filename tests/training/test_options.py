"""Gradient checkpointing and compiling are done where they are asked for, and change no result."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sensorium.core import stack as core
from sensorium.data.shards import Corpus
from sensorium.training.train import train

FP32 = "run.precision=fp32"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_gradient_checkpointing_recomputes_blocks_to_the_same_weights(
    corpus: Corpus, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recomputed = []
    original = core.checkpoint

    def counted(*given: Any, **options: Any) -> Any:
        recomputed.append(given[0])
        return original(*given, **options)

    monkeypatch.setattr(core, "checkpoint", counted)
    train(corpus, recipe="bert-tiny", out=tmp_path / "plain", overrides=[*small, FP32])
    assert not recomputed
    asked = [*small, FP32, "run.gradient_checkpointing=true"]
    train(corpus, recipe="bert-tiny", out=tmp_path / "checkpointed", overrides=asked)
    assert len(recomputed) == 12  # one block, twelve steps
    plain, checkpointed = weights(tmp_path / "plain"), weights(tmp_path / "checkpointed")
    for name, weight in plain.items():
        torch.testing.assert_close(checkpointed[name], weight, msg=name)


COMPILED = """
import sys
from torch import nn
from torch._dynamo.utils import counters
from sensorium.training.train import train
corpus, out, *overrides = sys.argv[1:]
compiled, original = [], nn.Module.compile
def eagerly(module, **options):  # the default back-end needs a C++ compiler on the machine
    compiled.append(type(module).__name__)
    original(module, backend="aot_eager", **options)
nn.Module.compile = eagerly
plain = train(corpus, recipe="llama-tiny", out=out + "/plain", overrides=overrides)
assert not compiled
fast = train(corpus, recipe="llama-tiny", out=out + "/compiled", overrides=overrides, compile=True)
assert compiled == ["Block"], compiled
assert abs(fast.metrics["loss"] / plain.metrics["loss"] - 1) < 1e-4, (fast.metrics, plain.metrics)
assert counters["stats"]["unique_graphs"] <= 8, counters  # three pieces of a block, with and without gradients
"""


def test_compile_compiles_the_blocks_and_changes_no_result(corpus: Corpus, small: list[str], tmp_path: Path) -> None:
    # In a process of its own: torch.compile cannot trace the type checks that tests run with.
    command = [sys.executable, "-c", COMPILED, str(corpus.folder), str(tmp_path), "model.kv_heads=1", *small, FP32]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
