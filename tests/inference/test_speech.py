"""Windows of sound are written down as stock `generate` does it, token by token, under the same rules."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import WhisperTimeStampLogitsProcessor

from sensorium.errors import CapabilityError, CheckpointError, EngineError
from sensorium.inference.beams import Search
from sensorium.inference.engine import Seq2SeqEngine
from sensorium.inference.native_seq2seq import NativeSeq2SeqEngine
from sensorium.inference.native_speech import NativeSpeechEngine
from sensorium.inference.open import open_engine
from sensorium.inference.speech import SpeechEngine, detect_language, draw, write
from sensorium.inference.speech_rules import SpeechRules
from tests.inference.speech import EOS, MELS, START, VOCAB, WINDOW, ZERO, english, mels, saved, token, whisper

TOKENS, NO_TIMES, SOUNDS = 16, token("<|notimestamps|>"), 4


@pytest.fixture(scope="module", params=range(3))
def pair(request, tmp_path_factory) -> tuple[Any, Path, int]:
    folder = tmp_path_factory.mktemp("speech")
    return saved(whisper(), folder, seed=request.param, times=2.0), folder, request.param


def prompts(engine: NativeSpeechEngine, codes: list[str], *, timestamps: bool) -> torch.Tensor:
    tail = [token("<|transcribe|>"), *([] if timestamps else [NO_TIMES])]
    return torch.tensor([[START, engine.facts.languages[code], *tail] for code in codes])


def search(engine: NativeSpeechEngine, beams: int = 1, **options: Any) -> Search:
    chosen = dict(max_new_tokens=TOKENS, beams=beams, eos_ids=engine.facts.writing.eos_ids, early_stopping=beams == 1)
    return Search(**chosen | options)


def stock(model: Any, sounds: torch.Tensor, *, timestamps: bool, beams: int, **options: Any) -> list[list[int]]:
    """What `generate` writes of the first window, without prompt and end."""
    out = model.generate(
        sounds, task="transcribe", return_timestamps=timestamps, num_beams=beams, max_new_tokens=TOKENS,
        force_unique_generate_call=True, **options,
    )  # fmt: skip
    begin = 3 if timestamps else 4
    rows = [row[begin:] if row[0] == START else row for row in out.tolist()]
    return [row[: row.index(EOS)] if EOS in row else row for row in rows]


@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("beams", [1, 3])
def test_texts_are_those_that_generate_writes(pair, timestamps: bool, beams: int) -> None:
    model, folder, seed = pair
    engine, sounds = NativeSpeechEngine.open(folder), mels(SOUNDS, seed=seed)
    found = detect_language(engine, engine.hear(sounds))
    assert [engine.facts.languages[code] for code, _ in found] == model.detect_language(sounds).tolist()
    given = prompts(engine, [code for code, _ in found], timestamps=timestamps)
    rules = SpeechRules.of(engine.facts, timestamps=timestamps)
    written = write(engine, engine.hear(sounds), given, 0, search(engine, beams), rules)
    assert [list(one.token_ids) for one in written] == stock(model, sounds, timestamps=timestamps, beams=beams)
    alone = write(engine, engine.hear(sounds[2:3]), given[2:3], 0, search(engine, beams), rules)
    assert alone[0].token_ids == written[2].token_ids


def test_sureness_and_silence_are_those_that_stock_computes(pair) -> None:
    model, folder, _ = pair
    engine, sounds = NativeSpeechEngine.open(folder), mels(2, seed=7)
    given, rules = prompts(engine, ["en", "de"], timestamps=False), SpeechRules.of(engine.facts, timestamps=False)
    written = write(engine, engine.hear(sounds), given, 0, search(engine), rules)
    logits = model(input_features=sounds, decoder_input_ids=given).logits
    silence = logits[:, 0].softmax(-1)[:, token("<|nospeech|>")].tolist()
    assert [one.no_speech_prob for one in written] == pytest.approx(silence, abs=1e-5)
    for row, one in enumerate(written):
        ids = [*given[row].tolist(), *one.token_ids]
        after = model(input_features=sounds[row : row + 1], decoder_input_ids=torch.tensor([ids])).logits[0, 3:]
        after[:, list(rules.suppressed)] = -torch.inf
        after[0, list(rules.suppressed_first)] = -torch.inf
        own = after.log_softmax(-1)
        expected = [float(own[place, id].detach()) for place, id in enumerate(one.token_ids)]
        assert list(one.logprobs)[: len(expected)] == pytest.approx(expected, abs=1e-4)
        ended = len(one.token_ids) < TOKENS
        assert len(one.logprobs) == len(one.token_ids) + ended
        assert one.mean_logprob == pytest.approx(sum(one.logprobs) / len(one.logprobs))


def test_text_before_the_prompt_is_gone_on_from(pair) -> None:
    """The same as `generate` with the text before as `prompt_ids`."""
    model, folder, seed = pair
    engine, sounds = NativeSpeechEngine.open(folder), mels(1, seed=seed)
    before = [token("<|startofprev|>"), 40, 41, 42]
    out = model.generate(
        sounds, language="en", task="transcribe", prompt_ids=torch.tensor(before), max_new_tokens=TOKENS,
        force_unique_generate_call=True,
    )[0].tolist()  # fmt: skip
    given = torch.cat((torch.tensor([before]), prompts(engine, ["en"], timestamps=False)), 1)
    rules = SpeechRules.of(engine.facts, timestamps=False)
    written = write(engine, engine.hear(sounds), given, len(before), search(engine), rules)[0]
    text = out[out.index(NO_TIMES) + 1 :] if NO_TIMES in out else out
    assert list(written.token_ids) == (text[: text.index(EOS)] if EOS in text else text)


def test_what_is_drawn_hangs_on_its_seed_alone(pair) -> None:
    engine, sounds = NativeSpeechEngine.open(pair[1]), mels(3, seed=1)
    given, rules = prompts(engine, ["en"] * 3, timestamps=True), SpeechRules.of(engine.facts, timestamps=True)

    def drawn(rows: slice, seeds: list[int]) -> list[tuple[int, ...]]:
        heard = engine.hear(sounds[rows])
        found = draw(engine, heard, given[rows], 0, search(engine), rules, temperature=1.0, seeds=seeds)
        return [one.token_ids for one in found]

    together = drawn(slice(0, 3), [1, 2, 3])
    assert drawn(slice(1, 2), [2]) == together[1:2]
    assert drawn(slice(0, 3), [4, 5, 6]) != together


TIMES = st.integers(ZERO, VOCAB - 1)
TEXT = st.integers(0, EOS - 1)


@settings(max_examples=150)
@given(
    rows=st.integers(0, 6).flatmap(
        lambda length: st.lists(st.lists(TIMES | TEXT, min_size=length, max_size=length), min_size=1, max_size=4)
    ),
    latest=st.none() | st.integers(0, 30),
    seed=st.integers(0, 1000),
    louder=st.sampled_from([-3.0, 0.0, 3.0]),
)
def test_the_rules_for_times_are_those_of_stock(rows, latest, seed, louder) -> None:
    facts = SimpleNamespace(
        no_timestamps_token_id=NO_TIMES, eos_token_id=EOS, bos_token_id=EOS, max_initial_timestamp_index=latest
    )
    tokens = torch.tensor(rows, dtype=torch.long).view(len(rows), -1)
    logits = torch.randn(len(rows), VOCAB, generator=torch.Generator().manual_seed(seed))
    logits[:, ZERO:] += louder
    begin = 3
    ids = torch.cat((torch.zeros(len(rows), begin, dtype=torch.long), tokens), 1)
    expected = WhisperTimeStampLogitsProcessor(facts, begin_index=begin)(ids, logits.clone())
    rules = SpeechRules(no_timestamps=NO_TIMES, text_end=EOS, latest_start=latest)
    before = logits.clone()
    assert torch.equal(rules.allowed(logits, tokens), expected)
    assert torch.equal(logits, before)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_times_come_in_pairs_and_never_go_back(pair, seed: int) -> None:
    engine, sounds = NativeSpeechEngine.open(pair[1]), mels(2, seed=seed)
    given, rules = prompts(engine, ["en"] * 2, timestamps=True), SpeechRules.of(engine.facts, timestamps=True)
    wanted = search(engine, max_new_tokens=30)
    for one in draw(engine, engine.hear(sounds), given, 0, wanted, rules, temperature=1.5, seeds=[seed, seed + 1]):
        times = [id for id in one.token_ids if id >= ZERO]
        assert times == sorted(times)
        assert one.token_ids[0] >= ZERO
        assert one.token_ids[0] - ZERO <= 20
        assert not set(one.token_ids) & set(rules.suppressed)
        timed = [id >= ZERO for id in one.token_ids]
        assert all(not (a and b and c) for a, b, c in zip(timed, timed[1:], timed[2:], strict=False))


def test_weights_that_are_no_numbers_are_an_error(pair) -> None:
    engine = NativeSpeechEngine.open(pair[1])
    engine.model.decoder.embed.tokens.weight.fill_(float("nan"))
    with pytest.raises(EngineError, match="not finite"):
        write(
            engine, engine.hear(mels(1)), torch.tensor([[START]]), 0, search(engine),
            SpeechRules.of(engine.facts, timestamps=False),
        )  # fmt: skip


def test_a_folder_is_opened_by_what_it_holds(pair) -> None:
    engine = open_engine(pair[1], device="cpu")
    assert isinstance(engine, NativeSpeechEngine)
    assert isinstance(engine, SpeechEngine)
    assert not isinstance(engine, Seq2SeqEngine)
    assert engine.capabilities == {"transcribe"}
    assert (engine.frames, engine.mel.mels) == (WINDOW, MELS)
    with pytest.raises(CapabilityError, match="reads speech, not text"):
        NativeSeq2SeqEngine.open(pair[1])


def test_the_facts_are_those_of_the_folder(pair, tmp_path) -> None:
    facts = NativeSpeechEngine.open(pair[1]).facts
    assert set(facts.languages) == {"en", "zh", "de"}
    assert (facts.first_time, facts.silence, facts.text_end) == (ZERO, token("<|nospeech|>"), EOS)
    assert facts.latest_start == 20
    saved(english(forced_decoder_ids=[[1, NO_TIMES]]), tmp_path)
    facts = NativeSpeechEngine.open(tmp_path).facts
    assert facts.english
    assert not facts.languages
    assert facts.forced == ()


def test_old_folders_say_in_forced_decoder_ids_what_comes_first(tmp_path) -> None:
    model = whisper(forced_decoder_ids=[[1, token("<|de|>")], [2, token("<|translate|>")], [3, NO_TIMES]])
    for key in ("lang_to_id", "task_to_id"):
        delattr(model.generation_config, key)
    saved(model, tmp_path)
    assert NativeSpeechEngine.open(tmp_path).facts.forced == (token("<|de|>"), token("<|translate|>"))


@pytest.mark.parametrize(
    ("change", "error", "complaint"),
    [
        ({"lang_to_id": {"<|en|>": VOCAB}}, CheckpointError, "lang_to_id"),
        ({"lang_to_id": [1]}, CheckpointError, "lang_to_id"),
        ({"task_to_id": {"transcribe": -1}}, CheckpointError, "task_to_id"),
        ({"no_timestamps_token_id": "x"}, CheckpointError, "no_timestamps_token_id"),
        ({"begin_suppress_tokens": 3}, CheckpointError, "begin_suppress_tokens"),
        ({"suppress_tokens": ["a"]}, CheckpointError, "suppress_tokens"),
        ({"forced_decoder_ids": [[2, 3]], "lang_to_id": None}, CheckpointError, "places from 1 on"),
        ({"forced_decoder_ids": [3], "lang_to_id": {}}, CheckpointError, "forced_decoder_ids"),
        ({"max_initial_timestamp_index": -1}, CheckpointError, "max_initial_timestamp_index"),
        ({"no_repeat_ngram_size": 2}, CapabilityError, "no_repeat_ngram_size"),
        ({"repetition_penalty": 1.5}, CapabilityError, "repetition_penalty"),
    ],
)
def test_settings_that_cannot_be_used_are_named(pair, tmp_path, change, error, complaint) -> None:
    for path in pair[1].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    stated = json.loads((tmp_path / "generation_config.json").read_text())
    (tmp_path / "generation_config.json").write_text(json.dumps(stated | change))
    with pytest.raises(error, match=complaint) as raised:
        NativeSpeechEngine.open(tmp_path)
    assert str(tmp_path) in str(raised.value)


def test_a_vocabulary_without_the_tokens_of_languages_and_times_is_refused(pair, tmp_path) -> None:
    for path in pair[1].iterdir():
        if path.name != "tokenizer.json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match="no tokenizer"):
        NativeSpeechEngine.open(tmp_path)
    (tmp_path / "vocab.json").write_text("{}")
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(CheckpointError, match=r"tokenizer.json is missing; .* languages and times"):
        NativeSpeechEngine.open(tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [({"feature_size": 80}, "80 mel bands"), ({"chunk_length": 30}, "3000 frames")],
)
def test_a_spectrogram_of_another_model_is_refused(pair, tmp_path, change, complaint) -> None:
    for path in pair[1].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    stated = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(stated | change))
    with pytest.raises(CheckpointError, match=complaint):
        NativeSpeechEngine.open(tmp_path)


def test_the_spectrogram_is_found_where_newer_folders_keep_it_and_whispers_own_where_nothing_is_said(pair) -> None:
    folder = pair[1]
    stated = folder / "preprocessor_config.json"
    settings = json.loads(stated.read_text())
    spec = NativeSpeechEngine.open(folder).mel
    stated.unlink()
    try:
        (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": settings}))
        assert NativeSpeechEngine.open(folder).mel == spec
        (folder / "processor_config.json").unlink()
        assert NativeSpeechEngine.open(folder).mel.frames(0) == WINDOW
    finally:
        stated.write_text(json.dumps(settings))
