"""A model whose files are cut, damaged, foreign or gone is refused in one line, whichever file it is."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.cli.shell import Done, shell
from tests.families import gguf_files

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
WEIGHTS = "model.safetensors"
SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
         "max_position_embeddings", "type_vocab_size")  # fmt: skip


@pytest.fixture
def model(home: Path, tmp_path: Path) -> Path:
    """A copy of the trained encoder, without its run."""
    return Path(shutil.copytree(home / "bert", tmp_path / "bert", ignore=shutil.ignore_patterns("run")))


def fill(folder: Path) -> Done:
    return shell("fill", str(folder), "The [MASK] sat.", "--json")


def is_one_line(done: Done) -> bool:
    return done.err.startswith("error: ") and done.err.count("\n") == 1 and "internal error" not in done.err


def refused(done: Done) -> bool:
    return done.code == 2 and not done.out and is_one_line(done)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_anywhere_is_refused(model: Path, name: str) -> None:
    whole = (model / name).read_bytes()
    assert fill(model).code == 0
    for size in sorted({0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 2}):
        (model / name).write_bytes(whole[:size])
        done = fill(model)
        assert refused(done), (size, done)
        assert name.split(".")[0] in done.err or "tokenizer" in done.err, done.err


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"\xff\xfe" * 40, b"null", b"[]", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"])
def test_a_file_of_something_else_is_refused(model: Path, name: str, content: bytes) -> None:
    (model / name).write_bytes(content)
    done = fill(model)
    assert refused(done) or (name.endswith("_map.json") and done.code == 0 and content[:1] == b"{"), done


@pytest.mark.parametrize("name", FILES[:3])
def test_a_file_that_is_gone_or_is_a_folder_is_refused(model: Path, name: str) -> None:
    (model / name).unlink()
    assert refused(fill(model))
    (model / name).mkdir()
    assert refused(fill(model))


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_never_ends_in_a_defect_of_ours(model: Path, name: str) -> None:
    whole = (model / name).read_bytes()
    places = random.Random(name)
    for _ in range(40):
        damaged = bytearray(whole)
        damaged[places.randrange(min(len(whole), 3000))] = places.randrange(256)
        (model / name).write_bytes(damaged)
        done = fill(model)
        assert done.code == 0 or refused(done), done


@pytest.mark.parametrize("key", SIZES)
@pytest.mark.parametrize("value", [None, "many", -1, 0, 1.5, [], 10**9])
def test_a_size_that_cannot_be_is_refused(model: Path, key: str, value: Any) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, key: value}))
    done = fill(model)
    assert refused(done), done


def test_weights_that_are_missing_unknown_or_of_another_shape_are_named(model: Path) -> None:
    tensors = load_file(model / WEIGHTS)
    word, bias = "bert.embeddings.word_embeddings.weight", "bert.pooler.dense.bias"
    changed = {name: tensor for name, tensor in tensors.items() if name != bias}
    changed |= {"bert.extra": tensors[bias].clone(), word: tensors[word][:-1].clone()}
    save_file(changed, model / WEIGHTS)
    done = fill(model)
    assert refused(done)
    for phrase in (f"missing {bias}", "unknown bert.extra", f"{word} is [299, 32]"):
        assert phrase in done.err, done.err


def test_another_models_tokenizer_is_refused(home: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("Entirely other words stand in this text, as other as words can be. " * 50)
    arguments = ["prepare", str(home / "texts"), str(tmp_path / "more.txt"), "--tokenizer", "bpe:330"]
    assert shell(*arguments, "--out", str(tmp_path / "other")).code == 0
    shutil.copy(tmp_path / "other" / "tokenizer.json", model / "tokenizer.json")
    done = fill(model)
    assert refused(done)
    assert "the tokenizer has 330 tokens, the model only 300" in done.err


def test_weights_that_changed_since_they_were_saved_do_not_verify(model: Path) -> None:
    assert shell("verify", str(model)).code == 0
    tensors = load_file(model / WEIGHTS)
    tensors["cls.predictions.bias"][7] += 0.5
    save_file(tensors, model / WEIGHTS)
    done = shell("verify", str(model))
    assert done.code == 1
    assert "FAIL logits" in done.out


def test_a_gguf_file_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    backend = gguf_files.tokenizer()
    path = tmp_path / "model.gguf"
    gguf_files.write(path, gguf_files.stock(backend.get_vocab_size()), backend)
    assert shell("generate", str(path), "the", "--max-new-tokens", "2").code == 0
    whole = path.read_bytes()
    for size in (0, 1, 4, 8, 16, 24, 100, 1000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        done = shell("generate", str(path), "the")
        assert refused(done), (size, done)
        assert "model.gguf" in done.err
