"""Tiny model folders, saved by stock `transformers` with random weights, and our tokenizer beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as hf

from sensorium.data.tokens.tokenizer import Kind, Tokenizer
from tests.inference.mock import byte_tokenizer

CONTEXT = 48
TOKENIZER = byte_tokenizer(merges=[("t", "h"), ("th", "e"), ("Ġ", "the"), ("Ġ", "a"), ("a", "n"), ("Ġ", "b")])
VOCAB = TOKENIZER.vocab_size
_SIZE = dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
_IDS = dict(pad_token_id=0, bos_token_id=5, eos_token_id=6)


def bert(**options: Any) -> Any:
    return hf.BertForMaskedLM(hf.BertConfig(**_SIZE, max_position_embeddings=CONTEXT, pad_token_id=0, **options))


def headless() -> Any:
    return hf.BertModel(hf.BertConfig(**_SIZE, max_position_embeddings=CONTEXT, pad_token_id=0))


def roberta() -> Any:
    return hf.RobertaForMaskedLM(hf.RobertaConfig(**_SIZE, max_position_embeddings=CONTEXT + 1, **_IDS))


def llama(**options: Any) -> Any:
    config = hf.LlamaConfig(**_SIZE, **_IDS, num_key_value_heads=2, max_position_embeddings=CONTEXT, **options)
    return hf.LlamaForCausalLM(config)


def gpt2() -> Any:
    config = hf.GPT2Config(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT, **_IDS)
    return hf.GPT2LMHeadModel(config)


def opt() -> Any:
    """A family that the core does not know."""
    config = hf.OPTConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=48,
        max_position_embeddings=CONTEXT, word_embed_proj_dim=32, **_IDS,
    )  # fmt: skip
    return hf.OPTForCausalLM(config)


def saved(model: Any, folder: Path, kind: Kind, tokenizer: Tokenizer = TOKENIZER) -> Any:
    """Perturb every parameter, save model and tokenizer; the model in evaluation."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn(parameter.shape, generator=generator))
    model.tie_weights()
    folder.mkdir(parents=True, exist_ok=True)
    model.eval().save_pretrained(folder)
    tokenizer.save(folder, kind=kind, context=CONTEXT)
    return model
