"""Tiny stock Whispers of every option, each trained parameter perturbed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from torch import nn

MELS, TOKENS, VOCAB, CONTEXT = 6, 9, 60, 32
"""`TOKENS` of the encoder: it reads windows of 18 frames."""
SIZE = dict(
    vocab_size=VOCAB, d_model=24, encoder_layers=2, decoder_layers=3, encoder_attention_heads=4,
    decoder_attention_heads=2, encoder_ffn_dim=40, decoder_ffn_dim=36, num_mel_bins=MELS, max_source_positions=TOKENS,
    max_target_positions=CONTEXT, pad_token_id=1, bos_token_id=1, eos_token_id=1, decoder_start_token_id=2,
    suppress_tokens=None, begin_suppress_tokens=None,
)  # fmt: skip


def _whisper(kind: str = "WhisperForConditionalGeneration", **options: Any) -> Callable[[], Any]:
    return lambda: getattr(hf, kind)(hf.WhisperConfig(**SIZE | options))


SPEECH: dict[str, Callable[[], Any]] = {
    "whisper": _whisper(),
    "whisper relu, like stacks": _whisper(activation_function="relu", decoder_layers=2, decoder_attention_heads=4),
    "whisper dropouts": _whisper(dropout=0.2, attention_dropout=0.3, activation_dropout=0.05),
    "whisper without output": _whisper("WhisperModel"),
}


def stock_speech(make: Callable[[], Any], folder: Path, seed: int = 0) -> Any:
    """Build, perturb every parameter but the encoder's positions, save; in evaluation, with no dropout when it
    trains."""
    torch.manual_seed(seed)
    model = make()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.tie_weights()
    model.save_pretrained(folder)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("dropout", "attention_dropout", "activation_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model.eval()
