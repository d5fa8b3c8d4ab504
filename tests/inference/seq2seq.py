"""Tiny stock encoder–decoders with random weights, which end their texts at various lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as hf

from sensorium.data.tokens.tokenizer import Tokenizer
from tests.inference.folders import TOKENIZER, VOCAB

CONTEXT = 48
EOS, START = 6, 0
_TWO = dict(
    vocab_size=VOCAB, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
    decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=CONTEXT,
    eos_token_id=EOS, pad_token_id=0,
)  # fmt: skip


def marian(**options: Any) -> Any:
    config = hf.MarianConfig(
        **_TWO | dict(bos_token_id=None, decoder_start_token_id=0, forced_eos_token_id=EOS, scale_embedding=True),
        activation_function="swish",
    )
    torch.manual_seed(0)  # which test came before must not matter
    model = hf.MarianMTModel(config)
    model.generation_config.bad_words_ids = [[0]]
    model.generation_config.update(**options)
    return model


def bart(**options: Any) -> Any:
    ids = dict(bos_token_id=5, decoder_start_token_id=EOS, forced_bos_token_id=5, forced_eos_token_id=EOS)
    model = hf.BartForConditionalGeneration(hf.BartConfig(**_TWO | ids))
    model.generation_config.update(**options)
    return model


def mbart() -> Any:
    ids = dict(bos_token_id=5, decoder_start_token_id=EOS, forced_eos_token_id=EOS)
    return hf.MBartForConditionalGeneration(hf.MBartConfig(**_TWO | ids))


def t5(**options: Any) -> Any:
    config = hf.T5Config(
        vocab_size=VOCAB, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0,
        pad_token_id=0, eos_token_id=EOS, n_positions=CONTEXT, relative_attention_num_buckets=8,
        relative_attention_max_distance=12, **options,
    )  # fmt: skip
    return hf.T5ForConditionalGeneration(config)


FAMILIES = {"marian": marian, "bart": bart, "t5": t5}


def saved(model: Any, folder: Path, *, seed: int = 0, ending: float = 3.0, tokenizer: Tokenizer = TOKENIZER) -> Any:
    """Perturb every parameter, make the end likelier by `ending`, save model and tokenizer; the model in evaluation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Marian's positions are a table of sines, which is no parameter of ours.
            if "embed_positions" not in name or model.config.model_type != "marian":
                parameter.add_(0.25 * torch.randn(parameter.shape, generator=generator))
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias[:, EOS] += ending
        else:
            model.get_output_embeddings().weight[EOS] *= 1 + ending / 2
    model.tie_weights()
    folder.mkdir(parents=True, exist_ok=True)
    model.eval().save_pretrained(folder)
    tokenizer.save(folder, kind="seq2seq", context=CONTEXT)
    return model


def sources(count: int, *, seed: int = 0) -> list[list[int]]:
    """Random sources of various lengths."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 14, (count,), generator=generator).tolist()
    return [[*torch.randint(7, VOCAB, (length,), generator=generator).tolist(), EOS] for length in lengths]
