"""ViT, CLIP, SigLIP and VisionTextDualEncoder compute what stock `transformers` computes, and come back bit by bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from sensorium.core.capture import Capture
from sensorium.core.count_senses import sense_parameters
from sensorium.errors import InputError
from sensorium.families import clip, dual, siglip, vit
from sensorium.families.checkpoint import read_config
from sensorium.families.senses import read_senses, sense_family_for, write_senses
from tests.parity.stock import Stock, assert_same_tensors, made_once, stock
from tests.parity.towers import ENCODERS, EOS, EVERY, PAIRS, on_disk, pictures, reads_texts, texts

CLOSE = dict(atol=1e-4, rtol=1e-5)
PADDED = ["padded", "full"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """Each stock model and its folder; no test changes either."""
    return made_once(lambda name, folder: stock(EVERY[name], folder), tmp_path_factory)


def close(mine: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(mine, theirs, **CLOSE)


def lengths(kind: str) -> tuple[int, ...]:
    return (12, 7, 5) if kind == "padded" else (12, 12, 12)


def encoder_outputs(model: Any, **options: Any) -> tuple[Any, torch.Tensor | None]:
    """What a stock encoder computes, and its vector or logits."""
    given = dict(input_ids=texts(model)[0]) if reads_texts(model) else dict(pixel_values=pictures(model))
    out = model(**given, **options)
    keys = ("logits", "image_embeds", "text_embeds", "pooler_output")
    return out, next((out[key] for key in keys if out.get(key) is not None), None)


def our_encoder_outputs(ours: Any, theirs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    ids = texts(theirs)[0] if reads_texts(theirs) else None
    hidden = ours(pictures(theirs) if ids is None else ids)
    return hidden, ours.pooled(hidden, ids=ids) if ours.classes is None else ours.class_logits(hidden)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_layer_and_the_vector_of_a_tower_alone_equal_stock(saved: Stock, name: str) -> None:
    theirs, folder = saved(name)
    ours = read_senses(folder).encoder
    out, vector = encoder_outputs(theirs, output_hidden_states=True)
    capture = Capture()
    ours(texts(theirs)[0] if reads_texts(theirs) else pictures(theirs), capture=capture)
    assert len(capture.attention) == len(ours.config.tower.stack.blocks)
    for mine, reference in zip(capture.states, out.hidden_states[: len(capture.states)], strict=True):
        close(mine, reference)
    hidden, told = our_encoder_outputs(ours, theirs)
    if "last_hidden_state" in out:
        close(hidden, out.last_hidden_state)
    close(told, out.last_hidden_state[:, 0] if vector is None else vector)
    if ours.classes is None:
        close(ours.tower(texts(theirs)[0] if reads_texts(theirs) else pictures(theirs)), told)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("kind", PADDED)
def test_vectors_and_logits_of_pictures_and_texts_equal_stock(saved: Stock, name: str, kind: str) -> None:
    theirs, folder = saved(name)
    ours = read_senses(folder).aligned
    ids, valid = texts(theirs, lengths(kind))
    # SigLIP's padding is read, so that its tokenizer gives no mask.
    masked = {} if name.startswith("siglip") else dict(attention_mask=valid.long())
    out = theirs(input_ids=ids, pixel_values=pictures(theirs), **masked)
    image, text = ours.embed("image", pictures(theirs)), ours.embed("text", ids, valid=valid)
    close(image, out.image_embeds)
    close(text, out.text_embeds)
    close(ours.logits(image, text), out.logits_per_image)
    close(ours.towers["image"](pictures(theirs)), theirs.get_image_features(pictures(theirs)).pooler_output)
    close(ours.towers["text"](ids, valid=valid), theirs.get_text_features(ids, **masked).pooler_output)
    if kind == "full" or name.startswith("clip"):
        close(ours.embed("text", ids), out.text_embeds)


@pytest.mark.parametrize("name", EVERY)
def test_gradients_equal_stock_in_training(name: str, tmp_path: Path) -> None:
    theirs = stock(EVERY[name], tmp_path / "stock").train()
    for module in theirs.modules():
        rates = ("dropout_prob", "attention_dropout", "dropout")
        module.__dict__.update({key: 0.0 for key in rates if isinstance(module.__dict__.get(key), float)})
    quiet(tmp_path / "stock")
    loaded = read_senses(tmp_path / "stock")
    ours = loaded.model.train()
    if name in PAIRS:
        ids, valid = texts(theirs)
        masked = {} if name.startswith("siglip") else dict(attention_mask=valid.long())
        expected = [theirs(input_ids=ids, pixel_values=pictures(theirs), **masked).logits_per_image]
        image, text = loaded.aligned.embed("image", pictures(theirs)), loaded.aligned.embed("text", ids, valid=valid)
        mine = [loaded.aligned.logits(image, text)]
    else:
        out, vector = encoder_outputs(theirs)
        expected = [] if vector is None else [vector]
        hidden, told = our_encoder_outputs(ours, theirs)
        mine = [] if vector is None else [told]
        if "last_hidden_state" in out:
            expected, mine = [*expected, out.last_hidden_state], [*mine, hidden]
    for results in (expected, mine):
        generator = torch.Generator().manual_seed(5)
        sum((output * torch.randn(output.shape, generator=generator)).mean() for output in results).backward()
    for one, other in zip(mine, expected, strict=True):
        close(one, other)
    family = sense_family_for(ours.config)
    mapped = family.keymap(ours.config, loaded.architecture).to_theirs(
        {key: gradient(parameter) for key, parameter in ours.named_parameters()}
    )
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(gradient(parameter))
    reference = on_disk(theirs, tmp_path / "gradients")
    assert mapped.keys() == reference.keys()
    for key, value in reference.items():
        torch.testing.assert_close(mapped[key], value, atol=2e-5, rtol=1e-4, msg=lambda m, k=key: f"{k}: {m}")


def gradient(parameter: torch.Tensor) -> torch.Tensor:
    """Zeros for what the outputs do not depend on."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def quiet(folder: Path) -> None:
    """Set every dropout of a configuration to 0."""

    def silent(settings: dict[str, Any]) -> dict[str, Any]:
        return {
            key: silent(value) if isinstance(value, dict) else 0.0 if "dropout" in key and value is not None else value
            for key, value in settings.items()
        }

    path = folder / "config.json"
    path.write_text(json.dumps(silent(json.loads(path.read_text()))))


