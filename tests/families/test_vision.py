"""Folders of pictures' models: damaged ones are refused by name; ours are written as the family that holds them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from sensorium.core.model import Encoder
from sensorium.core.sense_encoder import SenseEncoder, SenseModelConfig
from sensorium.core.tower import Aligned, AlignedConfig, PoolConfig, TowerConfig
from sensorium.errors import CapabilityError, CheckpointError, InputError, SensoriumError
from sensorium.families import bert, clip, dual, roberta, siglip, vit
from sensorium.families.checkpoint import read_model, write_model
from sensorium.families.senses import (
    SenseModel,
    read_preprocessor,
    read_senses,
    sense_family_for,
    write_preprocessor,
    write_senses,
)
from tests.core import models
from tests.core.towers import varied

IMAGE: dict[str, Any] = dict(size=(16, 16), patch=(8, 8), dim=16, layers=2, heads=4, feedforward=24)
TEXT: dict[str, Any] = dict(vocab_size=50, context=12, dim=12, layers=1, heads=3, feedforward=20)


def bert_text(**options: Any) -> Any:
    return bert.sized(**TEXT, language=False, pooler=True, **options)


MODELS: dict[str, SenseModelConfig | AlignedConfig] = {
    "vit": vit.sized(**IMAGE, labels=("cat", "dog")),
    "clip": clip.sized(
        image=clip.image_tower(**IMAGE, projection=6), text=clip.text_tower(**TEXT, projection=6, eos_id=7)
    ),
    "siglip": siglip.sized(image=siglip.image_tower(**IMAGE), text=siglip.text_tower(**TEXT, projection=16)),
    "dual": dual.sized(image=vit.sized(**IMAGE, pooler=True).tower, text=bert_text(), projection=6),
}
FAMILY = {"vit": vit, "clip": clip, "siglip": siglip, "dual": dual}


def built(config: SenseModelConfig | AlignedConfig) -> Any:
    torch.manual_seed(0)
    return varied(Aligned(config) if isinstance(config, AlignedConfig) else SenseEncoder(config))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A whole folder of every family, which no test changes."""
    folders = {name: tmp_path_factory.mktemp(name) for name in MODELS}
    for name, folder in folders.items():
        write_senses(folder, built(MODELS[name]))
    return folders


