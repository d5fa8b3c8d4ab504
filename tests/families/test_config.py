"""A configuration that is damaged, incomplete or beyond the core is refused by name, before anything is built."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.core.config import ModelConfig
from sensorium.errors import CapabilityError, CheckpointError, InputError, SensoriumError
from sensorium.families.checkpoint import read_config, read_model, write_model
from tests.core import models

MANY = settings(max_examples=200, derandomize=True)


def qwen2() -> ModelConfig:
    """Biases on q, k and v alone."""
    config = models.llama()
    attention = replace(config.stack.blocks[0].attention, q_bias=True, k_bias=True, v_bias=True)
    blocks = tuple(replace(block, attention=attention) for block in config.stack.blocks)
    return replace(config, stack=replace(config.stack, blocks=blocks))


CONFIGS = {
    "bert": models.bert(),
    "gpt2": models.gpt2(),
    "llama": models.llama(),
    "mistral": models.llama(window=4),
    "qwen2": qwen2(),
    "qwen3": models.llama(qk_norm=True),
}
REQUIRED = {
    "bert": (
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
        "max_position_embeddings", "type_vocab_size", "layer_norm_eps",
    ),
    "gpt2": (
        "vocab_size", "n_embd", "n_layer", "n_head", "n_positions", "layer_norm_epsilon", "activation_function",
    ),
    "llama": (
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
        "rms_norm_eps", "max_position_embeddings",
    ),
    "mistral": ("sliding_window",),
    "qwen3": ("head_dim",),
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A whole folder of every family, which no test changes."""
    found = {}
    for kind, config in CONFIGS.items():
        found[kind] = tmp_path_factory.mktemp(kind)
        write_model(found[kind], models.built(config))
        assert read_config(found[kind])["model_type"] == kind
    return found


@pytest.fixture
def llama(folders: dict[str, Path], tmp_path: Path) -> Path:
    return copied(folders, "llama", tmp_path)


def copied(folders: dict[str, Path], kind: str, beside: Path) -> Path:
    return Path(shutil.copytree(folders[kind], beside / kind))


