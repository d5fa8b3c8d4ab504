"""Tiny stock models of every family and option, each parameter perturbed, saved by stock `transformers`.

Freshly initialised models have norms of 1 and biases of 0, which would hide a swap of any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file

VOCAB, CONTEXT = 60, 32
_GPT = dict(vocab_size=VOCAB, n_embd=24, n_layer=2, n_head=4, n_positions=CONTEXT, bos_token_id=1, eos_token_id=2)
_BERT = dict(
    vocab_size=VOCAB, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40,
    max_position_embeddings=CONTEXT, pad_token_id=0,
)  # fmt: skip
_LLAMA = dict(
    vocab_size=VOCAB, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
    intermediate_size=40, max_position_embeddings=CONTEXT, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    tie_word_embeddings=False,
)  # fmt: skip
_LINEAR = dict(rope_type="linear", rope_theta=10000.0, factor=2.5)
_LLAMA3 = dict(
    rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=16,
)  # fmt: skip
_YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=8)
_YARN_ALL = dict(**_YARN, beta_fast=4.0, beta_slow=2.0, mscale=0.7, mscale_all_dim=0.9, truncate=False)
_YARN_FACTOR = dict(**_YARN, attention_factor=0.8)


def _bert(kind: str, **options: Any) -> Callable[[], Any]:
    return lambda: getattr(hf, kind)(hf.BertConfig(**_BERT | options))


def _gpt2(**options: Any) -> Callable[[], Any]:
    return lambda: hf.GPT2LMHeadModel(hf.GPT2Config(**_GPT | options))


def _like_llama(family: str, **options: Any) -> Callable[[], Any]:
    config, model = getattr(hf, f"{family}Config"), getattr(hf, f"{family}ForCausalLM")
    return lambda: model(config(**_LLAMA | options))


ENCODERS: dict[str, Callable[[], Any]] = {
    "bert pre-training": _bert("BertForPreTraining"),
    "bert pre-training, dropouts": _bert(
        "BertForPreTraining", hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.3
    ),
    "bert masked": _bert("BertForMaskedLM", hidden_act="gelu_new", type_vocab_size=3),
    "bert masked, relu": _bert("BertForMaskedLM", hidden_act="relu", num_attention_heads=1),
    "bert masked, silu": _bert("BertForMaskedLM", hidden_act="silu", type_vocab_size=1),
    "bert model": _bert("BertModel", layer_norm_eps=1e-2),
    "bert without pooler": lambda: hf.BertModel(hf.BertConfig(**_BERT), add_pooling_layer=False),
}
DECODERS: dict[str, Callable[[], Any]] = {
    "gpt2": _gpt2(),
    "gpt2 relu, inner": _gpt2(n_inner=40, activation_function="relu", layer_norm_epsilon=1e-2),
    "gpt2 gelu, untied": _gpt2(activation_function="gelu", tie_word_embeddings=False),
    "gpt2 tanh, dropouts": _gpt2(activation_function="tanh", resid_pdrop=0.2, embd_pdrop=0.3, attn_pdrop=0.0),
    "llama": _like_llama("Llama"),
    "llama tied, biases": _like_llama("Llama", tie_word_embeddings=True, attention_bias=True, mlp_bias=True),
    "llama biases of attention": _like_llama("Llama", attention_bias=True),
    "llama biases of mlp": _like_llama("Llama", mlp_bias=True),
    "llama one key head": _like_llama("Llama", num_key_value_heads=1),
    "llama all key heads": _like_llama("Llama", num_key_value_heads=None),
    "llama head_dim": _like_llama("Llama", head_dim=10),
    "llama gelu, dropout": _like_llama("Llama", hidden_act="gelu", attention_dropout=0.2),
    "llama theta, eps": _like_llama(
        "Llama", rope_parameters=dict(rope_type="default", rope_theta=500.0), rms_norm_eps=1e-2
    ),
    "llama linear": _like_llama("Llama", rope_parameters=_LINEAR),
    "llama3 scaling": _like_llama("Llama", rope_parameters=_LLAMA3),
    "llama yarn": _like_llama("Llama", rope_parameters=_YARN),
    "llama yarn, all settings": _like_llama("Llama", rope_parameters=_YARN_ALL),
    "llama yarn, attention factor": _like_llama("Llama", rope_parameters=_YARN_FACTOR),
    "smollm2": _like_llama(
        "Llama", hidden_size=36, num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="default", rope_theta=100000.0), rms_norm_eps=1e-5,
    ),
    "mistral window": _like_llama("Mistral", sliding_window=4),
    "mistral window, tied, head_dim": _like_llama("Mistral", sliding_window=2, tie_word_embeddings=True, head_dim=8),
    "mistral wide window": _like_llama("Mistral", sliding_window=30),
    "mistral": _like_llama("Mistral", sliding_window=None),
    "qwen2": _like_llama("Qwen2"),
    "qwen2 tied": _like_llama("Qwen2", tie_word_embeddings=True, num_key_value_heads=1),
    "qwen2 window": _like_llama("Qwen2", use_sliding_window=True, sliding_window=4, max_window_layers=1),
    "qwen2 window in the middle": _like_llama(
        "Qwen2", use_sliding_window=True, sliding_window=3,
        layer_types=["full_attention", "sliding_attention", "full_attention"],
    ),
    "qwen3": _like_llama("Qwen3", head_dim=8),
    "qwen3 tied, biases": _like_llama("Qwen3", head_dim=6, tie_word_embeddings=True, attention_bias=True),
    "qwen3 window, yarn": _like_llama(
        "Qwen3", head_dim=8, use_sliding_window=True, sliding_window=4, max_window_layers=2, rope_parameters=_YARN
    ),
}  # fmt: skip
HEADLESS: dict[str, Callable[[], Any]] = {
    "gpt2 model": lambda: hf.GPT2Model(hf.GPT2Config(**_GPT)),
    "llama model": lambda: hf.LlamaModel(hf.LlamaConfig(**_LLAMA)),
    "mistral model": lambda: hf.MistralModel(hf.MistralConfig(**_LLAMA, sliding_window=4)),
    "qwen2 model": lambda: hf.Qwen2Model(hf.Qwen2Config(**_LLAMA)),
    "qwen3 model": lambda: hf.Qwen3Model(hf.Qwen3Config(**_LLAMA, head_dim=8)),
}
EVERY = ENCODERS | DECODERS | HEADLESS
MASKS = ["none", "right", "left", "random"]
Stock = Callable[[str], tuple[Any, Path]]
"""A stock model of a name, and its folder."""


def mask(kind: str) -> torch.Tensor:
    """Which of 12 tokens of 3 rows are no padding."""
    valid = torch.ones(3, 12, dtype=torch.bool)
    valid[1, 7:] = False
    valid[2, 3:] = False
    if kind == "left":
        return valid.flip(1)
    if kind == "random":
        return torch.rand(3, 12, generator=torch.Generator().manual_seed(4)) > 0.4
    return valid if kind == "right" else torch.ones_like(valid)


def made_once(make: Callable[[str, Path], Any], folders: pytest.TempPathFactory) -> Stock:
    """Each stock model and its folder, made when it is first asked for."""

    @cache
    def get(name: str) -> tuple[Any, Path]:
        folder = folders.mktemp("stock")
        return make(name, folder), folder

    return get


def assert_same_tensors(folder: Path, again: Path, theirs: Any, opened: Any) -> None:
    """Both folders hold the same, bit for bit, and stock `transformers` has the same of both."""
    state = opened.state_dict()
    for key, value in theirs.state_dict().items():
        assert torch.equal(state[key], value), key
    stored, written = load_file(folder / "model.safetensors"), load_file(again / "model.safetensors")
    assert written.keys() == stored.keys()
    for key, value in stored.items():
        assert torch.equal(written[key], value), key


def stock(make: Callable[[], Any], folder: Path, seed: int = 0) -> Any:
    """Build, perturb every parameter, save; the model in evaluation, with no dropout when it trains."""
    torch.manual_seed(seed)
    model = make()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.tie_weights()
    model.save_pretrained(folder)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.0
    return model.eval()
