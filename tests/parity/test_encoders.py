"""RoBERTa, XLM-R, DistilBERT, ModernBERT and the heads of all encoders compute what stock `transformers` computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from sensorium.core.capture import Capture
from sensorium.core.count import parameters
from sensorium.families.checkpoint import family_for, read_config, read_model, write_model
from tests.parity.encoders import BARE, EVERY, MASKED, NAMES, PAD, TASKS, VOCAB, our_outputs, outputs
from tests.parity.stock import MASKS, Stock, assert_same_tensors, made_once, mask, stock

CLOSE = dict(atol=1e-4, rtol=1e-5)  # values reach 15; how fp32 rounds them depends on the processor


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """Each stock model and its folder; no test changes either."""
    return made_once(lambda name, folder: stock(EVERY[name], folder), tmp_path_factory)


def ids_of(model: Any, valid: torch.Tensor) -> torch.Tensor:
    """Padding where a mask has it: RoBERTa counts its positions by it."""
    ids = torch.randint(6, VOCAB, (3, 12), generator=torch.Generator().manual_seed(3))
    return ids.masked_fill(~valid, model.config.pad_token_id)


def theirs_of(model: Any, valid: torch.Tensor, **options: Any) -> Any:
    more: dict[str, Any] = {}
    if "oberta" not in type(model).__name__:
        more["position_ids"] = (valid.cumsum(1) - 1).clamp(min=0)
    return model(ids_of(model, valid), attention_mask=valid.long(), **more, **options)


def close(mine: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    for output, reference in zip(mine, theirs, strict=True):
        torch.testing.assert_close(output, reference, **CLOSE)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kind", MASKS)
def test_every_layer_and_head_equals_stock(saved: Stock, name: str, kind: str) -> None:
    theirs, folder = saved(name)
    ours = read_model(folder).model
    valid = mask(kind)
    out = theirs_of(theirs, valid, output_hidden_states=True)
    ids = ids_of(theirs, valid)
    capture = Capture(probabilities=False)
    padded = ours(ids, valid=valid, capture=capture)
    states = capture.states[:-1] if ours.stack.final_norm is not None else capture.states
    close([state[valid] for state in states], [state[valid] for state in out.hidden_states][: len(states)])
    close(our_outputs(ours, padded, valid), outputs(theirs, out, valid))
    close(our_outputs(ours, ours(ids, valid=valid), valid), outputs(theirs, out, valid))
    if kind == "none":
        close(our_outputs(ours, ours(ids), valid), outputs(theirs, out, valid))


@pytest.mark.parametrize("name", TASKS)
def test_packed_sequences_have_the_same_outputs_as_padded_ones(saved: Stock, name: str) -> None:
    theirs, folder = saved(name)
    ours = read_model(folder).model
    valid = mask("right")
    ids = ids_of(theirs, valid)
    lengths = tuple(valid.sum(1).tolist())
    hidden, padded = ours(ids[valid][None], lengths=lengths), ours(ids, valid=valid)
    if ours.classes is not None:
        close([ours.class_logits(hidden, lengths=lengths)], [ours.class_logits(padded, valid=valid)])
    else:
        every = torch.ones(1, hidden.shape[1], dtype=torch.bool)
        close(our_outputs(ours, hidden, every), our_outputs(ours, padded, valid))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kind", ["right", "random"])
def test_outputs_and_gradients_equal_stock_in_training(name: str, kind: str, tmp_path: Path) -> None:
    theirs = stock(EVERY[name], tmp_path).train()
    for module in theirs.modules():
        module.__dict__.update({key: 0.0 for key in ("dropout_prob", "attention_dropout") if key in module.__dict__})
    config = read_config(tmp_path)
    quiet = {key: 0.0 for key in config if "dropout" in key}
    (tmp_path / "config.json").write_text(json.dumps(config | quiet))
    loaded = read_model(tmp_path)
    ours = loaded.model.train()
    valid = mask(kind)
    expected = outputs(theirs, theirs_of(theirs, valid), valid)
    mine = our_outputs(ours, ours(ids_of(theirs, valid), valid=valid), valid)
    close(mine, expected)
    for results in (expected, mine):
        generator = torch.Generator().manual_seed(5)
        sum((output * torch.randn(output.shape, generator=generator)).mean() for output in results).backward()
    keymap = family_for(ours.config).keymap(ours.config, loaded.architecture)
    mapped = keymap.to_theirs({name: _gradient(parameter) for name, parameter in ours.named_parameters()})
    for name_of_two, parameter in theirs.named_parameters():
        key, gradient = (keymap.same or {}).get(name_of_two, name_of_two), _gradient(parameter)
        torch.testing.assert_close(mapped[key], gradient, atol=2e-5, rtol=1e-4, msg=lambda m, k=key: f"{k}: {m}")


def _gradient(parameter: torch.Tensor) -> torch.Tensor:
    """Zeros for what the outputs do not depend on, as a pooler that no head reads."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@pytest.mark.parametrize("name", EVERY)
def test_the_round_trip_changes_no_bit(saved: Stock, name: str, tmp_path: Path) -> None:
    theirs, folder = saved(name)
    loaded = read_model(folder)
    roles = {"pad": theirs.config.pad_token_id, "cls": 2, "sep": 3}
    write_model(tmp_path, loaded.model, special=roles)
    again, info = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    absent = {"pooler.dense.weight", "pooler.dense.bias"} if name == "roberta without pooler" else set()
    assert set(info["missing_keys"]) == absent
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    assert_same_tensors(folder, tmp_path, theirs, again)
    config = loaded.model.config
    assert read_model(tmp_path).model.config == config
    assert parameters(config) == sum(p.numel() for p in loaded.model.parameters())


