"""Tiny stock models of every family and option, each parameter perturbed, saved by stock `transformers`.

Freshly initialised models have norms of 1 and biases of 0, which would hide a swap of any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf

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
_LLAMA3 = dict(
    rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=16,
)  # fmt: skip
_YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=8)

ENCODERS: dict[str, Callable[[], Any]] = {
    "bert pre-training": lambda: hf.BertForPreTraining(hf.BertConfig(**_BERT)),
    "bert masked": lambda: hf.BertForMaskedLM(hf.BertConfig(**_BERT, hidden_act="gelu_new", type_vocab_size=3)),
    "bert model": lambda: hf.BertModel(hf.BertConfig(**_BERT, layer_norm_eps=1e-5)),
    "bert without pooler": lambda: hf.BertModel(hf.BertConfig(**_BERT), add_pooling_layer=False),
}
DECODERS: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: hf.GPT2LMHeadModel(hf.GPT2Config(**_GPT)),
    "gpt2 relu, inner": lambda: hf.GPT2LMHeadModel(
        hf.GPT2Config(**_GPT, n_inner=40, activation_function="relu", layer_norm_epsilon=1e-3)
    ),
    "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**_LLAMA)),
    "llama tied, biases": lambda: hf.LlamaForCausalLM(
        hf.LlamaConfig(**{**_LLAMA, "tie_word_embeddings": True}, attention_bias=True, mlp_bias=True)
    ),
    "llama head_dim": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**_LLAMA, head_dim=10)),
    "llama theta, eps": lambda: hf.LlamaForCausalLM(
        hf.LlamaConfig(**_LLAMA, rope_parameters=dict(rope_type="default", rope_theta=500.0), rms_norm_eps=1e-3)
    ),
    "llama linear": lambda: hf.LlamaForCausalLM(
        hf.LlamaConfig(**_LLAMA, rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=2.5))
    ),
    "llama3 scaling": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**_LLAMA, rope_parameters=_LLAMA3)),
    "llama yarn": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**_LLAMA, rope_parameters=_YARN)),
    "mistral window": lambda: hf.MistralForCausalLM(hf.MistralConfig(**_LLAMA, sliding_window=4)),
    "mistral": lambda: hf.MistralForCausalLM(hf.MistralConfig(**_LLAMA, sliding_window=None)),
    "qwen2": lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**_LLAMA)),
    "qwen2 window": lambda: hf.Qwen2ForCausalLM(
        hf.Qwen2Config(**_LLAMA, use_sliding_window=True, sliding_window=4, max_window_layers=1)
    ),
    "qwen3": lambda: hf.Qwen3ForCausalLM(hf.Qwen3Config(**_LLAMA, head_dim=8)),
}
HEADLESS: dict[str, Callable[[], Any]] = {
    "gpt2 model": lambda: hf.GPT2Model(hf.GPT2Config(**_GPT)),
    "llama model": lambda: hf.LlamaModel(hf.LlamaConfig(**_LLAMA)),
    "qwen3 model": lambda: hf.Qwen3Model(hf.Qwen3Config(**_LLAMA, head_dim=8)),
}


def stock(make: Callable[[], Any], folder: Path, seed: int = 0) -> Any:
    """Build, perturb every parameter, save; the model in evaluation with dropout off."""
    torch.manual_seed(seed)
    model = make()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.tie_weights()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.save_pretrained(folder)
    return model.eval()
