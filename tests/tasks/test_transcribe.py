"""Sounds of any length are written down as stock `generate` does it; what cannot be heard is told."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sensorium as sm
from sensorium.errors import CapabilityError, DataError, InputError
from sensorium.inference.native_speech import NativeSpeechEngine
from sensorium.modalities.mel import log_mel
from sensorium.results import Segment, Transcription
from sensorium.tasks.model import LanguageModel
from sensorium.tasks.subtitles import srt, vtt
from sensorium.tasks.transcribe_segments import pieces
from tests.inference.speech import CONTEXT, EOS, english, saved, stock_processor, token, whisper

RATE = 16_000
NEW = 14


@pytest.fixture(scope="module", params=[0, 1, 3])
def pair(request, tmp_path_factory) -> tuple[Any, LanguageModel]:
    folder = tmp_path_factory.mktemp("speech")
    model = saved(whisper(), folder, seed=request.param, times=2.0)
    return model, sm.load(folder, device="cpu")


@pytest.fixture(scope="module")
def lm(tmp_path_factory) -> LanguageModel:
    folder = tmp_path_factory.mktemp("speech")
    saved(whisper(), folder, seed=1, times=2.0)
    return sm.load(folder, device="cpu")


def sound(seconds: float, seed: int = 0) -> torch.Tensor:
    """Notes and noise."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(int(seconds * RATE)) / RATE
    pitch = 200 + 150 * torch.sin(2 * torch.pi * (1 + seed) * time)
    return 0.3 * torch.sin(2 * torch.pi * pitch * time) + 0.05 * torch.randn(len(time), generator=generator)


def stock(model: Any, lm: LanguageModel, samples: torch.Tensor, **options: Any) -> list[dict[str, Any]]:
    """The segments that `generate` finds in a sound that is longer than a window."""
    mel = log_mel(samples, replace(lm.engines[0].mel, seconds=None))
    options = dict(task="transcribe", return_timestamps=True, return_segments=True, max_new_tokens=NEW) | options
    return model.generate(mel, **options)["segments"][0]


@pytest.mark.parametrize("options", [{}, {"beams": 3}, {"language": "de", "condition": True}, {"task": "translate"}])
def test_long_sounds_are_cut_and_written_down_as_generate_does(pair, options: dict[str, Any]) -> None:
    model, lm = pair
    samples = sound(3.37, seed=2)
    theirs = {"task": options.get("task", "transcribe"), "language": options.get("language")}
    theirs |= {"num_beams": options.get("beams", 1), "condition_on_prev_tokens": options.get("condition", False)}
    expected = stock(model, lm, samples, **theirs)
    found = lm.transcribe(samples, max_new_tokens=NEW, **options)
    assert [list(segment.token_ids) for segment in found.segments] == [one["tokens"].tolist() for one in expected]
    assert [s.start for s in found.segments] == pytest.approx([min(float(one["start"]), 3.37) for one in expected])
    assert [s.end for s in found.segments] == pytest.approx([min(float(one["end"]), 3.37) for one in expected])
    assert len(found.segments) > 3
    assert found.duration == pytest.approx(3.37)


def test_without_times_a_short_sound_is_one_segment_of_what_generate_writes(pair) -> None:
    model, lm = pair
    samples = sound(0.7)
    mel = log_mel(samples, lm.engines[0].mel)
    out = model.generate(mel, task="transcribe", language="en", max_new_tokens=NEW, force_unique_generate_call=True)
    ids = [id for id in out[0].tolist() if id != EOS]
    ids = ids[ids.index(token("<|notimestamps|>")) + 1 :] if token("<|notimestamps|>") in ids else ids
    found = lm.transcribe(samples, language="English", max_new_tokens=NEW)
    assert len(found.segments) == 1
    segment = found.segments[0]
    assert list(segment.token_ids) == ids
    assert (segment.start, segment.end, found.language) == (0.0, 0.7, "en")
    assert found.text == segment.text == lm.tokenizer.decode([id for id in ids if id < EOS]).strip()


@pytest.mark.parametrize("seconds", [0.9, 2.6])
def test_from_samples_to_text_a_folder_of_stock_gives_what_stock_gives(tmp_path: Path, seconds: float) -> None:
    model = saved(whisper(), tmp_path, seed=1)
    processor, samples = stock_processor(tmp_path), sound(seconds, seed=3)
    long: dict[str, Any] = dict(truncation=False, padding="longest") if seconds > 1 else {}
    mel = processor(samples.numpy(), sampling_rate=RATE, return_tensors="pt", **long).input_features
    options: dict[str, Any] = dict(task="transcribe", language="en", max_new_tokens=NEW)
    options |= dict(return_timestamps=True) if seconds > 1 else dict(force_unique_generate_call=True)
    expected = processor.batch_decode(model.generate(mel, **options), skip_special_tokens=True)[0]
    found = sm.load(tmp_path, device="cpu").transcribe(samples, language="en", max_new_tokens=NEW)
    assert found.text == expected.strip()
    assert found.text


