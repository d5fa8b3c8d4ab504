"""Tiny stock encoder-decoders of every family and option, made as `stock.py` makes its models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from torch import nn

VOCAB, CONTEXT = 60, 32
_BART = dict(
    vocab_size=VOCAB, d_model=24, encoder_layers=2, decoder_layers=3, encoder_attention_heads=4,
    decoder_attention_heads=2, encoder_ffn_dim=40, decoder_ffn_dim=36, max_position_embeddings=CONTEXT, pad_token_id=1,
    bos_token_id=0, eos_token_id=2, decoder_start_token_id=2,
)  # fmt: skip
_MARIAN = dict(
    _BART, activation_function="swish", scale_embedding=True, bos_token_id=None, eos_token_id=0,
    decoder_start_token_id=1, forced_eos_token_id=0,
)  # fmt: skip
_T5 = dict(
    vocab_size=VOCAB, d_model=24, d_kv=10, d_ff=40, num_layers=2, num_decoder_layers=3, num_heads=4,
    relative_attention_num_buckets=8, relative_attention_max_distance=10, decoder_start_token_id=0,
)  # fmt: skip


def _bart(family: str = "Bart", kind: str = "ForConditionalGeneration", **options: Any) -> Callable[[], Any]:
    config, model = getattr(hf, f"{family}Config"), getattr(hf, f"{family}{kind}")
    return lambda: model(config(**_BART | options))


def _marian(**options: Any) -> Callable[[], Any]:
    return lambda: hf.MarianMTModel(hf.MarianConfig(**_MARIAN | options))


def _t5(family: str = "T5", *, untied: bool = False, **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        config, model = getattr(hf, f"{family}Config"), getattr(hf, f"{family}ForConditionalGeneration")
        made = model(config(**_T5 | options))
        if untied:  # `transformers` 5 ties them at first, and unties them when a checkpoint holds both
            made.lm_head.weight = nn.Parameter(torch.randn(VOCAB, 24))
            made.all_tied_weights_keys.pop("lm_head.weight", None)
        return made

    return make


SEQ2SEQ: dict[str, Callable[[], Any]] = {
    "bart": _bart(),
    "bart scaled, relu": _bart(scale_embedding=True, activation_function="relu"),
    "bart dropouts": _bart(dropout=0.2, attention_dropout=0.3, activation_dropout=0.05),
    "mbart": _bart("MBart", scale_embedding=True),
    "marian": _marian(),
    "marian relu, unscaled": _marian(activation_function="relu", scale_embedding=False),
    "marian two vocabularies": _marian(share_encoder_decoder_embeddings=False, decoder_vocab_size=50),
    "marian two vocabularies, untied": _marian(
        share_encoder_decoder_embeddings=False, decoder_vocab_size=50, tie_word_embeddings=False
    ),
    "t5": _t5(),
    "t5 stacks alike": _t5(num_decoder_layers=2),  # stock's `generate` cannot have the decoder deeper
    "t5 eps, buckets": _t5(layer_norm_epsilon=1e-2, relative_attention_num_buckets=12, dropout_rate=0.2),
    "t5 gelu": _t5(feed_forward_proj="gelu", d_kv=6),
    "t5 untied": _t5(untied=True),
    "t5 1.1": _t5(feed_forward_proj="gated-gelu", tie_word_embeddings=False, untied=True),
    "t5 1.1 tied": _t5(feed_forward_proj="gated-silu", tie_word_embeddings=False),
    "mt5": _t5("MT5", untied=True),
}


def stock_seq2seq(make: Callable[[], Any], folder: Path, seed: int = 0) -> Any:
    """Build, perturb every parameter and the output's bias, save; the model in evaluation, with no dropout when it
    trains."""
    torch.manual_seed(seed)
    model = make()
    # T5's scores are not scaled: much larger ones would make fp32 itself the larger difference.
    noise = 0.3 if hasattr(model, "final_logits_bias") else 0.1
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(noise * torch.randn_like(parameter))
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.add_(0.3 * torch.randn_like(model.final_logits_bias))
    model.save_pretrained(folder)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("dropout", "attention_dropout", "activation_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model.eval()