def changed(folder: Path, **keys: Any) -> None:
    """Set keys of config.json; the value `...` takes a key out."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | keys
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def refused(folder: Path, kind: type[SensoriumError], match: str | None = None) -> SensoriumError:
    with pytest.raises(kind, match=match) as caught:
        read_model(folder)
    error = caught.value
    assert error.where is not None
    assert error.where.startswith(str(folder))
    assert error.fix
    assert "\n" not in str(error)
    return error


def problem(folder: Path) -> SensoriumError | None:
    """The error of opening and running a model, if it is one of ours."""
    try:
        model = read_model(folder).model
    except SensoriumError as error:
        return error
    model(torch.tensor([[3, 1, 4, 1, 5]]))
    return None


def test_every_family_opens_as_it_was_written(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        assert problem(folder) is None


# config.json as a file


def test_a_folder_without_a_model_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json is missing"):
        read_model(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_model(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"3", b'{"a": 1,}', b"\xff\xfe{}", b"[" * 100_000, b'{"a": ' + b"1" * 5000 + b"}"],
    ids=["empty", "open", "list", "null", "number", "comma", "not utf-8", "deep", "huge number"],
)
def test_what_is_no_json_object_is_refused(content: bytes, llama: Path) -> None:
    (llama / "config.json").write_bytes(content)
    assert refused(llama, CheckpointError, "JSON").where == str(llama / "config.json")


def test_a_truncated_or_random_file_is_refused(llama: Path) -> None:
    whole = (llama / "config.json").read_bytes()

    @MANY
    @given(st.one_of(st.binary(max_size=60), st.integers(0, len(whole) - 3).map(lambda length: whole[:length])))
    def check(content: bytes) -> None:
        (llama / "config.json").write_bytes(content)
        with pytest.raises((CheckpointError, CapabilityError)):
            read_model(llama)

    check()


# What it says


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind, keys in REQUIRED.items() for key in keys])
def test_a_missing_setting_is_named_and_never_guessed(
    folders: dict[str, Path], kind: str, key: str, tmp_path: Path
) -> None:
    folder = copied(folders, kind, tmp_path)
    changed(folder, **{key: ...})
    refused(folder, CheckpointError, f"lacks {key}")


def test_all_missing_settings_are_named_at_once(llama: Path) -> None:
    changed(llama, vocab_size=..., hidden_act=..., rms_norm_eps=None)
    refused(llama, CheckpointError, "lacks vocab_size, hidden_act, rms_norm_eps")


def test_a_missing_theta_is_named_wherever_it_may_stand(llama: Path) -> None:
    changed(llama, rope_theta=..., rope_parameters={"rope_type": "default"})
    refused(llama, CheckpointError, "lacks rope_theta")
    changed(llama, rope_theta=10000.0, rope_parameters=...)
    assert problem(llama) is None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"vocab_size": "many"}, "vocab_size='many' is not a whole number above 0"),
        ({"hidden_size": -24, "head_dim": 0}, r"hidden_size=-24 is not .*; head_dim=0 is not"),
        ({"num_attention_heads": 4.0}, r"num_attention_heads=4\.0 is not a whole number"),
        ({"num_hidden_layers": True}, "num_hidden_layers=True is not a whole number"),
        ({"num_hidden_layers": 10**9}, r"num_hidden_layers=1000000000, but the weights have only \d+ tensors"),
        ({"rms_norm_eps": "1e-5"}, "rms_norm_eps='1e-5' is not a number"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps=nan is not a number"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings='yes' is not true or false"),
        ({"hidden_act": ["silu"]}, r"hidden_act=\['silu'\] is not a name"),
        ({"num_key_value_heads": 3}, "n_heads=4 is not a multiple of n_kv_heads=3"),
        ({"num_attention_heads": 5, "head_dim": None}, "hidden size 24 is not a multiple of the 5 heads"),
        ({"head_dim": 9}, "a head of 9 dimensions cannot be rotated"),
        ({"attention_dropout": 2}, "attention_dropout=2 is not a number from 0 to 1"),
        ({"rope_parameters": "none"}, "the configuration cannot be used"),
        ({"rope_parameters": {"rope_theta": 0}}, "rope_theta=0 is not a number above 0"),
        ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}}, "lacks factor"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4, "factor": 2}}, "lacks low_freq_factor, high"),
    ],
)
def test_a_setting_of_a_wrong_kind_is_named(keys: dict[str, Any], message: str, llama: Path) -> None:
    changed(llama, **keys)
    refused(llama, SensoriumError, message)


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        ("llama", {"model_type": "mamba", "architectures": ["MambaForCausalLM"]}, "MambaForCausalLM is not a model"),
        ("llama", {"model_type": "mamba"}, "is not a model that the core knows"),
        ("llama", {"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification"),
        ("llama", {"architectures": ..., "model_type": "x"}, "x is not a model"),
        ("llama", {"architectures": "LlamaForCausalLM"}, "llama is not a model"),
        ("llama", {"architectures": [], "model_type": ...}, "a model without architectures"),
        ("llama", {"hidden_act": "relu6"}, "activation 'relu6' is not supported"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2}}, "scaling 'dynamic'"),
        ("llama", {"rope_parameters": ..., "rope_scaling": {"type": "longrope"}}, "scaling 'longrope'"),
        ("llama", {"partial_rotary_factor": 0.5}, r"partial_rotary_factor=0\.5"),
        ("llama", {"pretraining_tp": 2}, "pretraining_tp=2"),
        ("llama", {"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised by 'gptq'"),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 4, "layer_types": ["chunked_attention"] * 2}, "chunk"),
        ("bert", {"hidden_act": "mish"}, "activation 'mish'"),
        ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type='relative_key'"),
        ("bert", {"is_decoder": True}, "is_decoder=True"),
        ("bert", {"add_cross_attention": True}, "add_cross_attention=True"),
        ("bert", {"tie_word_embeddings": False}, "tie_word_embeddings=False"),
        ("gpt2", {"activation_function": "mish"}, "activation 'mish'"),
        ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights=False"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ("gpt2", {"reorder_and_upcast_attn": True}, "reorder_and_upcast_attn=True"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention=True"),
    ],
)
def test_what_the_core_cannot_compute_is_refused_by_name(
    folders: dict[str, Path], kind: str, keys: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = copied(folders, kind, tmp_path)
    changed(folder, **keys)
    error = refused(folder, CapabilityError, message)
    assert "transformers" in str(error.fix)


def test_layer_types_must_name_every_layer(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders, "qwen3", tmp_path)
    changed(folder, use_sliding_window=True, sliding_window=4, layer_types=["full_attention"] * 3)
    refused(folder, CheckpointError, "layer_types names 3 layers, num_hidden_layers is 2")


@pytest.mark.parametrize("kind", CONFIGS)
def test_any_value_of_any_setting_is_refused_or_runs(
    folders: dict[str, Path], kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = copied(folders, kind, tmp_path_factory.mktemp("any"))
    whole = read_config(folder)
    plain = st.one_of(
        st.none(), st.booleans(), st.integers(), st.integers(0, 100), st.floats(), st.text(max_size=5),
        st.sampled_from(["default", "llama3", "yarn", "linear", "gelu", "sliding_attention"]),
    )  # fmt: skip
    keys = st.sampled_from(["rope_type", "rope_theta", "factor", "original_max_position_embeddings", "beta_fast"])
    values = st.one_of(plain, st.lists(plain, max_size=2), st.dictionaries(keys, plain, max_size=4))

    @MANY
    @given(st.dictionaries(st.sampled_from(sorted(whole)), values, min_size=1, max_size=2))
    def check(keys: dict[str, Any]) -> None:
        (folder / "config.json").write_text(json.dumps(whole | keys))
        error = problem(folder)
        assert error is None or (error.exit_code == 2 and error.fix and str(folder) in str(error)), error

    check()