def test_the_most_tokens_of_a_window_are_what_the_model_says(pair) -> None:
    model, lm = pair
    mel = log_mel(sound(1.0), lm.engines[0].mel)
    out = model.generate(mel, task="transcribe", language="en", force_unique_generate_call=True)[0].tolist()
    ids = [id for id in out[out.index(token("<|notimestamps|>")) + 1 :] if id != EOS] if out[0] != EOS else out
    found = lm.transcribe(sound(1.0), language="en")
    assert list(found.segments[0].token_ids) == ids
    assert len(ids) <= CONTEXT - 4


def test_sounds_are_written_down_the_same_alone_and_in_a_list(pair) -> None:
    lm = pair[1]
    sounds = [sound(seconds, seed) for seed, seconds in enumerate((0.5, 2.2, 1.0, 3.1))]
    options: dict[str, Any] = dict(max_new_tokens=NEW, condition=True)
    together = lm.transcribe(sounds, **options)
    for samples, expected in zip(sounds, together, strict=True):
        alone = lm.transcribe(samples, **options)
        assert [s.token_ids for s in alone.segments] == [s.token_ids for s in expected.segments]
        assert (alone.text, alone.language) == (expected.text, expected.language)
        times = [time for s in alone.segments for time in (s.start, s.end)]
        assert all(0 <= time <= alone.duration + 1e-3 for time in times)
    assert lm.transcribe([]) == []


def test_files_bytes_and_arrays_are_the_same_sound(lm, tmp_path: Path) -> None:
    samples = (sound(0.8) * 32767).round() / 32768
    path = tmp_path / "speech.wav"
    soundfile.write(path, samples.numpy(), RATE, subtype="PCM_16")
    expected = lm.transcribe(path, max_new_tokens=NEW)
    for form in (str(path), path.read_bytes(), samples, samples.numpy(), samples.double()):
        assert lm.transcribe(form, max_new_tokens=NEW) == expected
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([samples.numpy()] * 2, 1), RATE, format="FLAC", subtype="PCM_16")
    assert lm.transcribe(buffer.getvalue(), max_new_tokens=NEW).segments[0].token_ids == expected.segments[0].token_ids


@pytest.mark.parametrize("samples", [torch.zeros(RATE), torch.zeros(3 * RATE), torch.zeros(1), sound(0.01)])
def test_silence_and_very_short_sounds_are_sounds(lm, samples: torch.Tensor) -> None:
    found = lm.transcribe(samples, max_new_tokens=NEW)
    assert isinstance(found, Transcription)
    assert found.duration == pytest.approx(len(samples) / RATE)


def test_windows_without_speech_are_passed_over_if_asked(lm) -> None:
    samples = sound(2.0)
    assert lm.transcribe(samples, max_new_tokens=NEW).segments
    quiet = lm.transcribe(samples, max_new_tokens=NEW, silence_limit=0.0, logprob_limit=10.0)
    assert (quiet.text, quiet.segments) == ("", ())


def test_texts_that_fail_are_drawn_anew_at_the_next_temperature(lm) -> None:
    samples = sound(1.0)
    first = lm.transcribe(samples, timestamps=True, max_new_tokens=NEW)
    assert first.text
    hot: dict[str, Any] = dict(temperatures=(0, 1.0), timestamps=True, max_new_tokens=NEW)
    assert lm.transcribe(samples, compression_limit=None, logprob_limit=-1e9, **hot) == first
    drawn = lm.transcribe(samples, logprob_limit=10.0, **hot)
    assert drawn != first
    assert drawn == lm.transcribe(samples, logprob_limit=10.0, **hot)
    assert drawn != lm.transcribe(samples, logprob_limit=10.0, seed=1, **hot)
    assert lm.transcribe(samples, compression_limit=0.0, logprob_limit=None, **hot) == drawn


def test_a_model_of_english_is_told_nothing(tmp_path: Path) -> None:
    model = saved(english(), tmp_path, seed=1)
    lm = sm.load(tmp_path, device="cpu")
    samples = sound(1.0)
    out = model.generate(log_mel(samples, lm.engines[0].mel), max_new_tokens=NEW, force_unique_generate_call=True)
    ids = out[0].tolist()
    ids = ids[2:] if ids[0] != EOS and ids[1] == token("<|notimestamps|>") else ids
    found = lm.transcribe(samples, max_new_tokens=NEW)
    assert list(found.segments[0].token_ids) == [id for id in ids if id != EOS]
    assert found.language == lm.transcribe(samples, language="en", max_new_tokens=NEW).language == "en"
    with pytest.raises(InputError, match="knows but English, not 'fr'"):
        lm.transcribe(samples, language="fr")
    with pytest.raises(CapabilityError, match="only writes down what is said; it knows but English"):
        lm.transcribe(samples, task="translate")


