"""Import of GGUF files: llama.cpp's single-file format, dequantised by its own `gguf` package.

Unusual: files of the `llama` architecture hold the rows of q and k in another order (pairs of a rotation side by
side), which is undone here; the tokenizer is in the file too, and is rebuilt from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend
from torch import Tensor

from sensorium.core.model import Transformer
from sensorium.errors import CapabilityError, CheckpointError, require
from sensorium.families.checkpoint import assemble
from sensorium.families.hf_config import HFConfig
from sensorium.families.keymap import Tensors
from sensorium.files import StrPath

TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K")
_KINDS = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3"}
_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_QWEN2_SPLIT = _LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
_CONTROL, _USER_DEFINED = 3, 4


@dataclass(frozen=True, eq=False)
class LoadedGGUF:
    """A model, its configuration in Hugging Face's words, and its tokenizer."""

    model: Transformer
    config: HFConfig
    tokenizer: Backend
    special: dict[Any, str]
    chat_template: str | None


def read_gguf(path: StrPath) -> LoadedGGUF:
    """Read a GGUF file, dequantised to fp32.

    Raises:
        CheckpointError: the file is truncated, corrupt, or lacks what the model needs.
        CapabilityError: its architecture, quantisation or tokenizer is not supported, or `gguf` is not installed.
    """
    gguf = require("gguf", extra="gguf", purpose="Opening a .gguf file")
    try:
        reader = gguf.GGUFReader(str(path))
        fields = {name: field.contents() for name, field in reader.fields.items()}
    except FileNotFoundError as error:
        raise CheckpointError("no such file", where=str(path), fix="Check the path") from error
    except (ValueError, IndexError, KeyError, OSError, OverflowError, UnicodeDecodeError, TypeError) as error:
        raise CheckpointError(
            f"truncated, corrupt or not a GGUF file: {error}", where=str(path), fix="Copy or download it anew"
        ) from error
    metadata = _Metadata(fields, str(path))
    config = _config(metadata, {tensor.name for tensor in reader.tensors})
    tensors = _tensors(gguf, reader, config, str(path))
    loaded = assemble(config, tensors, dtype=torch.float32, device="cpu", where=str(path))
    tokenizer, special = _tokenizer(metadata)
    template = fields.get("tokenizer.chat_template")
    return LoadedGGUF(loaded.model, config, tokenizer, special, template)


class _Metadata:
    """The file's key-value pairs."""

    def __init__(self, fields: dict[str, Any], where: str) -> None:
        self.fields, self.where = fields, where
        self.kind = str(self.need("general.architecture"))

    def need(self, key: str) -> Any:
        if key not in self.fields:
            raise CheckpointError(f"the file lacks {key}", where=self.where, fix="Convert the model anew")
        return self.fields[key]

    def own(self, key: str, default: Any = None) -> Any:
        """A key of the architecture's own; required if there is no default."""
        name = f"{self.kind}.{key}"
        return self.need(name) if default is None else self.fields.get(name, default)

    def refuse(self, what: str, known: Any) -> CapabilityError:
        return CapabilityError(f"{what} is not supported (supported: {', '.join(known)})", where=self.where)