@pytest.mark.parametrize("name", EVERY)
def test_their_settings_survive_the_round_trip(saved: Stock, name: str, tmp_path: Path) -> None:
    theirs, folder = saved(name)
    write_model(tmp_path, read_model(folder).model, special={"pad": theirs.config.pad_token_id, "cls": 2, "sep": 3})
    before, after = theirs.config.to_dict(), hf.AutoConfig.from_pretrained(tmp_path).to_dict()
    # What says nothing of the model; and what no head of this kind reads.
    loose = {"transformers_version", "_name_or_path", "initializer_range", "initializer_cutoff_factor", "use_cache",
             "dtype", "sinusoidal_pos_embds", "bos_token_id", "eos_token_id"}  # fmt: skip
    if name.startswith("xlm-r"):
        loose |= {"model_type", "architectures"}
        assert after["model_type"] == "roberta"
    if "answers" in name or name in BARE or name in MASKED:
        loose |= {"classifier_dropout", "id2label", "label2id", "qa_dropout", "seq_classif_dropout"}
    if "answers" not in name:
        loose |= {"qa_dropout"}
    if "classes" not in name and "value" not in name:
        loose |= {"classifier_pooling", "seq_classif_dropout"}
    if name in TASKS:
        loose |= {"decoder_bias", "tie_word_embeddings"}
    if before.get("classifier_dropout") == before.get("hidden_dropout_prob"):
        loose |= {"classifier_dropout"}
    if before["model_type"] == "modernbert":
        before["local_attention"] -= before["local_attention"] % 2
        if set(before["layer_types"]) == {"full_attention"}:
            loose |= {"local_attention"}
        if name in BARE:
            loose |= {"classifier_bias", "classifier_activation"}
        # Stock fills in what its settings mean; ours are written in full.
        for settings in (before, after):
            for rotation in settings["rope_parameters"].values():
                for key in ("beta_fast", "beta_slow", "attention_factor", "truncate"):
                    rotation.pop(key, None)
    different = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert different <= loose, {key: (before.get(key), after.get(key)) for key in different - loose}


@pytest.mark.parametrize("name", [name for name in TASKS if name.endswith((" classes", " tags"))])
def test_labels_keep_their_names_and_their_meaning(saved: Stock, name: str, tmp_path: Path) -> None:
    theirs, folder = saved(name)
    loaded = read_model(folder)
    config = loaded.model.config
    named = tuple(NAMES.values()) if "two" not in name else ("LABEL_0", "LABEL_1")
    assert config.labels == named
    if config.classes is not None:
        assert config.classes.problem == ("multi_label_classification" if "any" in name else None)
        assert config.classes.n_classes == len(named)
    else:
        assert config.n_tags == len(named)
    write_model(tmp_path, loaded.model)
    again = type(theirs).from_pretrained(tmp_path).config
    assert again.id2label == theirs.config.id2label
    assert again.label2id == theirs.config.label2id
    assert again.problem_type == theirs.config.problem_type


def test_older_folders_of_modernbert_mean_the_same(saved: Stock, tmp_path: Path) -> None:
    """As the published ones are: two bases of the rotation, and one global layer in every three."""
    theirs, folder = saved("modernbert bases")
    config = read_config(folder)
    del config["rope_parameters"], config["layer_types"]
    config |= {"global_rope_theta": 900.0, "local_rope_theta": 30.0, "global_attn_every_n_layers": 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    ours, valid = read_model(tmp_path).model, mask("none")
    close(
        our_outputs(ours, ours(ids_of(theirs, valid)), valid),
        outputs(theirs, theirs_of(hf.ModernBertForMaskedLM.from_pretrained(tmp_path).eval(), valid), valid),
    )
    close(our_outputs(ours, ours(ids_of(theirs, valid)), valid), outputs(theirs, theirs_of(theirs, valid), valid))


@pytest.mark.parametrize("name", ["bert answers", "roberta classes", "roberta tags", "roberta answers", "roberta"])
def test_a_pooler_that_no_head_reads_changes_nothing(saved: Stock, name: str, tmp_path: Path) -> None:
    """Many published fine-tuned encoders still hold the one that they were pre-trained with."""
    theirs, folder = saved(name)
    base = type(theirs).base_model_prefix
    tensors = load_file(folder / "model.safetensors")
    extra = {f"{base}.pooler.dense.weight": torch.randn(24, 24), f"{base}.pooler.dense.bias": torch.randn(24)}
    save_file(tensors | extra, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    ours, valid = read_model(tmp_path).model, mask("none")
    close(our_outputs(ours, ours(ids_of(theirs, valid)), valid), outputs(theirs, theirs_of(theirs, valid), valid))


def test_roberta_is_written_with_the_padding_that_its_positions_count_from(saved: Stock, tmp_path: Path) -> None:
    theirs, folder = saved("roberta pad 5")
    write_model(tmp_path, read_model(folder).model, special={"pad": PAD, "cls": 2, "sep": 3})
    config = read_config(tmp_path)
    assert (config["pad_token_id"], config["bos_token_id"], config["eos_token_id"]) == (5, 2, 3)
    assert theirs.config.max_position_embeddings == config["max_position_embeddings"]