@pytest.fixture(params=MODELS)
def folder(request: pytest.FixtureRequest, saved: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved[request.param], tmp_path / request.param))


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def changed(folder: Path, part: str | None, **keys: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    (config if part is None else config[part]).update(keys)
    path.write_text(json.dumps(config))


def refused(folder: Path, match: str, kind: type[SensoriumError] = CheckpointError) -> None:
    with pytest.raises(kind, match=match) as caught:
        read_senses(folder)
    assert caught.value.where is not None
    assert caught.value.where.startswith(str(folder))
    assert caught.value.fix
    assert "\n" not in str(caught.value)


# What is written


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_written_as_its_family_and_comes_back(saved: dict[str, Path], name: str) -> None:
    assert sense_family_for(MODELS[name]) is FAMILY[name]
    loaded = read_senses(saved[name])
    assert loaded.model.config == MODELS[name]
    for one, other in zip(loaded.model.parameters(), built(MODELS[name]).parameters(), strict=True):
        assert torch.equal(one, other)
        assert one.requires_grad


@pytest.mark.parametrize(
    "image",
    [clip.image_tower(**IMAGE, projection=None), vit.sized(**IMAGE, pooler=True, qkv_bias=False).tower],
    ids=["clip", "vit"],
)
@pytest.mark.parametrize(
    "text", [bert_text(), roberta.sized(**TEXT, language=False, pooler=True)], ids=["bert", "roberta"]
)
def test_an_alignment_of_our_own_encoders_is_written_whole(image: TowerConfig, text: Any, tmp_path: Path) -> None:
    config = dual.sized(image=image, text=text, projection=6)
    write_senses(tmp_path, built(config), special={"pad": 1})
    assert read_senses(tmp_path).aligned.config == config


def within(config: SenseModelConfig, **keys: Any) -> SenseModelConfig:
    """The same with other settings of its stack."""
    return replace(config, tower=replace(config.tower, stack=replace(config.tower.stack, **keys)))


def changes() -> dict[str, SenseModelConfig | AlignedConfig]:
    image, text = dict(MODELS["clip"].towers).values()
    pictures, texts = dict(MODELS["siglip"].towers).values()
    vision, bare = MODELS["dual"].towers[0], replace(MODELS["dual"].towers[1][1], pool=PoolConfig(kind="first"))
    alone = vit.sized(**IMAGE)
    tower, block = alone.tower, alone.tower.stack.blocks[0]
    uneven = replace(block, feedforward=replace(block.feedforward, width=8))
    oblong = clip.image_tower(**IMAGE | dict(size=(16, 8)), projection=6)
    return {
        "three towers": replace(MODELS["clip"], towers=(*MODELS["clip"].towers, ("audio", image))),
        "other names": replace(MODELS["clip"], towers=(("photo", image), ("text", text))),
        "a bias of CLIP": replace(MODELS["clip"], bias=-1.0),
        "no bias of SigLIP": replace(MODELS["siglip"], bias=None),
        "mean of texts": clip.sized(image=image, text=replace(text, pool=PoolConfig(kind="mean"))),
        "padding not read": siglip.sized(image=pictures, text=replace(texts, reads_padding=False)),
        "a text that sees ahead": clip.sized(image=image, text=replace(text, stack=replace(text.stack, causal=False))),
        "a picture that is not square": clip.sized(image=oblong, text=text),
        "mean of patches": replace(alone, tower=replace(tower, pool=PoolConfig(kind="mean"))),
        "a projection of ViT": replace(alone, tower=replace(tower, projection=5)),
        "no class vector": within(alone, embed=replace(tower.stack.embed, cls=False)),
        "blocks that differ": within(alone, blocks=(block, uneven)),
        "classes over a pooler": vit.sized(**IMAGE, pooler=True, labels=("a", "b")),
        "a text without a pooler": replace(MODELS["dual"], towers=(vision, ("text", bare))),
    }


@pytest.mark.parametrize("name", changes())
def test_what_no_format_holds_is_not_written(name: str) -> None:
    with pytest.raises(CheckpointError, match="no Hugging Face format"):
        sense_family_for(changes()[name])


def test_special_tokens_and_preprocessor_are_kept(saved: dict[str, Path], tmp_path: Path) -> None:
    settings_of_pictures = {"size": {"height": 16, "width": 16}, "image_mean": [0.5, 0.5, 0.5], "do_resize": True}
    for part in ("first", "second"):
        (tmp_path / part).mkdir()
    model = read_senses(saved["clip"]).model
    write_senses(tmp_path / "first", model, special={"pad": 3, "bos": 4}, preprocessor=settings_of_pictures)
    loaded = read_senses(tmp_path / "first")
    assert loaded.preprocessor == settings_of_pictures
    write_senses(tmp_path / "second", loaded.model, like=loaded)
    again = read_senses(tmp_path / "second")
    assert (again.config["text_config"], again.preprocessor) == (loaded.config["text_config"], settings_of_pictures)
    assert [again.config["text_config"][f"{role}_token_id"] for role in ("pad", "bos", "eos")] == [3, 4, 7]


def test_a_preprocessor_stands_alone_or_with_others(tmp_path: Path) -> None:
    assert read_preprocessor(tmp_path) is None
    parts = {"image_processor": {"size": {"shortest_edge": 8}}, "processor_class": "CLIPProcessor"}
    (tmp_path / "processor_config.json").write_text(json.dumps(parts))
    assert read_preprocessor(tmp_path) == {"size": {"shortest_edge": 8}}
    write_preprocessor(tmp_path, {"size": 9})
    assert read_preprocessor(tmp_path) == {"size": 9}
    (tmp_path / "preprocessor_config.json").write_text("[1]")
    with pytest.raises(CheckpointError):
        read_preprocessor(tmp_path)


def test_weights_may_be_written_in_shards_and_in_half_precision(saved: dict[str, Path], tmp_path: Path) -> None:
    model = read_senses(saved["clip"]).model
    write_senses(tmp_path, model, dtype=torch.bfloat16, max_shard_bytes=4000)
    assert (tmp_path / "model.safetensors.index.json").is_file()
    for one, other in zip(read_senses(tmp_path).model.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other.bfloat16().float())


# What is read


def test_a_missing_an_unknown_and_a_misshaped_tensor_are_named_together(folder: Path) -> None:
    names = sorted(load_file(folder / "model.safetensors"))
    patch = next(name for name in names if "patch_embedding" in name and name.endswith("weight"))
    norm = next(name for name in names if "norm" in name and name.endswith("bias"))

    def damage(tensors: dict[str, torch.Tensor]) -> None:
        del tensors[norm]
        tensors["stray.weight"] = torch.zeros(2)
        tensors[patch] = torch.zeros(16, 3, 4, 4)

    rewrite(folder, damage)
    refused(folder, rf"missing {norm}; unknown stray\.weight; mis-shaped {patch} is \[16, 3, 4, 4\]")


def test_another_size_of_picture_does_not_fit_the_weights(folder: Path) -> None:
    changed(folder, None if folder.name == "vit" else "vision_config", image_size=32)
    refused(folder, "mis-shaped .*position_embedding")


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        (dict(image_size=0), "image_size=0 is not a whole number above 0, or two"),
        (dict(image_size=[16, 16, 16]), "image_size=.* is not a whole number"),
        (dict(patch_size="8"), "patch_size='8' is not"),
        (dict(patch_size=17), "a patch of .* does not fit"),
        (dict(num_channels=-3), "num_channels=-3 is not"),
        (dict(num_hidden_layers=10**9), "but the weights have only"),
        (dict(num_attention_heads=5), "not a multiple of the 5 heads"),
        (dict(layer_norm_eps="small"), "layer_norm_eps='small' is not"),
    ],
)
def test_damaged_settings_are_named(folder: Path, keys: dict[str, Any], match: str) -> None:
    changed(folder, None if folder.name == "vit" else "vision_config", **keys)
    with pytest.raises(SensoriumError, match=match) as caught:
        read_senses(folder)
    assert caught.value.where == str(folder / "config.json")


