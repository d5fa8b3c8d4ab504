"""LLaVA computes and writes what stock `transformers` does, and comes back bit by bit, by either layout of names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from sensorium.core.cache import KVCache
from sensorium.core.eyes import seeing_parameters
from sensorium.families import llava
from sensorium.families.seeing import read_seeing, write_seeing
from tests.parity.eyes import LLAVAS, pictures, shown
from tests.parity.stock import Stock, assert_same_tensors, made_once, stock

CLOSE = dict(atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """Each stock model and its folder; no test changes either."""
    return made_once(lambda name, folder: stock(LLAVAS[name], folder), tmp_path_factory)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", LLAVAS)
def test_logits_equal_stock(saved: Stock, name: str, side: str) -> None:
    theirs, folder = saved(name)
    ours = read_seeing(folder).model
    ids, valid, images = shown(theirs, left=side == "left")
    expected = theirs(
        input_ids=ids, attention_mask=valid.long(), pixel_values=images, position_ids=places(valid)
    ).logits
    mine = ours.logits(ours(ids, images, valid=valid))
    torch.testing.assert_close(mine[valid], expected[valid], **CLOSE)


def places(valid: torch.Tensor) -> torch.Tensor:
    return (valid.long().cumsum(1) - 1).clamp(min=0)


@pytest.mark.parametrize("name", LLAVAS)
def test_gradients_equal_stock(name: str, tmp_path: Path) -> None:
    theirs = stock(LLAVAS[name], tmp_path / "stock").train()
    loaded = read_seeing(tmp_path / "stock")
    ours = loaded.model.train()
    ids, valid, images = shown(theirs)
    weights = torch.randn(
        *ids.shape, ours.config.text.stack.embed.vocab_size, generator=torch.Generator().manual_seed(5)
    )
    weights = weights * valid[..., None]
    expected = theirs(
        input_ids=ids, attention_mask=valid.long(), pixel_values=images, position_ids=places(valid)
    ).logits
    (expected * weights).mean().backward()
    (ours.logits(ours(ids, images, valid=valid)) * weights).mean().backward()
    gradients = {key: gradient(parameter) for key, parameter in ours.named_parameters()}
    mapped = llava.keymap(ours.config, loaded.architecture).to_theirs(gradients)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(gradient(parameter))
    theirs.save_pretrained(tmp_path / "gradients")
    reference = load_file(tmp_path / "gradients" / "model.safetensors")
    assert mapped.keys() == reference.keys()
    for key, value in reference.items():
        torch.testing.assert_close(mapped[key], value, atol=2e-5, rtol=1e-3, msg=lambda m, k=key: f"{k}: {m}")


def gradient(parameter: torch.Tensor) -> torch.Tensor:
    """Zeros for what the logits do not depend on."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@pytest.mark.parametrize("name", LLAVAS)
def test_the_cache_gives_what_the_whole_text_gives(saved: Stock, name: str) -> None:
    theirs, folder = saved(name)
    ours = read_seeing(folder).model
    ids, _, images = shown(theirs)
    ids, images = ids[:1, :9], images[:1]
    whole = ours(ids, images)
    start = int((ids[0] == ours.config.image_id).nonzero()[-1]) + 1
    cache = KVCache(ours.config.text.stack, 1, ids.shape[1])
    parts = [ours(ids[:, :start], images, cache=cache)]
    parts += [ours(ids[:, at : at + 1], cache=cache) for at in range(start, ids.shape[1])]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", LLAVAS)
def test_the_round_trip_changes_no_bit(saved: Stock, name: str, tmp_path: Path) -> None:
    theirs, folder = saved(name)
    loaded = read_seeing(folder)
    write_seeing(tmp_path, loaded.model, like=loaded)
    again, info = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    assert_same_tensors(folder, tmp_path, theirs, again)
    assert read_seeing(tmp_path).model.config == loaded.model.config
    assert llava.expresses(loaded.model.config)
    assert seeing_parameters(loaded.model.config) == sum(p.numel() for p in loaded.model.parameters())


LOOSE = {
    "transformers_version", "_name_or_path", "initializer_range", "initializer_factor", "dtype", "use_cache",
    "encoder_stride", "image_seq_length", "projection_dim", "architectures", "text_config",
}  # fmt: skip
"""`text_config` comes back as our configuration, in the narrowest member of Llama's family."""


@pytest.mark.parametrize("name", LLAVAS)
def test_their_settings_but_those_of_the_text_survive_the_round_trip(saved: Stock, name: str, tmp_path: Path) -> None:
    _, folder = saved(name)
    loaded = read_seeing(folder)
    write_seeing(tmp_path, loaded.model, like=loaded)
    before, after = (plain(hf.AutoConfig.from_pretrained(each).to_dict()) for each in (folder, tmp_path))
    assert before == after


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        key: plain(value) if isinstance(value, dict) else value for key, value in settings.items() if key not in LOOSE
    }


def memory_names(name: str) -> str:
    """As stock has them in memory."""
    name = name.replace("language_model.model.", "model.language_model.").replace("language_model.lm_head", "lm_head")
    return f"model.{name}" if name.startswith(("vision_tower", "multi_modal")) else name


def oldest_names(name: str) -> str:
    """As the first LLaVAs were stored: CLIP's tower had a prefix more."""
    return name.replace("vision_tower.", "vision_tower.vision_model.")


@pytest.mark.parametrize("rename", [memory_names, oldest_names])
@pytest.mark.parametrize("name", ["clip, llama", "clip, llama tied", "siglip, qwen2"])
def test_other_layouts_of_names_are_read(saved: Stock, name: str, rename: Any, tmp_path: Path) -> None:
    _, folder = saved(name)
    tensors = {rename(key): value for key, value in load_file(folder / "model.safetensors").items()}
    assert tensors.keys() != load_file(folder / "model.safetensors").keys()
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    ours, again = read_seeing(folder).model.state_dict(), read_seeing(tmp_path).model.state_dict()
    assert ours.keys() == again.keys()
    assert all(torch.equal(ours[key], again[key]) for key in ours)


def test_the_placeholder_may_be_called_by_its_newer_name(saved: Stock, tmp_path: Path) -> None:
    _, folder = saved("clip, llama")
    config = json.loads((folder / "config.json").read_text())
    config["image_token_id"] = config.pop("image_token_index")
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    assert read_seeing(tmp_path).model.config == read_seeing(folder).model.config


def test_settings_that_are_left_out_have_the_defaults_of_stock() -> None:
    stated = [
        (llava.TEXTS["llama"], hf.LlamaConfig()),
        (llava.TEXTS["mistral"], hf.MistralConfig()),
        (llava.TEXTS["qwen2"], hf.Qwen2Config()),
        (llava.TEXTS["qwen3"], hf.Qwen3Config()),
        (llava.VISION_DEFAULTS, hf.LlavaConfig().vision_config),
        (llava.DEFAULTS, hf.LlavaConfig()),
    ]
    for ours, theirs in stated:
        told = {**theirs.to_dict(), **(getattr(theirs, "rope_parameters", None) or {})}
        assert ours == {key: told[key] for key in ours}, type(theirs).__name__


@pytest.mark.parametrize("name", ["clip, llama", "siglip, qwen2"])
def test_bf16_gives_nearly_the_same(saved: Stock, name: str) -> None:
    _, folder = saved(name)
    whole, half = read_seeing(folder).model, read_seeing(folder, dtype=torch.bfloat16).model
    expected = whole.see(pictures(2))
    torch.testing.assert_close(half.see(pictures(2).bfloat16()).float(), expected, atol=0.3, rtol=0.1)
