"""GGUF files give the model and the tokenizer that they were written from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, trainers

from sensorium.errors import CapabilityError, CheckpointError
from sensorium.families.gguf import read_gguf

TEXTS = ["the cat sat on the mat 123", "a dog ran over the hill", "春眠不觉晓，处处闻啼鸟。"] * 5
NAMES = {
    "embed_tokens": "token_embd",
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def tokenizer() -> Backend:
    backend = Backend(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    backend.train_from_iterator(TEXTS, trainer)
    return backend


def stock(vocab: int) -> Any:
    torch.manual_seed(0)
    config = hf.LlamaConfig(
        vocab_size=vocab, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=96, max_position_embeddings=64, tie_word_embeddings=True, rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0},
    )  # fmt: skip
    model = hf.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def permuted(weight: torch.Tensor, heads: int) -> torch.Tensor:
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def write(path: Path, kind: str, model: Any, backend: Backend, **changes: Any) -> None:
    """Write the model as llama.cpp's converter does, and leave the rounded weights in it."""
    quantised = gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(str(path), changes.get("arch", "llama"))
    writer.add_embedding_length(64)
    writer.add_block_count(2)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_context_length(64)
    if changes.get("theta", True):
        writer.add_rope_freq_base(5000.0)
    vocab = sorted(backend.get_vocab().items(), key=lambda item: item[1])
    writer.add_tokenizer_model(changes.get("tokenizer", "gpt2"))
    writer.add_tokenizer_pre(changes.get("pre", "smollm"))
    writer.add_token_list([token for token, _ in vocab])
    writer.add_token_types([3 if token == "<|end|>" else 1 for token, _ in vocab])
    merges = json.loads(backend.to_str())
    writer.add_token_merges([" ".join(pair) for pair in merges["model"]["merges"]])
    writer.add_eos_token_id(0)
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        block = f"blk.{parts[2]}." if parts[1] == "layers" else ""
        their = block + NAMES.get(parts[-2], "output_norm") + ".weight"
        weight = parameter.data
        heads = {"q_proj": 4, "k_proj": 2}.get(parts[-2])
        stored = (permuted(weight, heads) if heads else weight).numpy().astype(np.float32)
        if stored.ndim == 1 or kind == "F32":
            writer.add_tensor(their, stored)
            continue
        packed = stored.astype(np.float16) if kind == "F16" else gguf.quants.quantize(stored, quantised)
        writer.add_tensor(their, packed, raw_dtype=quantised)
        back = torch.from_numpy(gguf.quants.dequantize(packed, quantised).astype(np.float32).reshape(stored.shape))
        parameter.data = (
            back.reshape(heads, -1, 2, stored.shape[1]).swapaxes(1, 2).reshape(stored.shape) if heads else back
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_0", "Q4_1"])
def test_a_file_gives_the_model_that_it_was_written_from(kind: str, tmp_path: Path) -> None:
    backend = tokenizer()
    model = stock(backend.get_vocab_size())
    write(tmp_path / "m.gguf", kind, model, backend)
    loaded = read_gguf(tmp_path / "m.gguf")
    ids = torch.arange(20)[None]
    expected = model(ids).logits
    torch.testing.assert_close(loaded.model.logits(loaded.model(ids)), expected, atol=2e-5, rtol=1e-5)
    for text in TEXTS[:3]:
        assert loaded.tokenizer.encode(text).ids == backend.encode(text).ids
        assert loaded.tokenizer.decode(loaded.tokenizer.encode(text).ids) == text
    assert loaded.special["eos"] == "<|end|>"
    assert loaded.tokenizer.encode("a<|end|>").ids[-1] == 0


def test_what_is_not_supported_is_named(tmp_path: Path) -> None:
    backend = tokenizer()
    model = stock(backend.get_vocab_size())
    for changes, message in (
        ({"arch": "falcon"}, "falcon"),
        ({"pre": "martian"}, "martian"),
        ({"tokenizer": "bert"}, "bert"),
    ):
        write(tmp_path / "m.gguf", "F32", model, backend, **changes)
        with pytest.raises((CapabilityError, CheckpointError), match=message):
            read_gguf(tmp_path / "m.gguf")
    write(tmp_path / "m.gguf", "F32", model, backend, theta=False)
    with pytest.raises(CheckpointError, match=r"rope\.freq_base"):
        read_gguf(tmp_path / "m.gguf")


def test_truncated_and_foreign_files_are_refused(tmp_path: Path) -> None:
    backend = tokenizer()
    path = tmp_path / "m.gguf"
    write(path, "F32", stock(backend.get_vocab_size()), backend)
    whole = path.read_bytes()
    for content in (b"", b"not a gguf file at all", whole[:100], whole[: len(whole) // 2], whole[:-2000]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            read_gguf(path)