def test_settings_without_languages_or_times_are_told(tmp_path: Path) -> None:
    model = whisper()
    for key in ("lang_to_id", "task_to_id"):
        delattr(model.generation_config, key)
    saved(model, tmp_path)
    lm = sm.load(tmp_path, device="cpu")
    assert lm.transcribe(sound(0.5), max_new_tokens=NEW).language is None
    with pytest.raises(CapabilityError, match="name no languages"):
        lm.transcribe(sound(0.5), language="en")
    with pytest.raises(CapabilityError, match="task_to_id is missing"):
        lm.transcribe(sound(0.5), task="translate")
    engine = lm.engines[0]
    assert isinstance(engine, NativeSpeechEngine)
    engine.facts = replace(engine.facts, no_timestamps=None, latest_start=None)
    assert lm.transcribe(sound(0.5), max_new_tokens=NEW).segments
    for samples, options in ((sound(2.0), {}), (sound(0.5), {"timestamps": True})):
        with pytest.raises(CapabilityError, match=r"no token of times .* nothing longer than 1 s"):
            lm.transcribe(samples, **options)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"language": "xx"}, r"unknown language 'xx' \(known: de, en, zh\)"),
        ({"language": "fr"}, r"known: de, en, zh"),
        ({"task": "summarise"}, "unknown task 'summarise'"),
        ({"beams": 0}, "beams=0"),
        ({"max_new_tokens": 0}, "max_new_tokens=0"),
        ({"temperatures": ()}, "temperatures is empty"),
        ({"temperatures": (-1.0,)}, "temperatures=-1.0"),
        ({"logprob_limit": float("nan")}, "logprob_limit"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_options_out_of_range_are_refused(lm, untyped, options, complaint) -> None:
    with pytest.raises(InputError, match=complaint):
        lm.transcribe(sound(0.5), **options)


@pytest.mark.parametrize(
    ("given_", "error", "complaint"),
    [
        (torch.zeros(2, 100), InputError, "not of one channel"),
        (torch.zeros(100, dtype=torch.int16), InputError, "no known range"),
        (torch.zeros(0), DataError, "no samples"),
        (torch.tensor([0.0, float("nan")]), DataError, "sample 1 .* no finite number"),
        (torch.zeros(4 * RATE), DataError, "4 s long, and the limit is 3 s"),
        (b"no sound at all", DataError, "not a sound"),
        (b"", DataError, "no bytes"),
        ("nowhere.wav", InputError, "nowhere.wav"),
        (7, InputError, "expected a sound, got int"),
    ],
)
def test_what_is_no_sound_is_refused(lm, untyped, given_, error, complaint) -> None:
    with pytest.raises(error, match=complaint):
        lm.transcribe(given_, max_seconds=3.0)


def test_the_sound_of_a_list_is_named(lm) -> None:
    with pytest.raises(DataError, match="sound 2: there are no samples"):
        lm.transcribe([sound(0.1), torch.zeros(0)])


def test_models_of_text_do_not_hear_and_models_of_speech_do_nothing_else(lm) -> None:
    with pytest.raises(CapabilityError, match=r"cannot transcribe; it can: .* Load a model of speech"):
        sm.load("default:encoder").transcribe(sound(0.1))
    for task in (lm.translate, lm.generate, lm.score, lm.fill_mask, lm.classify):
        with pytest.raises(CapabilityError, match="it can: transcribe"):
            task("a text")


@given(
    ids=st.lists(st.integers(0, 60), min_size=1, max_size=12).map(lambda ids: [min(50, ids[0]) + 100, *ids[1:]]),
    frames=st.integers(2, 100),
)
@settings(max_examples=100)
def test_pieces_are_parts_of_the_text_in_order_and_the_next_window_moves_on(ids, frames) -> None:
    found, moved = pieces(ids, 100, frames)
    joined = [id for piece in found for id in piece.token_ids]
    assert joined == ids[: len(joined)]
    assert moved >= 1
    assert found


@pytest.mark.parametrize(
    ("ids", "expected", "moved"),
    [
        ([100, 1, 2], [(0, 90, 3)], 90),
        ([100, 1, 2, 130], [(0, 60, 4)], 90),
        ([100, 1, 120, 120, 2], [(0, 40, 4)], 40),
        ([100, 1, 120, 121, 2, 130], [(0, 40, 3), (42, 60, 3)], 90),
        ([100, 1, 120, 121, 2, 130, 130], [(0, 40, 3), (42, 60, 4)], 60),
    ],
)
def test_two_times_in_a_row_cut_a_text(ids, expected, moved) -> None:
    """A cut's begin is kept with the piece that ends last, where the text goes on after it."""
    found, step = pieces(ids, 100, 90)
    assert [(piece.start, piece.end, len(piece.token_ids)) for piece in found] == expected
    assert step == moved


def test_subtitles_have_a_cue_for_each_segment() -> None:
    segments = (
        Segment(0.0, 1.5, "Hello <there> & you", (), -0.1, 0.0),
        Segment(3600.25, 3601.0, "one\n\ntwo", (), -0.1, 0.0),
        Segment(3601.0, 3602.0, "", (), -0.1, 0.0),
    )
    found = Transcription("", segments, "en", 3602.0)
    assert srt(found) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello <there> & you\n\n2\n01:00:00,250 --> 01:00:01,000\none\ntwo\n"
    )
    assert vtt(found) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello &lt;there&gt; &amp; you\n\n"
        "01:00:00.250 --> 01:00:01.000\none\ntwo\n"
    )
