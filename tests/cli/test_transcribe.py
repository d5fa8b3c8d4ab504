"""`sensorium transcribe`, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from tests.cli.shell import shell
from tests.inference.speech import saved, whisper
from tests.tasks.test_transcribe import RATE, sound


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("speech")
    saved(whisper(), place / "model", seed=1, times=2.0)
    for name, seconds in (("short", 0.8), ("long", 2.4)):
        soundfile.write(place / f"{name}.wav", sound(seconds).numpy(), RATE)
    return place


def run(place: Path, *words: str):
    return shell("transcribe", str(place / "model"), *words, "--device", "cpu", "--max-new-tokens", "12")


def test_text_and_segments_are_printed(place: Path) -> None:
    path = str(place / "long.wav")
    told = json.loads(run(place, path, "--format", "json", "--language", "de").out)
    assert told["language"] == "de"
    assert told["duration"] == 2.4
    assert len(told["segments"]) > 1
    plain = run(place, path, "--language", "de")
    assert plain.code == 0
    assert plain.out == told["text"] + "\n"
    timed = run(place, path, "--language", "de", "--timestamps").out.splitlines()
    assert timed[0].startswith("[00:00:0")
    assert " --> " in timed[0]


def test_subtitles_are_files_of_their_kind(place: Path) -> None:
    path = str(place / "short.wav")
    assert run(place, path, "--format", "vtt").out.startswith("WEBVTT\n")
    made = run(place, path, "--format", "srt")
    assert made.code == 0
    assert made.out == "" or made.out.startswith("1\n00:00:00")


def test_several_sounds_come_one_after_another(place: Path) -> None:
    paths = [str(place / name) for name in ("short.wav", "long.wav")]
    both = run(place, *paths, "--format", "json", "--fallback", "--condition", "--beams", "1")
    assert both.code == 0
    assert [json.loads(line)["duration"] for line in both.out.splitlines()] == [0.8, 2.4]
    assert run(place, *paths).out.startswith(f"{paths[0]}:\n")
    wrong = run(place, *paths, "--format", "srt")
    assert (wrong.code, wrong.out) == (2, "")
    assert "do not fit into one .srt file" in wrong.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["short.wav", "--format", "docx"], "unknown --format 'docx'"),
        (["short.wav", "--language", "xx"], "known: de, en, zh"),
        (["short.wav", "--task", "sing"], "unknown task 'sing'"),
        (["nowhere.wav"], "nowhere.wav"),
        (["model/config.json"], "config.json"),
        (["long.wav", "--max-seconds", "1"], "the limit is 1 s"),
    ],
)
def test_what_cannot_be_done_is_one_line(place: Path, words: list[str], complaint: str) -> None:
    done = run(place, str(place / words[0]), *words[1:])
    assert done.code == 2
    assert complaint in done.err
    assert len(done.err.splitlines()) == 1


def test_a_model_of_speech_does_not_translate_texts(place: Path) -> None:
    done = shell("translate", str(place / "model"), "a text")
    assert done.code == 2
    assert "cannot translate; it can: transcribe" in done.err
