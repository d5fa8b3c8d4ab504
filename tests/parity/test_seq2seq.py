"""Our encoder-decoders compute what stock `transformers` computes, for every family and option, in use and in
training; and what we write, it opens.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from sensorium.core.cache import KVCache
from sensorium.core.capture import Capture
from sensorium.core.count import parameters
from sensorium.core.encoder_decoder import EncoderDecoder
from sensorium.core.pack import lengths_of, unpad
from sensorium.errors import CapabilityError, CheckpointError, SensoriumError
from sensorium.families.checkpoint import LoadedModel, family_for, read_model, write_model
from tests.parity.seq2seq import SEQ2SEQ, stock_seq2seq
from tests.parity.stock import MASKS, Stock, assert_same_tensors, made_once, mask

CLOSE = dict(atol=1e-4, rtol=1e-5)
SOURCE = torch.randint(3, 50, (3, 12), generator=torch.Generator().manual_seed(3))
TARGET = torch.randint(3, 50, (3, 9), generator=torch.Generator().manual_seed(4))
PLACES, TARGET_PLACES = torch.arange(12).expand(3, 12), torch.arange(9).expand(3, 9)
TARGET_VALID = torch.arange(9) < torch.tensor([[9], [4], [6]])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """Each stock model and its folder; no test changes either."""
    return made_once(lambda name, folder: stock_seq2seq(SEQ2SEQ[name], folder), tmp_path_factory)


def read(folder: Path) -> EncoderDecoder:
    model = read_model(folder).model
    assert isinstance(model, EncoderDecoder)
    return model


def close(mine: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(mine, theirs, **CLOSE)


def theirs_of(model: Any, valid: torch.Tensor, **options: Any) -> Any:
    """Their outputs; they count positions over the padding."""
    return model(input_ids=SOURCE, attention_mask=valid.long(), decoder_input_ids=TARGET, **options)


def ours_of(model: EncoderDecoder, valid: torch.Tensor, **options: Any) -> torch.Tensor:
    return model.logits(model(SOURCE, TARGET, source_valid=valid, source_positions=PLACES, **options))


@pytest.mark.parametrize("name", SEQ2SEQ)
@pytest.mark.parametrize("kind", MASKS)
def test_logits_equal_stock(saved: Stock, name: str, kind: str) -> None:
    theirs, folder = saved(name)
    close(ours_of(read(folder), mask(kind)), theirs_of(theirs, mask(kind)).logits)


@pytest.mark.parametrize("name", SEQ2SEQ)
def test_every_layer_and_every_attention_equals_stock(saved: Stock, name: str) -> None:
    theirs, folder = saved(name)
    ours, valid = read(folder), mask("right")
    theirs.set_attn_implementation("eager")
    out = theirs_of(theirs, valid, output_hidden_states=True, output_attentions=True)
    theirs.set_attn_implementation("sdpa")
    encoder, decoder = Capture(), Capture()
    ours.encode(SOURCE, valid=valid, capture=encoder)
    ours(SOURCE, TARGET, source_valid=valid, capture=decoder)
    # Their last state is after the final norm.
    for mine, reference in zip(encoder.states[:-1], out.encoder_hidden_states[:-1], strict=True):
        close(mine[valid], reference[valid])
    for mine, reference in zip(decoder.states[:-1], out.decoder_hidden_states[:-1], strict=True):
        close(mine, reference)
    for mine, reference in zip(decoder.attention, out.decoder_attentions, strict=True):
        close(mine, reference)
    for mine, reference in zip(decoder.cross, out.cross_attentions, strict=True):
        close(mine, reference)
    close(ours.encode(SOURCE, valid=valid)[valid], out.encoder_last_hidden_state[valid])


@pytest.mark.parametrize("name", SEQ2SEQ)
@pytest.mark.parametrize("kind", ["none", "right"])
def test_cached_steps_equal_stock_and_the_whole_pass(saved: Stock, name: str, kind: str) -> None:
    theirs, folder = saved(name)
    ours, valid = read(folder), mask(kind)
    cache, past = KVCache(ours.config.decoder, batch=3, capacity=9), None
    with torch.inference_mode():
        whole = ours_of(ours, valid)
        encoded = theirs.get_encoder()(SOURCE, attention_mask=valid.long())
        memory = ours.memory(ours.encode(SOURCE, valid=valid), valid)
        for start, stop in ((0, 1), (1, 5), (5, 6), (6, 7), (7, 9)):
            step = theirs(
                encoder_outputs=encoded,
                attention_mask=valid.long(),
                decoder_input_ids=TARGET[:, start:stop],
                past_key_values=past,
                use_cache=True,
            )
            past = step.past_key_values
            mine = ours.logits(ours.decode(TARGET[:, start:stop], memory=memory, cache=cache))
            close(mine, step.logits)
            close(mine, whole[:, start:stop])


@pytest.mark.parametrize("name", SEQ2SEQ)
def test_packed_pairs_equal_padded_ones(saved: Stock, name: str) -> None:
    ours, valid = read(saved(name)[1]), mask("right")
    padded = ours(SOURCE, TARGET, source_valid=valid, target_valid=TARGET_VALID, backend="eager")
    packed = ours(
        unpad(SOURCE, valid),
        unpad(TARGET, TARGET_VALID),
        source_lengths=lengths_of(valid),
        target_lengths=lengths_of(TARGET_VALID),
    )
    close(packed[0], padded[TARGET_VALID])
    again = ours(SOURCE, TARGET, source_valid=valid, target_valid=TARGET_VALID)
    assert torch.equal(again[TARGET_VALID], packed[0])
    assert again[~TARGET_VALID].abs().max() == 0


def trained(folder: Path, name: str) -> tuple[Any, LoadedModel]:
    """The stock model and ours in training, without dropout, which nobody could compare."""
    theirs = stock_seq2seq(SEQ2SEQ[name], folder).train()
    config = json.loads((folder / "config.json").read_text())
    quiet = dict.fromkeys(("dropout", "attention_dropout", "activation_dropout", "dropout_rate"), 0.0)
    (folder / "config.json").write_text(json.dumps(config | {key: quiet[key] for key in config if key in quiet}))
    loaded = read_model(folder)
    loaded.model.train()
    return theirs, loaded


@pytest.mark.parametrize("name", SEQ2SEQ)
@pytest.mark.parametrize("form", ["none", "right", "random", "checkpointing"])
def test_outputs_and_gradients_equal_stock_in_training(name: str, form: str, tmp_path: Path) -> None:
    theirs, loaded = trained(tmp_path, name)
    ours, valid = loaded.model, mask("right" if form == "checkpointing" else form)
    assert isinstance(ours, EncoderDecoder)
    ours.encoder.gradient_checkpointing = ours.decoder.gradient_checkpointing = form == "checkpointing"
    seen = TARGET_VALID if form != "none" else torch.ones_like(TARGET_VALID)
    mine = ours_of(ours, valid, target_valid=seen, target_positions=TARGET_PLACES)[seen]
    expected = theirs_of(theirs, valid, decoder_attention_mask=seen.long()).logits[seen]
    close(mine, expected)
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(5))
    (expected * weight).mean().backward()
    (mine * weight).mean().backward()
    mapped = family_for(ours.config).keymap(ours.config, loaded.architecture).to_theirs(
        {name: parameter.grad for name, parameter in ours.named_parameters()}
    )  # fmt: skip
    gradients = {name: p.grad for name, p in theirs.named_parameters() if p.requires_grad}
    bias = mapped.pop("final_logits_bias", None)  # a buffer of theirs
    if bias is not None:
        torch.testing.assert_close(bias[0], weight.sum(0) / weight.numel())
    assert mapped.keys() == gradients.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(mapped[key], gradient, atol=2e-5, rtol=1e-4, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("name", ["bart", "marian", "t5", "t5 1.1"])
def test_losses_equal_those_that_stock_computes(name: str, tmp_path: Path) -> None:
    theirs, loaded = trained(tmp_path, name)
    ours = loaded.model
    assert isinstance(ours, EncoderDecoder)
    labels = torch.where(TARGET_VALID, TARGET, -100)
    out = theirs(input_ids=SOURCE, attention_mask=mask("right").long(), labels=labels)
    start = torch.full((3, 1), loaded.config["decoder_start_token_id"])
    shifted = torch.cat((start, TARGET[:, :-1]), 1)
    hidden = ours(SOURCE, shifted, source_valid=mask("right"), target_valid=TARGET_VALID)[TARGET_VALID]
    close(torch.nn.functional.cross_entropy(ours.logits(hidden), TARGET[TARGET_VALID]), out.loss)


def opened(kind: type, folder: Path) -> Any:
    """Stock `transformers` on a folder of ours, every complaint an error."""
    again, info = kind.from_pretrained(folder, output_loading_info=True)
    assert not set(info["missing_keys"]) | set(info["unexpected_keys"]) | set(info["mismatched_keys"])
    return again


@pytest.mark.parametrize("name", SEQ2SEQ)
def test_the_round_trip_changes_no_bit(saved: Stock, name: str, tmp_path: Path) -> None:
    theirs, folder = saved(name)
    loaded = read_model(folder)
    write_model(tmp_path, loaded.model, like=loaded)
    kind = hf.T5ForConditionalGeneration if name == "mt5" else type(theirs)  # an mT5 is a T5 1.1
    again = opened(kind, tmp_path)
    assert_same_tensors(folder, tmp_path, theirs, again)
    assert read_model(tmp_path).model.config == loaded.model.config
    assert parameters(loaded.model.config) == sum(p.numel() for p in loaded.model.parameters())
    close(theirs_of(again.eval(), mask("right")).logits, theirs_of(theirs, mask("right")).logits)
    for key in ("pad_token_id", "eos_token_id", "bos_token_id", "decoder_start_token_id", "forced_eos_token_id"):
        assert getattr(again.config, key, None) == getattr(theirs.config, key, None), key
        assert getattr(again.generation_config, key, None) == getattr(theirs.generation_config, key, None), key


def test_settings_for_generation_and_use_are_kept(saved: Stock, tmp_path: Path) -> None:
    _, folder = saved("marian")
    settings = {"num_beams": 4, "max_length": 30, "bad_words_ids": [[1]], "forced_bos_token_id": 7, "_from": "x"}
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    config = json.loads((tmp_path / "config.json").read_text()) | {"task_specific_params": {"a": {"prefix": "b"}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "generation_config.json").write_text(json.dumps(settings))
    (tmp_path / "ours").mkdir()
    loaded = read_model(tmp_path)
    write_model(tmp_path / "ours", loaded.model, like=loaded, special={"eos": 5})
    again = json.loads((tmp_path / "ours" / "generation_config.json").read_text())
    assert again.items() >= {key: value for key, value in settings.items() if key != "_from"}.items()
    named = [again[f"{role}_token_id"] for role in ("eos", "pad", "decoder_start", "forced_eos")]
    assert named == [5, 1, 1, 0]
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["task_specific_params"] == {"a": {"prefix": "b"}}


@pytest.mark.parametrize("name", ["bart", "mbart", "marian", "marian two vocabularies", "t5 stacks alike"])
def test_a_model_of_our_own_opens_in_stock_and_writes_the_same(saved: Stock, name: str, tmp_path: Path) -> None:
    """What training writes: special tokens by role, nothing to be like."""
    theirs, folder = saved(name)
    ours = read(folder)
    write_model(tmp_path, ours, special={"pad": 3, "eos": 4, "bos": 5, "unk": 6})
    again = opened(type(theirs), tmp_path)
    assert (again.config.pad_token_id, again.config.eos_token_id) == (3, 4)
    start = again.generation_config.decoder_start_token_id
    assert start == again.config.decoder_start_token_id == (4 if "bart" in name else 3)
    assert again.generation_config.max_length == (None if "t5" in name else 32)
    if "marian" in name:
        assert again.generation_config.bad_words_ids == [[3]]
    again.generation_config.update(eos_token_id=None, forced_eos_token_id=None)
    written = again.generate(SOURCE, do_sample=False, num_beams=1, max_new_tokens=6)
    ids = torch.full((3, 1), start)
    for _ in range(6):
        logits = ours.logits(ours(SOURCE, ids)[:, -1])
        logits[:, 3] = -torch.inf if "marian" in name else logits[:, 3]
        ids = torch.cat((ids, logits.argmax(-1, keepdim=True)), 1)
    assert torch.equal(written, ids)


def altered(folder: Path, into: Path, **settings: Any) -> dict[str, torch.Tensor]:
    """A copy of the folder's configuration with these settings, and its tensors."""
    config = json.loads((folder / "config.json").read_text())
    (into / "config.json").write_text(json.dumps(config | settings))
    return load_file(folder / "model.safetensors")


