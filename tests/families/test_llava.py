"""LLaVA folders that are damaged, or of parts that the core does not know, are told as what they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sensorium.core.eyes import SeeingConfig, SeeingDecoder
from sensorium.core.resampler import ResamplerConfig
from sensorium.errors import CapabilityError, CheckpointError
from sensorium.families import clip, gpt2, llama, llava, siglip, vit
from sensorium.families.checkpoint import read_model
from sensorium.families.seeing import read_seeing, write_seeing

SIZE: dict[str, Any] = dict(size=(16, 16), patch=(8, 8), dim=12, layers=2, heads=2, feedforward=24)
TEXT = llama.sized(vocab_size=40, dim=16, layers=2, heads=2, feedforward=32, context=64)
TOWERS = {
    "clip": clip.image_tower(**SIZE, projection=None),
    "siglip": siglip.image_tower(**SIZE),
    "vit": vit.sized(**SIZE).tower,
    "vit with pooler": vit.sized(**SIZE, pooler=True).tower,
}


def config(tower: str = "clip", **options: Any) -> SeeingConfig:
    given = dict(tower=TOWERS[tower], text=TEXT, image_id=39, drop_first=tower != "siglip") | options
    return SeeingConfig(**given)


def written(folder: Path, found: SeeingConfig) -> SeeingDecoder:
    torch.manual_seed(0)
    model = SeeingDecoder(found)
    folder.mkdir(exist_ok=True)
    write_seeing(folder, model, special={"pad": 0, "bos": 1, "eos": 2})
    return model


@pytest.mark.parametrize(
    "found",
    [
        *(config(tower) for tower in TOWERS),
        config(layers=(-1, 0), activation="gelu_tanh", bias=False),
        config(text=replace(TEXT, language=replace(TEXT.language, tied=False))),
        config(resampler=ResamplerConfig(queries=2, layers=2, heads=4, width=2)),
    ],
)
def test_what_is_written_comes_back(found: SeeingConfig, tmp_path: Path) -> None:
    model = written(tmp_path, found)
    again = read_seeing(tmp_path)
    assert again.model.config == found
    mine, theirs = model.state_dict(), again.model.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert again.generation["eos_token_id"] == 2
    assert again.config["image_seq_length"] == found.features


def test_a_resampler_is_never_taken_for_a_llava(tmp_path: Path) -> None:
    written(tmp_path, config(resampler=ResamplerConfig(queries=2, heads=4)))
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] not in ("llava", "llava_next")


def test_decoders_of_other_families_are_not_written(tmp_path: Path) -> None:
    other = gpt2.sized(vocab_size=40, dim=16, layers=1, heads=2, feedforward=32, context=64)
    found = config(text=other)
    assert not llava.expresses(found)
    with pytest.raises(CheckpointError, match="no Hugging Face format"):
        written(tmp_path, found)


def changed(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "config.json"
    settings = json.loads(path.read_text())
    change(settings)
    path.write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda c: c.update(vision_feature_select_strategy="cls"), CapabilityError, "'cls' is not supported"),
        (lambda c: c.update(projector_hidden_act="gelu_10"), CapabilityError, "gelu_10"),
        (lambda c: c["vision_config"].update(model_type="pixtral"), CapabilityError, "pixtral"),
        (lambda c: c["text_config"].update(model_type="gemma"), CapabilityError, "gemma"),
        (lambda c: c.update(vision_feature_layer=9), CheckpointError, "hidden states -3 to 2"),
        (lambda c: c.update(vision_feature_layer="last"), CheckpointError, "whole numbers"),
        (lambda c: c.update(image_token_index=4000), CheckpointError, "none of the 40 tokens"),
        (lambda c: c["vision_config"].update(hidden_size="wide"), CheckpointError, "vision_config: hidden_size"),
        (lambda c: c["text_config"].update(hidden_size=20), CheckpointError, "mis-shaped"),
        (lambda c: c["text_config"].update(num_hidden_layers=900), CheckpointError, "num_hidden_layers=900"),
        (lambda c: c.update(vision_config=7), CheckpointError, "vision_config is not a configuration"),
    ],
)
def test_settings_that_cannot_be_used_are_told(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], error: type[Exception], words: str
) -> None:
    written(tmp_path, config())
    changed(tmp_path, change)
    with pytest.raises(error, match=words):
        read_seeing(tmp_path)


def test_missing_and_unknown_tensors_are_listed_together(tmp_path: Path) -> None:
    written(tmp_path, config())
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["multi_modal_projector.linear_3.weight"] = tensors.pop("multi_modal_projector.linear_1.weight")
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"missing .*linear_1\.weight.*unknown .*linear_3\.weight"):
        read_seeing(tmp_path)


def test_other_readers_say_that_it_is_not_theirs(tmp_path: Path) -> None:
    written(tmp_path, config())
    with pytest.raises(CapabilityError):
        read_model(tmp_path)
    changed(tmp_path, lambda c: c.update(model_type="llama", architectures=["LlamaForCausalLM"]))
    with pytest.raises(CapabilityError, match="no language model that sees"):
        read_seeing(tmp_path)