def _config(metadata: _Metadata, names: set[str]) -> HFConfig:
    kind, own = metadata.kind, metadata.own
    if kind not in _KINDS:
        raise metadata.refuse(f"GGUF architecture {kind!r}", _KINDS)
    if "rope_freqs.weight" in names:
        raise metadata.refuse("a table of rotary frequencies (rope_freqs.weight)", ["plain and linear scaling"])
    scaling = own("rope.scaling.type", "none")
    if scaling not in ("none", "linear"):
        raise metadata.refuse(f"rotary scaling {scaling!r}", ["none", "linear"])
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": float(own("rope.freq_base"))}
    if scaling == "linear":
        rope |= {"rope_type": "linear", "factor": float(own("rope.scaling.factor"))}
    heads = own("attention.head_count")
    tokens = metadata.need("tokenizer.ggml.tokens")
    config = {
        "architectures": [f"{_KINDS[kind]}ForCausalLM"],
        "model_type": kind,
        "vocab_size": len(tokens),
        "hidden_size": own("embedding_length"),
        "num_hidden_layers": own("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": own("attention.head_count_kv", heads),
        "head_dim": own("attention.key_length", own("embedding_length") // heads),
        "intermediate_size": own("feed_forward_length"),
        "hidden_act": "silu",
        "rms_norm_eps": float(own("attention.layer_norm_rms_epsilon")),
        "max_position_embeddings": own("context_length"),
        "rope_parameters": rope,
        "tie_word_embeddings": "output.weight" not in names,
        "attention_bias": kind == "llama" and "blk.0.attn_q.bias" in names,
    }
    for role in ("bos", "eos"):
        if f"tokenizer.ggml.{role}_token_id" in metadata.fields:
            config[f"{role}_token_id"] = metadata.fields[f"tokenizer.ggml.{role}_token_id"]
    return config


def _tensors(gguf: Any, reader: Any, config: HFConfig, where: str) -> Tensors:
    tensors: Tensors = {}
    for tensor in reader.tensors:
        if tensor.tensor_type.name not in TYPES:
            raise CapabilityError(
                f"{tensor.name} is quantised as {tensor.tensor_type.name}, which is not supported "
                f"(supported: {', '.join(TYPES)})",
                where=where,
            )
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=True)
        weight = torch.from_numpy(values.reshape([int(n) for n in reversed(tensor.shape)]))
        name = _their_name(tensor.name)
        if config["model_type"] == "llama" and ".self_attn.q_proj." in name:
            weight = _unpermute(weight, config["num_attention_heads"])
        elif config["model_type"] == "llama" and ".self_attn.k_proj." in name:
            weight = _unpermute(weight, config["num_key_value_heads"])
        tensors[name] = weight
    return tensors


def _their_name(name: str) -> str:
    """blk.3.attn_q.weight → model.layers.3.self_attn.q_proj.weight; unknown names stay, and are told as unknown."""
    parts = name.split(".")
    if parts[0] == "blk" and len(parts) == 4 and parts[2] in _NAMES:
        return f"model.layers.{parts[1]}.{_NAMES[parts[2]]}.{parts[3]}"
    if len(parts) == 2 and parts[0] in _NAMES:
        return f"{_NAMES[parts[0]]}.{parts[1]}"
    return name


def _unpermute(weight: Tensor, heads: int) -> Tensor:
    """From rotation pairs side by side to half-split, head by head."""
    split = weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
    return split.transpose(1, 2).reshape(weight.shape)


def _tokenizer(metadata: _Metadata) -> tuple[Backend, dict[Any, str]]:
    kind = metadata.need("tokenizer.ggml.model")
    if kind != "gpt2":
        raise metadata.refuse(f"tokenizer {kind!r}", ["gpt2 (byte-level BPE)"])
    tokens: list[str] = metadata.need("tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ", 1)) for merge in metadata.need("tokenizer.ggml.merges")]
    vocab = {token: number for number, token in enumerate(tokens)}
    backend = Backend(models.BPE(vocab=vocab, merges=merges))
    backend.pre_tokenizer = _pre_tokenizer(metadata, backend)
    backend.decoder = decoders.ByteLevel()
    types = metadata.fields.get("tokenizer.ggml.token_type", [])
    added = [
        AddedToken(token, special=kind == _CONTROL, normalized=False)
        for token, kind in zip(tokens, types, strict=False)
        if kind in (_CONTROL, _USER_DEFINED)
    ]
    backend.add_tokens([token for token in added if not token.special])
    backend.add_special_tokens([token for token in added if token.special])
    special: dict[Any, str] = {}
    for role, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown")):
        number = metadata.fields.get(f"tokenizer.ggml.{key}_token_id")
        if number is not None and number < len(tokens):
            special[role] = tokens[number]
    return backend, special


def _pre_tokenizer(metadata: _Metadata, backend: Backend) -> pre_tokenizers.PreTokenizer:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    match metadata.fields.get("tokenizer.ggml.pre", "default"):
        case "default" | "gpt-2":
            return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        case "smollm":
            digits = pre_tokenizers.Digits(individual_digits=True)
            return pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
        case "llama-bpe":
            split = pre_tokenizers.Split(Regex(_LLAMA3_SPLIT), behavior="isolated")
            return pre_tokenizers.Sequence([split, byte_level])
        case "qwen2":
            backend.normalizer = normalizers.NFC()
            split = pre_tokenizers.Split(Regex(_QWEN2_SPLIT), behavior="isolated")
            return pre_tokenizers.Sequence([split, byte_level])
        case other:
            raise metadata.refuse(f"pre-tokenizer {other!r}", ["default", "gpt-2", "smollm", "llama-bpe", "qwen2"])