def test_a_bart_without_its_head_is_read_with_it(saved: Stock, tmp_path: Path) -> None:
    """So is `facebook/bart-base` stored."""
    theirs, folder = saved("bart")
    tensors = altered(folder, tmp_path, architectures=["BartModel"])
    del tensors["final_logits_bias"]
    save_file({key.removeprefix("model."): value for key, value in tensors.items()}, tmp_path / "model.safetensors")
    expected = theirs_of(theirs, mask("right")).logits - theirs.final_logits_bias
    close(ours_of(read(tmp_path), mask("right")), expected)


@pytest.mark.parametrize(("name", "first"), [("bart", "model.shared.weight"), ("t5", "shared.weight")])
def test_all_names_of_the_shared_matrix_are_known(saved: Stock, name: str, first: str, tmp_path: Path) -> None:
    theirs, folder = saved(name)
    tensors = altered(folder, tmp_path)
    base = first.removesuffix("shared.weight")
    shared = tensors[first]
    others = (f"{base}encoder.embed_tokens.weight", f"{base}decoder.embed_tokens.weight", "lm_head.weight")
    save_file(tensors | {key: shared.clone() for key in others}, tmp_path / "model.safetensors")
    ours = read(tmp_path)
    assert ours.language.output is None
    assert ours.decoder.embed.tokens is ours.encoder.embed.tokens
    close(ours_of(ours, mask("right")), theirs_of(theirs, mask("right")).logits)
    del tensors[first]
    save_file(tensors | {others[0]: shared}, tmp_path / "model.safetensors")
    close(ours_of(read(tmp_path), mask("right")), theirs_of(theirs, mask("right")).logits)
    if name == "bart":
        other = {others[0]: shared, others[1]: shared + 1}
        save_file(tensors | other, tmp_path / "model.safetensors")
        with pytest.raises(CheckpointError, match="tied by the configuration, but stored with other values"):
            read_model(tmp_path)


