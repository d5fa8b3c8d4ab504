"""Our core computes what stock `transformers` computes, for every family and option, in use and in training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file

from sensorium.core.cache import KVCache
from sensorium.core.capture import Capture
from sensorium.core.count import parameters
from sensorium.core.model import Encoder, Transformer
from sensorium.families.checkpoint import LoadedModel, family_for, read_model, write_model
from tests.parity.stock import (
    DECODERS,
    ENCODERS,
    EVERY,
    HEADLESS,
    MASKS,
    VOCAB,
    Stock,
    assert_same_tensors,
    made_once,
    mask,
    stock,
)

CLOSE = dict(atol=2e-5, rtol=1e-5)
IDS = torch.randint(3, VOCAB, (3, 12), generator=torch.Generator().manual_seed(3))
TYPES = torch.arange(12).ge(5).long().expand(3, 12)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """Each stock model and its folder; no test changes either."""
    return made_once(lambda name, folder: stock(EVERY[name], folder), tmp_path_factory)


def counted(valid: torch.Tensor) -> torch.Tensor:
    """Positions as a decoder counts them: from each row's first valid token."""
    return (valid.cumsum(1) - 1).clamp(min=0)


def close(mine: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(mine, theirs, **CLOSE)


def types_of(model: Any) -> torch.Tensor:
    return TYPES.clamp(max=model.config.type_vocab_size - 1)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("kind", MASKS)
def test_encoders_equal_stock_in_every_layer(saved: Stock, name: str, kind: str) -> None:
    theirs, folder = saved(name)
    ours = read_model(folder).model
    valid, types, positions = mask(kind), types_of(theirs), torch.arange(12).expand(3, 12)
    out = theirs(IDS, attention_mask=valid.long(), token_type_ids=types, output_hidden_states=True)
    capture = Capture(probabilities=False)
    ours(IDS, types=types, valid=valid, positions=positions, capture=capture)
    for mine, reference in zip(capture.states, out.hidden_states, strict=True):
        close(mine[valid], reference[valid])
    hidden = ours(IDS, types=types, valid=valid, positions=positions)
    close(hidden[valid], out.hidden_states[-1][valid])
    if ours.language is not None:
        logits = out.prediction_logits if "prediction_logits" in out else out.logits
        close(ours.masked_logits(hidden[valid]), logits[valid])
    if ours.pair is not None:
        close(ours.pair_logits(ours.pooled(hidden[:, 0]))[valid[:, 0]], out.seq_relationship_logits[valid[:, 0]])
    elif ours.pooler is not None:
        close(ours.pooled(hidden[:, 0])[valid[:, 0]], out.pooler_output[valid[:, 0]])


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("kind", MASKS)
def test_decoders_equal_stock_in_every_layer(saved: Stock, name: str, kind: str) -> None:
    theirs, folder = saved(name)
    ours = read_model(folder).model
    valid = mask(kind)
    out = theirs(IDS, attention_mask=valid.long(), position_ids=counted(valid), output_hidden_states=True)
    capture = Capture(probabilities=False)
    hidden = ours(IDS, valid=valid, capture=capture)
    for mine, reference in zip(capture.states[:-1], out.hidden_states[:-1], strict=True):
        close(mine[valid], reference[valid])
    close(hidden[valid], out.hidden_states[-1][valid])
    close(ours.logits(hidden)[valid], out.logits[valid])
    if kind == "none":
        close(ours.logits(ours(IDS)), theirs(IDS).logits)


@pytest.mark.parametrize("name", HEADLESS)
@pytest.mark.parametrize("kind", MASKS)
def test_headless_models_equal_stock(saved: Stock, name: str, kind: str) -> None:
    theirs, folder = saved(name)
    ours = read_model(folder).model
    assert ours.language is None
    valid = mask(kind)
    expected = theirs(IDS, attention_mask=valid.long(), position_ids=counted(valid)).last_hidden_state
    close(ours(IDS, valid=valid)[valid], expected[valid])


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("kind", ["none", "left"])
def test_cached_steps_equal_stock_and_the_whole_pass(saved: Stock, name: str, kind: str) -> None:
    theirs, folder = saved(name)
    ours = read_model(folder).model
    valid = mask(kind)
    positions = counted(valid)
    cache, past = KVCache(ours.config.stack, batch=3, capacity=12), None
    with torch.inference_mode():
        whole = ours.logits(ours(IDS, valid=valid))
        for start, stop in ((0, 5), (5, 6), (6, 7), (7, 8), (8, 12)):
            seen = dict(attention_mask=valid[:, :stop].long(), position_ids=positions[:, start:stop])
            step = theirs(IDS[:, start:stop], past_key_values=past, use_cache=True, **seen)
            past = step.past_key_values
            padding = None if kind == "none" else valid[:, :stop]
            mine = ours.logits(ours(IDS[:, start:stop], valid=padding, cache=cache))
            real = valid[:, start:stop]
            close(mine[real], step.logits[real])
            close(mine[real], whole[:, start:stop][real])


def trained(folder: Path, name: str) -> tuple[Any, LoadedModel]:
    """The stock model and ours in training, without dropout, which nobody could compare."""
    theirs = stock(EVERY[name], folder).train()
    config = json.loads((folder / "config.json").read_text())
    quiet = {key: 0.0 for key in config if key.endswith(("dropout_prob", "_pdrop", "attention_dropout"))}
    (folder / "config.json").write_text(json.dumps(config | quiet))
    loaded = read_model(folder)
    loaded.model.train()
    return theirs, loaded


def their_outputs(model: Any, valid: torch.Tensor) -> list[torch.Tensor]:
    if hasattr(model.config, "type_vocab_size"):
        out = model(IDS, attention_mask=valid.long(), token_type_ids=types_of(model))
    else:
        out = model(IDS, attention_mask=valid.long(), position_ids=counted(valid))
    by_token = next(out[key] for key in ("prediction_logits", "logits", "last_hidden_state") if key in out)
    by_row = [out[key] for key in ("seq_relationship_logits", "pooler_output") if out.get(key) is not None]
    return [by_token[valid], *(output[valid[:, 0]] for output in by_row)]


def our_outputs(model: Transformer, valid: torch.Tensor) -> list[torch.Tensor]:
    if not isinstance(model, Encoder):
        hidden = model(IDS, valid=valid)
        return [(hidden if model.language is None else model.logits(hidden))[valid]]
    types = TYPES.clamp(max=model.config.stack.embed.n_types - 1)
    hidden = model(IDS, types=types, valid=valid, positions=torch.arange(12).expand(3, 12))
    outputs = [hidden[valid] if model.language is None else model.masked_logits(hidden[valid])]
    if model.pooler is not None:
        pooled = model.pooled(hidden[:, 0])
        outputs.append((pooled if model.pair is None else model.pair_logits(pooled))[valid[:, 0]])
    return outputs


def backward(outputs: list[torch.Tensor]) -> None:
    """A loss that every number of the outputs has a part in, each its own."""
    generator = torch.Generator().manual_seed(5)
    weights = [torch.randn(output.shape, generator=generator) for output in outputs]
    sum((output * weight).mean() for output, weight in zip(outputs, weights, strict=True)).backward()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kind", ["none", "random"])
def test_outputs_and_gradients_equal_stock_in_training(name: str, kind: str, tmp_path: Path) -> None:
    theirs, loaded = trained(tmp_path, name)
    ours = loaded.model
    expected, mine = their_outputs(theirs, mask(kind)), our_outputs(ours, mask(kind))
    for output, reference in zip(mine, expected, strict=True):
        close(output, reference)
    backward(expected)
    backward(mine)
    mapped = family_for(ours.config).keymap(ours.config, loaded.architecture).to_theirs(
        {name: parameter.grad for name, parameter in ours.named_parameters()}
    )  # fmt: skip
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    assert mapped.keys() == gradients.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(mapped[key], gradient, atol=2e-5, rtol=1e-4, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("name", ["bert pre-training", "gpt2", "llama", "mistral window", "qwen2", "qwen3"])
def test_losses_equal_those_that_stock_computes(name: str, tmp_path: Path) -> None:
    theirs, loaded = trained(tmp_path, name)
    ours = loaded.model
    cross_entropy = torch.nn.functional.cross_entropy
    if isinstance(ours, Encoder):
        labels = torch.where(mask("random"), IDS, -100)
        sentence = torch.tensor([0, 1, 1])
        loss = theirs(IDS, labels=labels, next_sentence_label=sentence).loss
        hidden = ours(IDS)
        chosen = labels != -100
        mine = cross_entropy(ours.masked_logits(hidden[chosen]), labels[chosen])
        mine = mine + cross_entropy(ours.pair_logits(ours.pooled(hidden[:, 0])), sentence)
    else:
        loss = theirs(IDS, labels=IDS).loss
        mine = cross_entropy(ours.logits(ours(IDS))[:, :-1].flatten(0, 1), IDS[:, 1:].flatten())
    close(mine, loss)


@pytest.mark.parametrize("name", EVERY)
def test_the_round_trip_changes_no_bit(saved: Stock, name: str, tmp_path: Path) -> None:
    theirs, folder = saved(name)
    loaded = read_model(folder)
    write_model(tmp_path, loaded.model, special={"pad": 0, "bos": 1, "eos": 2})
    again, info = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    absent = {"pooler.dense.weight", "pooler.dense.bias"} if name == "bert without pooler" else set()
    assert set(info["missing_keys"]) == absent
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    if name != "mistral":  # without a window it is a Llama, and is written as one
        assert type(hf.AutoModel.from_pretrained(tmp_path).config) is type(theirs.config)
    assert_same_tensors(folder, tmp_path, theirs, again)
    second = read_model(tmp_path)
    assert second.model.config == loaded.model.config
    assert parameters(loaded.model.config) == sum(p.numel() for p in loaded.model.parameters())


def test_a_masked_model_that_holds_the_next_sentence_head_keeps_it(saved: Stock, tmp_path: Path) -> None:
    """So are `bert-base-uncased` and many others stored."""
    theirs, folder = saved("bert pre-training")
    tensors = load_file(folder / "model.safetensors")
    theirs.save_pretrained(tmp_path / "hub")
    config = json.loads((tmp_path / "hub" / "config.json").read_text())
    (tmp_path / "hub" / "config.json").write_text(json.dumps(config | {"architectures": ["BertForMaskedLM"]}))
    ours = read_model(tmp_path / "hub").model
    for output, reference in zip(our_outputs(ours, mask("none")), their_outputs(theirs, mask("none")), strict=True):
        close(output, reference)
    (tmp_path / "ours").mkdir()
    write_model(tmp_path / "ours", ours)
    written = load_file(tmp_path / "ours" / "model.safetensors")
    assert written.keys() == tensors.keys()
    assert all(torch.equal(written[key], tensor) for key, tensor in tensors.items())


def test_configurations_of_before_transformers_5_mean_the_same(saved: Stock, tmp_path: Path) -> None:
    for name in ("llama theta, eps", "llama linear", "llama3 scaling", "llama yarn"):
        theirs, folder = saved(name)
        config = json.loads((folder / "config.json").read_text())
        scaling = config.pop("rope_parameters")
        config |= {"rope_theta": scaling.pop("rope_theta"), "rope_scaling": scaling}
        if scaling["rope_type"] in ("default", "linear"):
            scaling["type"] = scaling.pop("rope_type")
        if scaling.get("type") == "default":
            config["rope_scaling"] = None
        older = tmp_path / name
        older.mkdir()
        (older / "config.json").write_text(json.dumps(config))
        (older / "model.safetensors").symlink_to(folder / "model.safetensors")
        ours = read_model(older).model
        close(ours.logits(ours(IDS)), theirs(IDS).logits)


def test_sharded_weights_equal_whole_ones(saved: Stock, tmp_path: Path) -> None:
    theirs, _ = saved("llama")
    theirs.save_pretrained(tmp_path / "sharded", max_shard_size="8KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 2
    ours = read_model(tmp_path / "sharded").model
    close(ours.logits(ours(IDS)), theirs(IDS).logits)
    (tmp_path / "again").mkdir()
    write_model(tmp_path / "again", ours, max_shard_bytes=8000)
    assert len(list((tmp_path / "again").glob("*.safetensors"))) > 2
    again = type(theirs).from_pretrained(tmp_path / "again")
    close(again(IDS).logits, theirs(IDS).logits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_load_as_they_are(dtype: torch.dtype, tmp_path: Path) -> None:
    theirs = stock(DECODERS["llama"], tmp_path / "theirs").to(dtype)
    theirs.save_pretrained(tmp_path / "half")
    ours = read_model(tmp_path / "half").model
    again = type(theirs).from_pretrained(tmp_path / "half", dtype=torch.float32)
    close(ours.logits(ours(IDS)), again(IDS).logits)
    assert read_model(tmp_path / "half", dtype=dtype).model.stack.embed.tokens.weight.dtype == dtype
