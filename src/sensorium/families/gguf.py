"""Import of GGUF files: llama.cpp's single-file format, dequantised by its own `gguf` package.

Unusual: files of the `llama` architecture hold the rows of q and k in another order (pairs of a rotation side by
side), which is undone here; the tokenizer is in the file too, and is rebuilt from it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend
from torch import Tensor

from sensorium.core.codes import Codes, Codes4, Codes8
from sensorium.core.model import Transformer
from sensorium.errors import CapabilityError, CheckpointError, SensoriumError, require
from sensorium.families.checkpoint import assemble
from sensorium.families.gguf_codes import read_codes
from sensorium.families.gguf_file import GGUFFile, read_file
from sensorium.families.hf_config import HFConfig
from sensorium.families.keymap import Tensors
from sensorium.files import StrPath

TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K")
"""Files named after a K kind hold Q5_0, Q5_1 and Q8_0 too, where the rows are no multiple of 256."""
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
_MATRICES = {
    "token_embd": "stack.embed.tokens",
    "output": "language.output",
    "attn_q": "attention.q",
    "attn_k": "attention.k",
    "attn_v": "attention.v",
    "attn_output": "attention.out",
    "ffn_gate": "feedforward.gate",
    "ffn_up": "feedforward.up",
    "ffn_down": "feedforward.down",
}
"""Their matrices and our parameters."""
_LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_QWEN2_SPLIT = _LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
_CONTROL, _USER_DEFINED = 3, 4
_ANEW = "Copy, download or convert it anew"
_ONLY = {"rope.scale_linear": 1.0, "attention.sliding_window": 0}
"""Settings of the architecture that the map does not carry over, with the one value that means nothing."""


@dataclass(frozen=True, eq=False)
class LoadedGGUF:
    """A model, its configuration in Hugging Face's words, and its tokenizer."""

    model: Transformer
    config: HFConfig
    tokenizer: Backend
    special: dict[Any, str]
    chat_template: str | None
    codes: dict[str, Codes]
    """The matrices that are held as codes in the file, by the names of the model's parameters."""


def read_gguf(path: StrPath) -> LoadedGGUF:
    """Read a GGUF file, dequantised to fp32.

    Raises:
        CheckpointError: the file is truncated, corrupt, or lacks what the model needs.
        CapabilityError: its architecture, quantisation or tokenizer is not supported, or `gguf` is not installed.
    """
    gguf = require("gguf", extra="gguf", purpose="Opening a .gguf file")
    file = read_file(path, {int(kind): (kind.name, *size) for kind, size in gguf.GGML_QUANT_SIZES.items()})
    metadata = _Metadata(file.fields, str(path))
    config = _config(metadata, file.tensors.keys())
    tensors = _tensors(gguf, file, config, str(path))
    loaded = assemble(config, tensors, dtype=torch.float32, device="cpu", where=str(path))
    try:
        tokenizer, special = _tokenizer(metadata)
    except SensoriumError:
        raise
    except Exception as error:
        raise CheckpointError(f"the tokenizer cannot be read: {error!r}", where=str(path), fix=_ANEW) from error
    template = file.fields.get("tokenizer.chat_template")
    template = template if isinstance(template, str) else None
    return LoadedGGUF(loaded.model, config, tokenizer, special, template, _codes(file, config))


class _Metadata:
    """The file's key-value pairs."""

    def __init__(self, fields: dict[str, Any], where: str) -> None:
        self.fields, self.where = fields, where
        self.kind = str(self.need("general.architecture"))

    def need(self, key: str) -> Any:
        if key not in self.fields:
            raise CheckpointError(f"the file lacks {key}", where=self.where, fix=_ANEW)
        return self.fields[key]

    def own(self, key: str, default: Any = None) -> Any:
        """A key of the architecture's own; required if there is no default."""
        name = f"{self.kind}.{key}"
        return self.need(name) if default is None else self.fields.get(name, default)

    def count(self, key: str, default: int | None = None) -> int:
        """A whole number above 0 of the architecture's own."""
        value = self.own(key, default)
        if type(value) is not int or value < 1:
            raise CheckpointError(f"{key}={value!r} is not a whole number above 0", where=self.where, fix=_ANEW)
        return value

    def strings(self, key: str) -> list[str]:
        """A list of strings."""
        value = self.need(key)
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise CheckpointError(f"{key} is not a list of strings", where=self.where, fix=_ANEW)
        return value

    def refuse(self, what: str, known: Any) -> CapabilityError:
        return CapabilityError(
            f"{what} is not supported (supported: {', '.join(known)})",
            where=self.where,
            fix="Load the folder that it was converted from",
        )