def test_sinusoids_that_a_checkpoint_holds_are_compared(saved: Stock, tmp_path: Path) -> None:
    theirs, folder = saved("marian")
    tensors = altered(folder, tmp_path)
    for side in ("encoder", "decoder"):
        tensors[f"model.{side}.embed_positions.weight"] = getattr(theirs.model, side).embed_positions.weight.clone()
    save_file(tensors, tmp_path / "model.safetensors")
    close(ours_of(read(tmp_path), mask("right")), theirs_of(theirs, mask("right")).logits)
    tensors["model.decoder.embed_positions.weight"][3, 5] += 0.5
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CapabilityError, match="trained positions are not supported"):
        read_model(tmp_path)


def test_the_first_t5_stored_a_table_that_nothing_reads(saved: Stock, tmp_path: Path) -> None:
    theirs, folder = saved("t5")
    unread = {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": torch.ones(8, 4)}
    save_file(altered(folder, tmp_path) | unread, tmp_path / "model.safetensors")
    close(ours_of(read(tmp_path), mask("right")), theirs_of(theirs, mask("right")).logits)


@pytest.mark.parametrize(
    ("name", "settings", "problem"),
    [
        ("bart", {"tie_word_embeddings": False}, "tie_word_embeddings"),
        ("marian", {"tie_word_embeddings": False}, "tie_word_embeddings"),
        ("bart", {"activation_function": "mish"}, "activation 'mish'"),
        ("t5", {"feed_forward_proj": "twice-relu"}, "feed_forward_proj"),
        ("t5", {"relative_attention_num_buckets": 2}, "buckets"),
        ("t5", {"d_kv": None}, "lacks d_kv"),
        ("bart", {"decoder_layers": 10_000}, "decoder_layers=10000"),
        ("marian", {"d_model": 26}, "multiple"),
        ("marian", {"encoder_ffn_dim": "wide"}, "encoder_ffn_dim"),
        ("t5", {"d_ff": 41}, "mis-shaped"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    saved: Stock, name: str, settings: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    save_file(altered(saved(name)[1], tmp_path, **settings), tmp_path / "model.safetensors")
    with pytest.raises(SensoriumError, match=problem):
        read_model(tmp_path)