def test_features_that_the_core_lacks_are_refused(saved: dict[str, Path], tmp_path: Path) -> None:
    cases: list[tuple[str, str | None, dict[str, Any], str]] = [
        ("vit", None, dict(pooler_act="relu"), "pooler_act='relu' is not supported"),
        ("vit", None, dict(hidden_act="mish"), "activation 'mish' is not supported"),
        ("clip", "text_config", dict(eos_token_id=[7, 8]), r"eos_token_id=\[7, 8\] is not supported"),
        ("siglip", "vision_config", dict(vision_use_head=False), "vision_use_head=False is not supported"),
        ("dual", "text_config", dict(model_type="gpt2"), "a tower of type 'gpt2' is not supported here"),
        ("dual", "vision_config", dict(model_type="swin"), "a tower of type 'swin' is not supported here"),
        ("clip", "vision_config", dict(quantization_config={"quant_method": "gptq"}), "quantised by 'gptq'"),
    ]
    for i, (name, part, keys, match) in enumerate(cases):
        folder = Path(shutil.copytree(saved[name], tmp_path / str(i)))
        changed(folder, part, **keys)
        refused(folder, match, CapabilityError)


def test_a_tower_that_is_no_configuration_is_refused(saved: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved["clip"], tmp_path / "clip"))
    changed(folder, None, vision_config=[1])
    refused(folder, "vision_config is not a configuration")


def test_required_settings_of_a_vit_are_named(saved: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved["vit"], tmp_path / "vit"))
    changed(folder, None, image_size=None, layer_norm_eps=None)
    refused(folder, "lacks layer_norm_eps, image_size")


@settings(max_examples=120, derandomize=True)
@given(
    st.sampled_from(list(MODELS)), st.sampled_from([None, "vision_config", "text_config"]), st.integers(0, 30),
    st.one_of(st.none(), st.integers(-5, 70), st.floats(), st.text(max_size=3), st.lists(st.integers(), max_size=3)),
)  # fmt: skip
def test_any_setting_may_be_damaged(
    saved: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, name: str, part: str | None, at: int, value: Any
) -> None:
    config = json.loads((saved[name] / "config.json").read_text())
    settings_there = config if part is None or part not in config else config[part]
    settings_there[sorted(settings_there)[at % len(settings_there)]] = value
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").symlink_to(saved[name] / "model.safetensors")
    error = problem(folder)
    assert error is None or (error.where and "\n" not in str(error))
    shutil.rmtree(folder)


def problem(folder: Path) -> SensoriumError | None:
    try:
        read_senses(folder)
    except SensoriumError as error:
        return error
    return None


def test_a_model_of_one_kind_is_not_taken_for_another(saved: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CapabilityError, match="one tower alone"):
        _ = read_senses(saved["vit"]).aligned
    with pytest.raises(CapabilityError, match="several towers"):
        _ = read_senses(saved["clip"]).encoder
    write_model(tmp_path, models.built(models.bert()))
    with pytest.raises(CapabilityError, match="not a model of pictures") as caught:
        read_senses(tmp_path)
    assert "CLIPModel" in str(caught.value)
    assert isinstance(read_model(tmp_path).model, Encoder)
    with pytest.raises(CapabilityError, match="reads pictures"):
        read_model(saved["clip"])
    with pytest.raises(InputError, match="no such folder"):
        read_senses(tmp_path / "nowhere")


def test_labels_are_kept(saved: dict[str, Path]) -> None:
    loaded = read_senses(saved["vit"])
    assert loaded.encoder.config.labels == ("cat", "dog")
    assert loaded.config["label2id"] == {"cat": 0, "dog": 1}
    model: SenseModel = loaded.model
    assert isinstance(model, SenseEncoder)