@pytest.mark.parametrize("name", EVERY)
def test_the_round_trip_changes_no_bit(saved: Stock, name: str, tmp_path: Path) -> None:
    theirs, folder = saved(name)
    loaded = read_senses(folder)
    write_senses(tmp_path, loaded.model, like=loaded)
    again, info = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    absent = {"pooler.dense.weight", "pooler.dense.bias"} if name == "vit without pooler" else set()
    assert set(info["missing_keys"]) == absent
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    assert_same_tensors(folder, tmp_path, theirs, again)
    config = loaded.model.config
    assert read_senses(tmp_path).model.config == config
    assert sense_parameters(config) == sum(parameter.numel() for parameter in loaded.model.parameters())


LOOSE = {
    "transformers_version", "_name_or_path", "initializer_range", "initializer_factor", "dtype", "encoder_stride",
    "use_cache", "_attn_implementation_internal", "output_attentions",
}  # fmt: skip


def settings_of(config: Any) -> dict[str, Any]:
    """What a stock configuration says of the model."""
    told = {key: value for key, value in config.to_dict().items() if key not in LOOSE}
    for key in ("text_config", "vision_config"):
        if key in told:
            told[key] = {name: value for name, value in told[key].items() if name not in LOOSE | {"architectures"}}
    return told


@pytest.mark.parametrize("name", EVERY)
def test_their_settings_survive_the_round_trip(saved: Stock, name: str, tmp_path: Path) -> None:
    _, folder = saved(name)
    loaded = read_senses(folder)
    write_senses(tmp_path, loaded.model, like=loaded)
    before, after = (settings_of(hf.AutoConfig.from_pretrained(each)) for each in (folder, tmp_path))
    for each in (before, after):
        if "vision_config" in each:  # of the towers alone
            each["vision_config"].pop("projection_dim", None)
            each["text_config"].pop("projection_dim", None)
        if "projected" not in name and name not in PAIRS:
            each.pop("projection_dim", None)
        if "classes" not in name:
            each.pop("id2label")
            each.pop("label2id")
    assert before == after


