"""Our Whisper computes what stock `transformers` computes, in use and in training; and what we write, it opens."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from sensorium.core.cache import KVCache
from sensorium.core.capture import Capture
from sensorium.core.count_senses import sense_parameters
from sensorium.core.speech import SpeechToText
from sensorium.errors import CapabilityError, CheckpointError, ConfigError
from sensorium.families.checkpoint import family_for, read_model, read_speech, write_model
from sensorium.families.senses import read_senses, sense_family_for, write_senses
from tests.parity.speech import MELS, SIZE, SPEECH, TOKENS, stock_speech
from tests.parity.stock import Stock, assert_same_tensors, made_once

CLOSE = dict(atol=1e-4, rtol=1e-5)
MEL = torch.randn(3, MELS, 2 * TOKENS, generator=torch.Generator().manual_seed(3))
TARGET = torch.randint(3, 60, (3, 9), generator=torch.Generator().manual_seed(4))
TARGET_VALID = torch.arange(9) < torch.tensor([[9], [4], [6]])
HEADED = [name for name in SPEECH if name != "whisper without output"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """Each stock model and its folder; no test changes either."""
    return made_once(lambda name, folder: stock_speech(SPEECH[name], folder), tmp_path_factory)


def close(mine: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(mine, theirs, **CLOSE)


def read(folder: Path) -> SpeechToText:
    return read_speech(folder).model


@pytest.mark.parametrize("name", HEADED)
def test_logits_equal_stock(saved: Stock, name: str) -> None:
    theirs, folder = saved(name)
    ours = read(folder)
    close(ours.logits(ours(MEL, TARGET)), theirs(input_features=MEL, decoder_input_ids=TARGET).logits)


def test_a_model_without_the_output_gives_the_same_hidden_states(saved: Stock) -> None:
    theirs, folder = saved("whisper without output")
    out = theirs(input_features=MEL, decoder_input_ids=TARGET)
    close(read(folder)(MEL, TARGET), out.last_hidden_state)


@pytest.mark.parametrize("name", HEADED)
def test_every_layer_and_every_attention_equals_stock(saved: Stock, name: str) -> None:
    theirs, folder = saved(name)
    ours = read(folder)
    theirs.set_attn_implementation("eager")
    out = theirs(input_features=MEL, decoder_input_ids=TARGET, output_hidden_states=True, output_attentions=True)
    theirs.set_attn_implementation("sdpa")
    encoder, decoder = Capture(), Capture()
    read_hidden = ours.encode(MEL, capture=encoder)
    ours(MEL, TARGET, capture=decoder)
    # Their last state is after the final norm.
    for mine, reference in (
        *zip(encoder.states[:-1], out.encoder_hidden_states[:-1], strict=True),
        *zip(decoder.states[:-1], out.decoder_hidden_states[:-1], strict=True),
        *zip(encoder.attention, out.encoder_attentions, strict=True),
        *zip(decoder.attention, out.decoder_attentions, strict=True),
        *zip(decoder.cross, out.cross_attentions, strict=True),
    ):
        close(mine, reference)
    close(read_hidden, out.encoder_last_hidden_state)


@pytest.mark.parametrize("name", HEADED)
def test_cached_steps_equal_stock_and_the_whole_pass(saved: Stock, name: str) -> None:
    theirs, folder = saved(name)
    ours, past = read(folder), None
    cache = KVCache(ours.config.decoder, batch=3, capacity=9)
    with torch.inference_mode():
        whole = ours.logits(ours(MEL, TARGET))
        encoded = theirs.get_encoder()(MEL)
        memory = ours.memory(ours.encode(MEL))
        for start, stop in ((0, 1), (1, 5), (5, 6), (6, 7), (7, 9)):
            step = theirs(
                encoder_outputs=encoded, decoder_input_ids=TARGET[:, start:stop], past_key_values=past, use_cache=True
            )
            past = step.past_key_values
            mine = ours.logits(ours.decode(TARGET[:, start:stop], memory=memory, cache=cache))
            close(mine, step.logits)
            close(mine, whole[:, start:stop])


@pytest.mark.parametrize("name", HEADED)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_outputs_and_gradients_equal_stock_in_training(name: str, checkpointing: bool, tmp_path: Path) -> None:
    theirs = stock_speech(SPEECH[name], tmp_path).train()
    config = json.loads((tmp_path / "config.json").read_text())
    quiet = dict.fromkeys(("dropout", "attention_dropout", "activation_dropout"), 0.0)
    (tmp_path / "config.json").write_text(json.dumps(config | quiet))
    loaded = read_speech(tmp_path)
    ours = loaded.model.train()
    ours.encoder.gradient_checkpointing = ours.decoder.gradient_checkpointing = checkpointing
    mine = ours.logits(ours(MEL, TARGET, target_valid=TARGET_VALID))[TARGET_VALID]
    expected = theirs(
        input_features=MEL, decoder_input_ids=TARGET, decoder_attention_mask=TARGET_VALID.long()
    ).logits[TARGET_VALID]  # fmt: skip
    close(mine, expected)
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(5))
    (expected * weight).mean().backward()
    (mine * weight).mean().backward()
    trained = {key: p.grad for key, p in ours.named_parameters() if p.requires_grad}
    assert set(dict(ours.named_parameters())) - set(trained) == {"encoder.embed.positions.weight"}
    mapped = family_for(ours.config).keymap(ours.config, loaded.architecture).to_theirs(trained)
    gradients = {key: p.grad for key, p in theirs.named_parameters() if p.requires_grad}
    assert mapped.keys() == gradients.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(mapped[key], gradient, atol=2e-5, rtol=1e-4, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("name", SPEECH)
def test_the_round_trip_changes_no_bit(saved: Stock, name: str, tmp_path: Path) -> None:
    theirs, folder = saved(name)
    loaded = read_speech(folder)
    write_model(tmp_path, loaded.model, like=loaded)
    again, info = hf.WhisperForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not set(info["missing_keys"]) | set(info["unexpected_keys"]) | set(info["mismatched_keys"])
    if name in HEADED:
        assert_same_tensors(folder, tmp_path, theirs, again)
        out = theirs(input_features=MEL, decoder_input_ids=TARGET).logits
        assert torch.equal(again.eval()(input_features=MEL, decoder_input_ids=TARGET).logits, out)
    assert read_speech(tmp_path).model.config == loaded.model.config
    assert sense_parameters(loaded.model.config) == sum(p.numel() for p in loaded.model.parameters())
    for key in ("pad_token_id", "eos_token_id", "bos_token_id", "decoder_start_token_id", "begin_suppress_tokens"):
        assert getattr(again.config, key) == getattr(theirs.config, key), key


def test_settings_for_generation_are_kept(saved: Stock, tmp_path: Path) -> None:
    _, folder = saved("whisper")
    told = {
        "lang_to_id": {"<|en|>": 40}, "task_to_id": {"transcribe": 41}, "no_timestamps_token_id": 45, "max_length": 32,
        "suppress_tokens": [3, 4], "begin_suppress_tokens": [5], "alignment_heads": [[0, 1]], "is_multilingual": True,
        "prev_sot_token_id": 44, "max_initial_timestamp_index": 50, "forced_decoder_ids": [[1, None], [2, 41]],
    }  # fmt: skip
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    for name in ("config.json", "model.safetensors"):
        (source / name).write_bytes((folder / name).read_bytes())
    stated = json.loads((folder / "generation_config.json").read_text())
    (source / "generation_config.json").write_text(json.dumps(stated | told))
    loaded = read_speech(source)
    write_model(out, loaded.model, like=loaded)
    written = json.loads((out / "generation_config.json").read_text())
    assert {key: written[key] for key in told} == told
    opened = hf.WhisperForConditionalGeneration.from_pretrained(out).generation_config
    assert opened.lang_to_id == told["lang_to_id"]
    assert opened.suppress_tokens == [3, 4]


def edited(folder: Path, out: Path, change: Any) -> Path:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_bytes((folder / "config.json").read_bytes())
    return out


def test_positions_that_were_trained_are_refused(saved: Stock, tmp_path: Path) -> None:
    def shift(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.encoder.embed_positions.weight"] += 0.1

    with pytest.raises(CapabilityError, match=r"embed_positions.weight holds no sines"):
        read_speech(edited(saved("whisper")[1], tmp_path, shift))


def test_positions_in_half_precision_are_accepted(saved: Stock, tmp_path: Path) -> None:
    def halve(tensors: dict[str, torch.Tensor]) -> None:
        tensors.update({name: tensor.half() for name, tensor in tensors.items()})

    read_speech(edited(saved("whisper")[1], tmp_path, halve))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: t.pop("model.encoder.conv1.bias"), r"missing model.encoder.conv1.bias"),
        (lambda t: t.update(extra=torch.zeros(2)), "unknown extra"),
        (lambda t: t.update({"model.encoder.layers.0.self_attn.k_proj.bias": torch.zeros(24)}), r"unknown .*k_proj"),
        (lambda t: t.update({"model.encoder.conv1.weight": torch.zeros(24, 7, 3)}), "mis-shaped"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_named(saved: Stock, tmp_path: Path, change: Any, complaint: str) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        read_speech(edited(saved("whisper")[1], tmp_path, change))


def test_speech_and_text_are_not_mixed_up(saved: Stock, tmp_path: Path) -> None:
    with pytest.raises(CapabilityError, match="reads speech, not text"):
        read_model(saved("whisper")[1])
    hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2)).save_pretrained(tmp_path)
    with pytest.raises(CapabilityError, match="reads no speech"):
        read_speech(tmp_path)


@pytest.mark.parametrize("shape", [(1, MELS + 1, 2 * TOKENS), (1, MELS, 2 * TOKENS + 1)])
def test_a_spectrogram_of_another_size_is_refused(saved: Stock, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="mel bands"):
        read(saved("whisper")[1]).encode(torch.zeros(shape))


def test_a_shorter_sound_than_a_window_may_be_read(saved: Stock) -> None:
    assert read(saved("whisper")[1]).encode(MEL[:, :, :7]).shape == (3, 4, 24)


CLASSES: dict[str, dict[str, Any]] = {
    "named": dict(id2label={0: "dog", 1: "rain", 2: "clock"}, label2id={"dog": 0, "rain": 1, "clock": 2}),
    "of another width": dict(classifier_proj_size=7, num_labels=4, activation_function="relu"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes_of_whole_sounds_equal_stock_and_come_back_the_same(name: str, tmp_path: Path) -> None:
    make = partial(hf.WhisperForAudioClassification, hf.WhisperConfig(**SIZE | CLASSES[name]))
    (folder := tmp_path / "stock").mkdir()
    (again := tmp_path / "again").mkdir()
    theirs = stock_speech(make, folder)
    loaded = read_senses(folder)
    ours = loaded.encoder
    expected = theirs(input_features=MEL)
    hidden = ours(MEL)
    close(ours.class_logits(hidden), expected.logits)
    assert ours.config.labels == tuple(theirs.config.id2label.values())
    weight = torch.randn(expected.logits.shape, generator=torch.Generator().manual_seed(5))
    (expected.logits * weight).mean().backward()
    (ours.class_logits(hidden) * weight).mean().backward()
    trained = {key: p.grad for key, p in ours.named_parameters() if p.requires_grad}
    mapped = sense_family_for(ours.config).keymap(ours.config, loaded.architecture).to_theirs(trained)
    gradients = {key: p.grad for key, p in theirs.named_parameters() if p.requires_grad}
    assert mapped.keys() == gradients.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(mapped[key], gradient, atol=2e-5, rtol=1e-4, msg=lambda m, k=key: f"{k}: {m}")
    write_senses(again, ours, like=loaded)
    opened, info = hf.WhisperForAudioClassification.from_pretrained(again, output_loading_info=True)
    assert not set(info["missing_keys"]) | set(info["unexpected_keys"]) | set(info["mismatched_keys"])
    assert_same_tensors(folder, again, theirs, opened)
    assert opened.config.id2label == theirs.config.id2label
    assert read_senses(again).encoder.config == ours.config


def test_a_weighted_sum_of_layers_is_refused(tmp_path: Path) -> None:
    stock_speech(
        partial(hf.WhisperForAudioClassification, hf.WhisperConfig(**SIZE, use_weighted_layer_sum=True)), tmp_path
    )
    with pytest.raises(CapabilityError, match="use_weighted_layer_sum=True"):
        read_senses(tmp_path)
