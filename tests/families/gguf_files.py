"""Small GGUF files, written as llama.cpp's converter does, beside the stock model that they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers as hf
from numpy.typing import NDArray
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, trainers

TEXTS = ["the cat sat on the mat 123", "a dog ran over the hill", "春眠不觉晓，处处闻啼鸟。"] * 5
LAYERS, HEADS, KV_HEADS, THETA, EPS, CONTEXT = 2, 4, 2, 5000.0, 1e-5, 64
_NAMES = {
    "embed_tokens": "token_embd",
    "norm": "output_norm",
    "lm_head": "output",
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "q_norm": "attn_q_norm",
    "k_norm": "attn_k_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
_HALVES = {"Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}
"""Where a block of the kinds that `gguf` cannot write holds its scales as half-precision numbers."""


def tokenizer() -> Backend:
    """A byte-level BPE as SmolLM2's: every digit a token of its own."""
    backend = Backend(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|end|>", "<|begin|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    backend.train_from_iterator(TEXTS, trainer)
    return backend


def stock(vocab: int, family: str = "Llama", *, dim: int = 64, **options: Any) -> Any:
    """A stock model, every parameter perturbed."""
    torch.manual_seed(0)
    settings = dict(
        vocab_size=vocab, hidden_size=dim, num_hidden_layers=LAYERS, num_attention_heads=HEADS, rms_norm_eps=EPS,
        num_key_value_heads=KV_HEADS, intermediate_size=dim * 2, max_position_embeddings=CONTEXT, head_dim=dim // HEADS,
        tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": THETA},
    )  # fmt: skip
    config = getattr(hf, f"{family}Config")(**settings | options)
    model = getattr(hf, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def write(path: Path, model: Any, backend: Backend, kind: str = "F32", **fields: Any) -> None:
    """Write a model and its tokenizer; the model keeps the weights as the file rounds them.

    Args:
        path: where.
        model: a stock model.
        backend: its tokenizer.
        kind: how matrices are stored.
        fields: further key-value pairs, or others than usual; None leaves one out. `__` stands for a dot.
    """
    config = model.config
    arch = config.model_type
    usual = {
        "general.architecture": arch,
        f"{arch}.embedding_length": config.hidden_size,
        f"{arch}.block_count": LAYERS,
        f"{arch}.feed_forward_length": config.intermediate_size,
        f"{arch}.attention.head_count": HEADS,
        f"{arch}.attention.head_count_kv": KV_HEADS,
        f"{arch}.attention.key_length": config.head_dim,
        f"{arch}.rope.dimension_count": config.head_dim,
        f"{arch}.attention.layer_norm_rms_epsilon": EPS,
        f"{arch}.context_length": CONTEXT,
        f"{arch}.rope.freq_base": THETA,
        **tokenizer_fields(backend),
    }
    changed = {key.replace("__", "."): value for key, value in fields.items()}
    write_parts(path, usual | changed, _tensors(model, kind))


def write_parts(path: Path, fields: dict[str, Any], tensors: dict[str, tuple[NDArray[Any], str]]) -> None:
    """Write a file of these key-value pairs and tensors."""
    writer = gguf.GGUFWriter(str(path), "")
    writer.kv_data[0].clear()
    for key, value in fields.items():
        match value:
            case None:
                pass
            case list():
                writer.add_array(key, value)
            case bool():
                writer.add_bool(key, value)
            case int():
                writer.add_uint32(key, value)
            case float():
                writer.add_float32(key, value)
            case str():
                writer.add_string(key, value)
    for name, (data, kind) in tensors.items():
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tokenizer_fields(backend: Backend) -> dict[str, Any]:
    """A tokenizer as key-value pairs."""
    vocab = sorted(backend.get_vocab().items(), key=lambda item: item[1])
    merges = json.loads(backend.to_str())["model"]["merges"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": [token for token, _ in vocab],
        "tokenizer.ggml.token_type": [3 if token.startswith("<|") else 1 for token, _ in vocab],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in merges],
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
    }


def _tensors(model: Any, kind: str) -> dict[str, tuple[NDArray[Any], str]]:
    """The stored tensors; the model's parameters become what they say."""
    random = np.random.default_rng(0)
    tensors = {}
    for name, parameter in model.named_parameters():
        *_, module, part = name.split(".")
        block = f"blk.{name.split('.')[2]}." if ".layers." in name else ""
        turned = model.config.model_type == "llama" and module in ("q_proj", "k_proj")
        heads = {"q_proj": HEADS, "k_proj": KV_HEADS}[module] if turned else None
        weight = _paired(parameter.data, heads).float().numpy()
        stored = kind if weight.ndim == 2 else "F32"
        data = packed(weight, stored, random)
        back = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[stored]).astype(np.float32)
        parameter.data = _halved(torch.from_numpy(back.reshape(weight.shape)), heads)
        tensors[f"{block}{_NAMES[module]}.{part}"] = (data, stored)
    return tensors


def packed(weight: NDArray[np.float32], kind: str, random: np.random.Generator) -> NDArray[Any]:
    """A weight as a kind stores it; of the K kinds, which `gguf` cannot write, random blocks with small scales."""
    if kind == "F32":
        return weight.copy()
    if kind == "F16":
        return weight.astype(np.float16)
    if kind not in _HALVES:
        return gguf.quants.quantize(weight, gguf.GGMLQuantizationType[kind])
    values, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    rows, columns = weight.shape
    blocks = random.integers(0, 256, (rows, columns // values, size), dtype=np.uint8)
    for place in _HALVES[kind]:
        scales = random.uniform(1e-5, 2e-4, (rows, columns // values, 1)).astype(np.float16)
        blocks[..., place : place + 2] = scales.view(np.uint8)
    return blocks.reshape(rows, -1)


def _paired(weight: torch.Tensor, heads: int | None) -> torch.Tensor:
    """llama.cpp's order of the rows of q and k: the two of a rotation side by side."""
    if heads is None:
        return weight
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def _halved(weight: torch.Tensor, heads: int | None) -> torch.Tensor:
    if heads is None:
        return weight
    return weight.reshape(heads, weight.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)
