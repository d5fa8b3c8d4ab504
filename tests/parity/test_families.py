"""Our core computes what stock `transformers` computes, and the round trip changes no bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file

from sensorium.core.cache import KVCache
from sensorium.core.capture import Capture
from sensorium.core.count import parameters
from sensorium.core.model import Encoder
from sensorium.families.checkpoint import read_model, write_model
from tests.parity.stock import DECODERS, ENCODERS, HEADLESS, VOCAB, stock

CLOSE = dict(atol=2e-5, rtol=1e-5)
MASKS = ["none", "right", "left", "random"]


def ids(batch: int = 3, seq: int = 12) -> torch.Tensor:
    return torch.randint(3, VOCAB, (batch, seq), generator=torch.Generator().manual_seed(3))


def mask(kind: str) -> torch.Tensor:
    valid = torch.ones(3, 12, dtype=torch.bool)
    valid[1, 7:] = False
    valid[2, 3:] = False
    if kind == "left":
        return valid.flip(1)
    if kind == "random":
        return torch.rand(3, 12, generator=torch.Generator().manual_seed(4)) > 0.4
    return valid if kind == "right" else torch.ones_like(valid)


def close(mine: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(mine, theirs, **CLOSE)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("kind", MASKS)
def test_encoders_equal_stock(name: str, kind: str, tmp_path: Path) -> None:
    theirs = stock(ENCODERS[name], tmp_path)
    ours = read_model(tmp_path).model
    valid = mask(kind)
    types = torch.arange(12).ge(5).long().expand(3, 12)
    positions = torch.arange(12).expand(3, 12)
    out = theirs(ids(), attention_mask=valid.long(), token_type_ids=types, output_hidden_states=True)
    capture = Capture(probabilities=False)
    ours(ids(), types=types, valid=valid, positions=positions, capture=capture)
    for mine, reference in zip(capture.states, out.hidden_states, strict=True):
        close(mine[valid], reference[valid])
    hidden = ours(ids(), types=types, valid=valid, positions=positions)
    close(hidden[valid], out.hidden_states[-1][valid])
    if ours.language is not None:
        logits = out.prediction_logits if "prediction_logits" in out else out.logits
        close(ours.masked_logits(hidden[valid]), logits[valid])
    if ours.pair is not None:
        close(ours.pair_logits(ours.pooled(hidden[:, 0]))[valid[:, 0]], out.seq_relationship_logits[valid[:, 0]])
    elif ours.pooler is not None:
        close(ours.pooled(hidden[:, 0])[valid[:, 0]], out.pooler_output[valid[:, 0]])


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("kind", MASKS[:3])
def test_decoders_equal_stock(name: str, kind: str, tmp_path: Path) -> None:
    theirs = stock(DECODERS[name], tmp_path)
    ours = read_model(tmp_path).model
    valid = mask(kind)
    positions = (valid.cumsum(1) - 1).clamp(min=0)
    reference = theirs(ids(), attention_mask=valid.long(), position_ids=positions).logits
    close(ours.logits(ours(ids(), valid=valid))[valid], reference[valid])
    if kind == "none":
        close(ours.logits(ours(ids())), theirs(ids()).logits)


@pytest.mark.parametrize("name", HEADLESS)
def test_headless_models_equal_stock(name: str, tmp_path: Path) -> None:
    theirs = stock(HEADLESS[name], tmp_path)
    ours = read_model(tmp_path).model
    assert ours.language is None
    close(ours(ids()), theirs(ids()).last_hidden_state)


@pytest.mark.parametrize("name", DECODERS)
def test_cached_decoding_equals_stock(name: str, tmp_path: Path) -> None:
    theirs = stock(DECODERS[name], tmp_path)
    ours = read_model(tmp_path).model
    cache, past = KVCache(ours.config.stack, batch=3, capacity=12), None
    with torch.inference_mode():
        for start, stop in ((0, 5), (5, 6), (6, 7), (7, 8), (8, 12)):
            step = theirs(ids()[:, start:stop], past_key_values=past, use_cache=True)
            past = step.past_key_values
            close(ours.logits(ours(ids()[:, start:stop], cache=cache)), step.logits)


@pytest.mark.parametrize("name", ["bert pre-training", "gpt2", "llama tied, biases", "qwen3"])
def test_losses_and_gradients_equal_stock_in_training(name: str, tmp_path: Path) -> None:
    theirs = stock({**ENCODERS, **DECODERS}[name], tmp_path).train()
    hf_config = json.loads((tmp_path / "config.json").read_text())
    quiet = {key: 0.0 for key in hf_config if key.endswith(("dropout_prob", "_pdrop"))}
    (tmp_path / "config.json").write_text(json.dumps(hf_config | quiet))
    ours = read_model(tmp_path).model.train()
    cross_entropy = torch.nn.functional.cross_entropy
    if isinstance(ours, Encoder):
        labels = torch.where(mask("random"), ids(), -100)
        sentence = torch.tensor([0, 1, 1])
        loss = theirs(ids(), labels=labels, next_sentence_label=sentence).loss
        hidden = ours(ids())
        chosen = labels != -100
        mine = cross_entropy(ours.masked_logits(hidden[chosen]), labels[chosen])
        mine = mine + cross_entropy(ours.pair_logits(ours.pooled(hidden[:, 0])), sentence)
    else:
        loss = theirs(ids(), labels=ids()).loss
        mine = cross_entropy(ours.logits(ours(ids()))[:, :-1].flatten(0, 1), ids()[:, 1:].flatten())
    close(mine, loss)
    loss.backward()
    mine.backward()
    from sensorium.families.checkpoint import family_for

    grads = {n: p.grad for n, p in ours.named_parameters() if p.grad is not None}
    architecture = hf_config["architectures"][0]
    mapped = family_for(ours.config).keymap(ours.config, architecture).to_theirs(grads)
    expected = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    assert mapped.keys() <= expected.keys()
    for key, gradient in mapped.items():
        torch.testing.assert_close(gradient, expected[key], atol=5e-5, rtol=1e-4, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("name", [*ENCODERS, *DECODERS, *HEADLESS])
def test_the_round_trip_changes_no_bit(name: str, tmp_path: Path) -> None:
    theirs = stock({**ENCODERS, **DECODERS, **HEADLESS}[name], tmp_path / "theirs")
    loaded = read_model(tmp_path / "theirs")
    (tmp_path / "ours").mkdir()
    write_model(tmp_path / "ours", loaded.model, special={"pad": 0, "bos": 1, "eos": 2})
    again, info = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not info["missing_keys"] - ({"pooler.dense.weight", "pooler.dense.bias"} if "without" in name else set())
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    if name != "mistral":  # without a window it is a Llama, and is written as one
        assert type(hf.AutoModel.from_pretrained(tmp_path / "ours").config) is type(theirs.config)
    want, got = theirs.state_dict(), again.state_dict()
    for key, value in want.items():
        assert torch.equal(got[key], value), key
    stored = load_file(tmp_path / "theirs" / "model.safetensors")
    for key, value in load_file(tmp_path / "ours" / "model.safetensors").items():
        if key in stored:
            assert torch.equal(stored[key], value), key
    second = read_model(tmp_path / "ours")
    assert second.model.config == loaded.model.config
    assert parameters(loaded.model.config) == sum(p.numel() for p in loaded.model.parameters())


def test_sharded_weights_equal_whole_ones(tmp_path: Path) -> None:
    theirs = stock(DECODERS["llama"], tmp_path / "theirs")
    theirs.save_pretrained(tmp_path / "sharded", max_shard_size="8KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 2
    ours = read_model(tmp_path / "sharded").model
    close(ours.logits(ours(ids())), theirs(ids()).logits)
    (tmp_path / "again").mkdir()
    write_model(tmp_path / "again", ours, max_shard_bytes=8000)
    assert len(list((tmp_path / "again").glob("*.safetensors"))) > 2
    again = type(theirs).from_pretrained(tmp_path / "again")
    close(again(ids()).logits, theirs(ids()).logits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_load_as_they_are(dtype: torch.dtype, tmp_path: Path) -> None:
    theirs = stock(DECODERS["llama"], tmp_path / "theirs").to(dtype)
    theirs.save_pretrained(tmp_path / "half")
    ours = read_model(tmp_path / "half").model
    again = type(theirs).from_pretrained(tmp_path / "half", dtype=torch.float32)
    close(ours.logits(ours(ids())), again(ids()).logits)
    assert read_model(tmp_path / "half", dtype=dtype).model.stack.embed.tokens.weight.dtype == dtype