def _config(metadata: _Metadata, names: Collection[str]) -> HFConfig:
    kind, own = metadata.kind, metadata.own
    if kind not in _KINDS:
        raise metadata.refuse(f"GGUF architecture {kind!r}", _KINDS)
    if "rope_freqs.weight" in names:
        raise metadata.refuse("a table of rotary frequencies (rope_freqs.weight)", ["plain and linear scaling"])
    for key, nothing in _ONLY.items():
        if own(key, nothing) != nothing:
            raise metadata.refuse(f"{key}={own(key)}", [str(nothing)])
    scaling = own("rope.scaling.type", "none")
    if scaling not in ("none", "linear"):
        raise metadata.refuse(f"rotary scaling {scaling!r}", ["none", "linear"])
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": own("rope.freq_base")}
    if scaling == "linear":
        rope |= {"rope_type": "linear", "factor": own("rope.scaling.factor")}
    heads = metadata.count("attention.head_count")
    head_dim = metadata.count("attention.key_length", max(metadata.count("embedding_length") // heads, 1))
    rotated = metadata.count("rope.dimension_count", head_dim)
    if rotated != head_dim:
        raise metadata.refuse(f"a rotation of {rotated} dimensions of each head", [str(head_dim)])
    config = {
        "architectures": [f"{_KINDS[kind]}ForCausalLM"],
        "model_type": kind,
        "vocab_size": len(metadata.strings("tokenizer.ggml.tokens")),
        "hidden_size": metadata.count("embedding_length"),
        "num_hidden_layers": own("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.count("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "intermediate_size": own("feed_forward_length"),
        "hidden_act": "silu",
        "rms_norm_eps": own("attention.layer_norm_rms_epsilon"),
        "max_position_embeddings": own("context_length"),
        "rope_parameters": rope,
        "tie_word_embeddings": "output.weight" not in names,
        "attention_bias": kind == "llama" and "blk.0.attn_q.bias" in names,
    }
    for role in ("bos", "eos"):
        if f"tokenizer.ggml.{role}_token_id" in metadata.fields:
            config[f"{role}_token_id"] = metadata.fields[f"tokenizer.ggml.{role}_token_id"]
    return config


def _tensors(gguf: Any, file: GGUFFile, config: HFConfig, where: str) -> Tensors:
    tensors: Tensors = {}
    for theirs, stored in file.tensors.items():
        if stored.kind not in TYPES:
            raise CapabilityError(
                f"{theirs} is quantised as {stored.kind}, which is not supported (supported: {', '.join(TYPES)})",
                where=where,
                fix="Convert the model to one of these",
            )
        rows = stored.data.reshape(*stored.shape[:-1], -1)
        values = gguf.quants.dequantize(rows, gguf.GGMLQuantizationType[stored.kind])
        weight = torch.from_numpy(values.astype(np.float32, copy=True).reshape(stored.shape))
        name = _their_name(theirs)
        if config["model_type"] == "llama" and ".self_attn.q_proj." in name:
            weight = _unpermute(weight, config["num_attention_heads"])
        elif config["model_type"] == "llama" and ".self_attn.k_proj." in name:
            weight = _unpermute(weight, config["num_key_value_heads"])
        tensors[name] = weight
    return tensors


def _codes(file: GGUFFile, config: HFConfig) -> dict[str, Codes]:
    """What `_tensors` dequantises, as it is stored."""
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    found: dict[str, Codes] = {}
    for theirs, stored in file.tensors.items():
        *block, name, _ = theirs.split(".")
        if name not in _MATRICES or (codes := read_codes(stored)) is None:
            continue
        if config["model_type"] == "llama" and name in heads:
            codes = _reordered(codes, _unpermute(torch.arange(stored.shape[0]), heads[name]).numpy())
        found[f"stack.blocks.{block[1]}.{_MATRICES[name]}.weight" if block else f"{_MATRICES[name]}.weight"] = codes
    return found


def _reordered(codes: Codes, order: NDArray[np.int64]) -> Codes:
    """The same matrix with its rows in another order."""
    match codes:
        case Codes8():
            return Codes8(codes.codes[order], codes.scales[order])
        case Codes4():
            return Codes4(codes.codes[order], codes.scales[order], codes.offsets[order])


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
    if weight.shape[0] % (2 * heads):
        return weight  # of a wrong shape, which is told with all others
    split = weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
    return split.transpose(1, 2).reshape(weight.shape)


def _tokenizer(metadata: _Metadata) -> tuple[Backend, dict[Any, str]]:
    kind = metadata.need("tokenizer.ggml.model")
    if kind != "gpt2":
        raise metadata.refuse(f"tokenizer {kind!r}", ["gpt2 (byte-level BPE)"])
    tokens = metadata.strings("tokenizer.ggml.tokens")
    pairs = (merge.partition(" ") for merge in metadata.strings("tokenizer.ggml.merges"))
    merges = [(left, right) for left, _, right in pairs]
    vocab = {token: number for number, token in enumerate(tokens)}
    llama3 = metadata.fields.get("tokenizer.ggml.pre") == "llama-bpe"
    # Llama 3 looks a whole word up before it merges, which reaches tokens that no merge makes.
    backend = Backend(models.BPE(vocab=vocab, merges=merges, ignore_merges=llama3))
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
    _surround(metadata, backend, special, llama3)
    return backend, special


def _surround(metadata: _Metadata, backend: Backend, special: dict[Any, str], llama3: bool) -> None:
    """Let the tokenizer add the tokens that the file says begin or end every text."""
    begins = metadata.fields.get("tokenizer.ggml.add_bos_token", llama3) and "bos" in special
    ends = metadata.fields.get("tokenizer.ggml.add_eos_token", False) and "eos" in special
    first = [special["bos"]] if begins else []
    last = [special["eos"]] if ends else []
    if first or last:
        single = [*first, "$A", *last]
        backend.post_processor = processors.TemplateProcessing(
            single=single,
            pair=[*single, *(f"{piece}:1" for piece in (*first, "$B", *last))],
            special_tokens=[(token, backend.token_to_id(token)) for token in {*first, *last}],
        )


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
