"""Tiny stock Whispers with random weights that hear windows of one second, and their tokenizer of bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from sensorium.data.tokens.tokenizer import Tokenizer

POSITIONS, MELS, CONTEXT = 50, 8, 64
WINDOW = 2 * POSITIONS
_NAMED = [
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|zh|>", "<|de|>", "<|translate|>", "<|transcribe|>",
    "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
]  # fmt: skip


def speech_tokenizer() -> Tokenizer:
    """Bytes, a few words, and after them Whisper's own tokens in Whisper's order; times are no special tokens."""
    merges = [("Ġ", "a"), ("t", "h"), ("th", "e"), ("Ġ", "the")]
    vocabulary = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    for a, b in merges:
        vocabulary[a + b] = len(vocabulary)
    backend = Backend(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(name, special=True) for name in _NAMED])
    times = [AddedToken(f"<|{place * 0.02:.2f}|>", special=False) for place in range(POSITIONS + 1)]
    backend.add_tokens(times)
    return Tokenizer(backend, {"eos": "<|endoftext|>", "bos": "<|endoftext|>", "pad": "<|endoftext|>"})


TOKENIZER = speech_tokenizer()
VOCAB = TOKENIZER.vocab_size


def token(name: str) -> int:
    found = TOKENIZER.id(name)
    assert found is not None
    return found


EOS, START, ZERO = token("<|endoftext|>"), token("<|startoftranscript|>"), token("<|0.00|>")


def whisper(**options: Any) -> Any:
    config = hf.WhisperConfig(
        vocab_size=VOCAB, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, num_mel_bins=MELS,
        max_source_positions=POSITIONS, max_target_positions=CONTEXT, pad_token_id=EOS, bos_token_id=EOS,
        eos_token_id=EOS, decoder_start_token_id=START, begin_suppress_tokens=None,
    )  # fmt: skip
    model = hf.WhisperForConditionalGeneration(config)
    settings: dict[str, Any] = {
        "is_multilingual": True,
        "lang_to_id": {name: token(name) for name in ("<|en|>", "<|zh|>", "<|de|>")},
        "task_to_id": {name: token(f"<|{name}|>") for name in ("transcribe", "translate")},
        "no_timestamps_token_id": token("<|notimestamps|>"),
        "prev_sot_token_id": token("<|startofprev|>"),
        "max_initial_timestamp_index": 20,
        "max_length": CONTEXT,
        "suppress_tokens": [1, 2, 7, *(token(name) for name in _NAMED[1:-1])],
        "begin_suppress_tokens": [3, EOS],
        "return_timestamps": False,
        "eos_token_id": EOS,
        "pad_token_id": EOS,
        "bos_token_id": EOS,
        "decoder_start_token_id": START,
    }
    model.generation_config.update(**settings | options)
    for key, value in (settings | options).items():
        setattr(model.generation_config, key, value)
    return model


def english(**options: Any) -> Any:
    model = whisper(is_multilingual=False, **options)
    for key in ("lang_to_id", "task_to_id"):
        delattr(model.generation_config, key)
    return model


def saved(model: Any, folder: Path, *, seed: int = 0, ending: float = 2.0, times: float = 1.0) -> Any:
    """Perturb every parameter, make the end likelier by `ending` and times by `times`, save model, tokenizer and
    settings; the model in evaluation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.35 * torch.randn(parameter.shape, generator=generator))
        embedding = model.get_output_embeddings().weight
        embedding[EOS] *= 1 + ending / 2
        embedding[ZERO:] *= times
    model.tie_weights()
    folder.mkdir(parents=True, exist_ok=True)
    model.eval().save_pretrained(folder)
    TOKENIZER.save(folder)
    settings = {
        "feature_extractor_type": "WhisperFeatureExtractor", "feature_size": MELS, "sampling_rate": 16_000,
        "hop_length": 160, "chunk_length": 1, "n_fft": 400, "n_samples": 16_000, "nb_max_frames": WINDOW,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return model


def stock_processor(folder: Path) -> Any:
    """Stock `transformers`' own processor with the same tokens, whose files take the place of ours in the folder."""
    model = json.loads(TOKENIZER.backend.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    tokenizer = hf.WhisperTokenizer(vocab=model["vocab"], merges=merges, unk_token=_NAMED[0])
    tokenizer.add_special_tokens({"additional_special_tokens": _NAMED})
    tokenizer.add_tokens([AddedToken(TOKENIZER.token(id), special=False) for id in range(ZERO, VOCAB)])
    extractor = hf.WhisperFeatureExtractor(feature_size=MELS, chunk_length=1)
    processor = hf.WhisperProcessor(extractor, tokenizer)
    for name in ("preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink()
    processor.save_pretrained(folder)
    return processor


def mels(count: int, frames: int = WINDOW, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, MELS, frames, generator=torch.Generator().manual_seed(seed))
