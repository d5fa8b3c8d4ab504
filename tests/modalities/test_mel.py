"""Log-mel spectrograms are Whisper's."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoFeatureExtractor, WhisperFeatureExtractor
from transformers.audio_utils import mel_filter_bank

from sensorium.errors import CapabilityError, CheckpointError, ConfigError, DataError, InputError
from sensorium.modalities.mel import MelSpec, log_mel, mel_bands

SECOND = 16_000


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed)) * 0.1


def theirs(extractor: Any, sounds: list[torch.Tensor], **options: Any) -> torch.Tensor:
    arrays = [sound.numpy() for sound in sounds]
    return extractor(arrays, sampling_rate=SECOND, return_tensors="pt", **options).input_features


def sweep(seconds: float) -> torch.Tensor:
    time = torch.arange(int(seconds * SECOND)) / SECOND
    return 0.5 * torch.sin(2 * math.pi * (50 + 400 * time) * time)


@pytest.mark.parametrize("mels", [80, 128])
def test_spectrograms_equal_whispers(mels: int) -> None:
    extractor = WhisperFeatureExtractor(feature_size=mels)
    sounds = [
        noise(5 * SECOND),
        sweep(8),
        torch.zeros(1000),
        noise(3),
        noise(30 * SECOND - 7, 1),
        noise(30 * SECOND - 300, 2),
        noise(31 * SECOND, 3),
        torch.sin(2 * math.pi * 440 * torch.arange(SECOND) / SECOND),
        noise(SECOND) * 1e-6,
    ]
    ours = log_mel(sounds, MelSpec(mels=mels))
    assert ours.shape == (len(sounds), mels, 3000)
    torch.testing.assert_close(ours, theirs(extractor, sounds), atol=1e-5, rtol=0)


@settings(max_examples=25)
@given(lengths=st.lists(st.integers(1, 2 * SECOND + 500), min_size=1, max_size=4))
def test_any_lengths_equal_whispers(lengths: list[int]) -> None:
    extractor = WhisperFeatureExtractor(chunk_length=2)
    sounds = [noise(length, length) for length in lengths]
    torch.testing.assert_close(log_mel(sounds, MelSpec(seconds=2.0)), theirs(extractor, sounds), atol=1e-5, rtol=0)


def test_without_padding_a_sound_has_its_own_frames() -> None:
    spec = MelSpec(seconds=None)
    sound = noise(100 * 160)
    ours = log_mel(sound, spec)
    assert ours.shape == (1, 80, spec.frames(len(sound))) == (1, 80, 100)
    expected = theirs(WhisperFeatureExtractor(), [sound], padding="do_not_pad")
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    assert spec.frames(1) == 2
    assert spec.frames(100 * 160 + 1) == 101


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    spec = MelSpec(seconds=None)
    sounds = [noise(9000), sweep(2), noise(50, 1), noise(SECOND, 2) * 10]
    batch = log_mel(sounds, spec)
    for row, sound in zip(batch, sounds, strict=True):
        alone = log_mel(sound, spec)[0]
        frames = spec.frames(len(sound))
        torch.testing.assert_close(row[:, :frames], alone, atol=1e-6, rtol=0)
        assert (row[:, frames:] == row.min()).all()
    assert torch.equal(log_mel(torch.stack([sounds[0]] * 2), spec)[0], log_mel(sounds[0], spec)[0])


@pytest.mark.parametrize(
    ("rate", "n_fft", "hop", "mels"), [(16_000, 400, 160, 80), (8000, 256, 80, 40), (22_050, 1024, 256, 99)]
)
def test_bands_are_slaneys(rate: int, n_fft: int, hop: int, mels: int) -> None:
    expected = mel_filter_bank(n_fft // 2 + 1, mels, 0.0, rate / 2, rate, norm="slaney", mel_scale="slaney")
    ours = mel_bands(MelSpec(rate=rate, n_fft=n_fft, hop=hop, mels=mels))
    torch.testing.assert_close(ours, torch.from_numpy(expected.T).float(), atol=1e-7, rtol=1e-5)


def test_settings_survive_stock_transformers(tmp_path: Path) -> None:
    for stock in (WhisperFeatureExtractor(), WhisperFeatureExtractor(feature_size=128, chunk_length=10)):
        spec = MelSpec.from_dict(stock.to_dict())
        assert (spec.mels, spec.seconds) == (stock.feature_size, stock.chunk_length)
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(spec.to_dict()))
        opened = AutoFeatureExtractor.from_pretrained(tmp_path)
        assert opened.to_dict() == stock.to_dict()
        assert MelSpec.from_dict(spec.to_dict()) == spec


def test_settings_that_cannot_be_kept_are_refused() -> None:
    whisper = {"feature_extractor_type": "WhisperFeatureExtractor"}
    with pytest.raises(CapabilityError, match="Wav2Vec2FeatureExtractor is not read"):
        MelSpec.from_dict({"feature_extractor_type": "Wav2Vec2FeatureExtractor"})
    for change in ({"dither": 0.1}, {"sampling_rate": 8000}, {"padding_value": 1.0}):
        with pytest.raises(CapabilityError, match="16000 Hz"):
            MelSpec.from_dict(whisper | change)
    for change in ({"hop_length": "long"}, {"n_fft": 401}, {"feature_size": 0}, {"chunk_length": None}):
        with pytest.raises(CheckpointError):
            MelSpec.from_dict(whisper | change)
    with pytest.raises(CapabilityError, match="padded to whole seconds"):
        MelSpec(seconds=None).to_dict()
    with pytest.raises(ConfigError, match="longer than a frame"):
        MelSpec(seconds=0.01)


def test_sounds_that_have_no_spectrogram_are_refused() -> None:
    with pytest.raises(InputError, match="no sounds"):
        log_mel([], MelSpec())
    with pytest.raises(DataError, match="sound 1: there are no samples"):
        log_mel([noise(10), torch.zeros(0)], MelSpec())
    bad = noise(5000)
    bad[77] = math.nan
    with pytest.raises(DataError, match="sound 1: samples are not finite"):
        log_mel([noise(5000), bad], MelSpec())
