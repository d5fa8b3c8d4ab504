"""Fixtures hold for the model that was saved, in both engines, and catch one that is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sensorium.errors import CheckpointError, InputError
from sensorium.inference.fixtures import FILE, verify, write_fixtures
from sensorium.tasks.model import load
from tests.inference.folders import TOKENIZER, bert, headless, llama, saved

MAKES = {"encoder": bert, "decoder": llama}


@pytest.fixture(params=["encoder", "decoder"])
def folder(request, tmp_path) -> Path:
    saved(MAKES[request.param](), tmp_path / "model", request.param)
    write_fixtures(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("engine", ["native", "transformers"])
def test_a_saved_model_verifies(folder: Path, engine: str) -> None:
    found = verify(folder, engine=engine)
    assert found.passed, [check for check in found.checks if not check.passed]
    assert found.engine == engine
    assert len(found.checks) >= 9
    if engine == "native":
        assert any("last bit" in check.detail for check in found.checks)
    load(folder, verify=True)


def test_a_changed_weight_is_found(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "layer" in name and name.endswith("weight") and weights[name].dim() == 2)
    weights[name][3] += 0.5
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    found = verify(folder)
    assert not found.passed
    assert any(check.name.startswith("logits") and not check.passed for check in found.checks)
    with pytest.raises(CheckpointError, match="does not compute what it did"):
        load(folder, verify=True)
    load(folder)


def test_a_changed_tokenizer_is_found(folder: Path) -> None:
    text = (folder / "tokenizer.json").read_text()
    tokenizer = json.loads(text)
    tokenizer["model"]["merges"] = []
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    failed = [check for check in verify(folder).checks if not check.passed]
    assert any(check.name.startswith("token ids") for check in failed)


def test_weights_that_are_not_numbers_are_found(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    for tensor in weights.values():
        tensor.fill_(torch.nan)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert not verify(folder).passed


def test_other_provenance_is_kept(folder: Path) -> None:
    known = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps({"run": {"recipe": "x"}, **known}))
    write_fixtures(folder)
    again = json.loads((folder / FILE).read_text())
    assert again["run"] == {"recipe": "x"}
    assert again["fixtures"] == known["fixtures"]


def test_models_with_little_room_have_fixtures_too(tmp_path) -> None:
    from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

    size = {"vocab_size": TOKENIZER.vocab_size, "pad_token_id": 0}
    small = BertConfig(**size, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, max_position_embeddings=4)  # noqa: E501 # fmt: skip
    saved(BertForMaskedLM(small), tmp_path / "encoder", "encoder")
    saved(GPT2LMHeadModel(GPT2Config(**size, n_embd=8, n_layer=1, n_head=1, n_positions=6)), tmp_path / "d", "decoder")
    for part in ("encoder", "d"):
        write_fixtures(tmp_path / part)
        assert verify(tmp_path / part).passed


def test_a_folder_without_fixtures_says_so(tmp_path) -> None:
    saved(headless(), tmp_path, "encoder")
    with pytest.raises(InputError, match="carries no fixtures"):
        verify(tmp_path)
    write_fixtures(tmp_path)
    with pytest.raises(InputError, match="carries no fixtures"):
        load(tmp_path, verify=True)


@pytest.mark.parametrize("text", ["{", "[]", '{"fixtures": [{"task": "fill_mask"}]}', '{"fixtures": ["x"]}'])
def test_damaged_fixtures_are_one_clear_error(folder: Path, text: str) -> None:
    (folder / FILE).write_text(text)
    with pytest.raises(CheckpointError, match=r"sensorium\.json"):
        verify(folder)