def test_settings_that_are_left_out_have_the_defaults_of_stock() -> None:
    stated = [
        (clip.TEXT_DEFAULTS, hf.CLIPTextConfig()),
        (clip.VISION_DEFAULTS, hf.CLIPVisionConfig()),
        (clip.DEFAULTS, hf.CLIPConfig()),
        (siglip.TEXT_DEFAULTS, hf.SiglipTextConfig()),
        (siglip.VISION_DEFAULTS, hf.SiglipVisionConfig()),
        (vit.DEFAULTS, hf.ViTConfig()),
        (dual.DEFAULTS, hf.VisionTextDualEncoderConfig(vision_config=hf.ViTConfig(), text_config=hf.BertConfig())),
        (dual.TEXTS["bert"][1], hf.BertConfig()),
        (dual.TEXTS["roberta"][1], hf.RobertaConfig()),
        (dual.TEXTS["xlm-roberta"][1], hf.XLMRobertaConfig()),
    ]
    for ours, theirs in stated:
        assert ours == {key: getattr(theirs, key) for key in ours}


def test_a_configuration_of_towers_may_leave_out_its_defaults(saved: Stock, tmp_path: Path) -> None:
    _, folder = saved("clip")
    config = read_config(folder)
    for part, defaults in (("text_config", clip.TEXT_DEFAULTS), ("vision_config", clip.VISION_DEFAULTS)):
        config[part] = {key: value for key, value in config[part].items() if defaults.get(key) != value}
    linked(folder, tmp_path, config)
    assert "hidden_act" not in config["text_config"]
    assert read_senses(tmp_path).model.config == read_senses(folder).model.config


def test_the_oldest_configurations_say_the_towers_twice(saved: Stock, tmp_path: Path) -> None:
    theirs, folder = saved("clip gelu")
    config = read_config(folder)
    config["text_config_dict"], config["text_config"] = (
        config["text_config"],
        {"hidden_size": 999, "hidden_act": "relu"},
    )
    config["vision_config_dict"] = None
    linked(folder, tmp_path, config)
    assert hf.CLIPConfig.from_pretrained(tmp_path).text_config.to_dict() == theirs.config.text_config.to_dict()
    assert read_senses(tmp_path).model.config == read_senses(folder).model.config


def linked(folder: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    """A folder of the same weights with another configuration."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("clip pictures", "vision_model."), ("clip texts", "text_model."), ("siglip pictures", "vision_model."),
     ("siglip texts", "text_model.")],
)  # fmt: skip
def test_towers_saved_before_transformers_5_have_a_prefix(saved: Stock, name: str, prefix: str, tmp_path: Path) -> None:
    theirs, folder = saved(name)
    tensors = load_file(folder / "model.safetensors")
    buffers = {f"{prefix}embeddings.position_ids": torch.arange(12)[None]}
    save_file({f"{prefix}{key}": value for key, value in tensors.items()} | buffers, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    ours = read_senses(tmp_path).encoder
    close(our_encoder_outputs(ours, theirs)[1], encoder_outputs(theirs)[1])


def test_a_text_without_its_end_token_is_refused(saved: Stock) -> None:
    theirs, folder = saved("clip")
    ids, _ = texts(theirs)
    with pytest.raises(InputError, match=f"lacks the end token {EOS}"):
        read_senses(folder).aligned.embed("text", ids.masked_fill(ids == EOS, 6))


def test_left_padding_does_not_change_a_vector(saved: Stock) -> None:
    for name in ("clip", "clip legacy end", "dual bert, vit"):
        theirs, folder = saved(name)
        ours = read_senses(folder).aligned
        ids, valid = texts(theirs)
        left = torch.stack([torch.cat((row[~keep], row[keep])) for row, keep in zip(ids, valid, strict=True)])
        moved = torch.stack([torch.cat((keep[~keep], keep[keep])) for keep in valid])
        close(ours.embed("text", left, valid=moved), ours.embed("text", ids, valid=valid))


def test_bf16_gives_nearly_the_same(saved: Stock) -> None:
    theirs, folder = saved("clip")
    whole, half = read_senses(folder).aligned, read_senses(folder, dtype=torch.bfloat16).aligned
    x, about = pictures(theirs), dict(atol=0.05, rtol=0.05)
    expected = whole.embed("image", x)
    torch.testing.assert_close(half.embed("image", x).float(), expected, **about)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = whole.embed("image", x)
    torch.testing.assert_close(mixed.float(), expected, **about)
