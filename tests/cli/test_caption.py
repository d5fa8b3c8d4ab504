"""`sensorium give-eyes`, `caption` and `chat`, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.cli.shell import Done, shell
from tests.inference.eyes import TEMPLATE, photos, saved
from tests.training.eyes import SHORT, language, squares, tower


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("eyes")
    saved(place / "model", template=TEMPLATE)
    photos(place / "photos")
    return place


def run(place: Path, verb: str, *words: str, stdin: bytes = b"") -> Done:
    return shell(verb, str(place / "model"), *words, "--device", "cpu", "--max-new-tokens", "6", stdin=stdin)


def test_one_picture_is_one_line_and_several_are_named(place: Path) -> None:
    paths = [str(place / "photos" / f"{i}.png") for i in range(2)]
    one = run(place, "caption", paths[0])
    assert (one.code, one.out.count("\n")) == (0, 1)
    both = run(place, "caption", *paths).out.splitlines()
    assert both[0] == f"{paths[0]}: {one.out.rstrip(chr(10))}"
    told = [json.loads(line) for line in run(place, "caption", *paths, "--json", "--beams", "2").out.splitlines()]
    assert len(told) == 2
    assert told[0]["usage"]["completion_tokens"] == len(told[0]["token_ids"])


def test_what_cannot_be_captioned_is_one_line(place: Path) -> None:
    for words in (["absent.png"], [str(place / "photos" / "0.png"), "--beams", "0"]):
        failed = run(place, "caption", *words)
        assert (failed.code, failed.out) == (2, "")
        assert failed.err.startswith("error: ")
    blind = shell("caption", "default:decoder", str(place / "photos" / "0.png"))
    assert blind.code == 2
    assert "cannot caption" in blind.err
    assert "with eyes" in blind.err


def test_a_question_is_answered_once(place: Path) -> None:
    picture = ["--image", str(place / "photos" / "0.png")]
    said = run(place, "chat", "?", *picture)
    assert said.code == 0
    told = json.loads(run(place, "chat", "?", *picture, "--json").out)
    assert said.out == told["text"] + "\n"
    assert run(place, "chat", *picture, stdin=b"?\n").out == said.out
    assert run(place, "chat", "?", *picture, "--system", "a").out != said.out
    assert run(place, "chat", "?").out != said.out
    nothing = run(place, "chat", stdin=b"")
    assert (nothing.code, nothing.out) == (2, "")
    assert "nothing is said" in nothing.err


def test_a_conversation_goes_on_until_it_is_left(place: Path) -> None:
    lines = iter(["?", "/image absent.png", "?", "/new", f"/image {place / 'photos' / '0.png'}", "?", "", "/exit"])
    with patch("sensorium.cli.chat.sys") as system, patch("builtins.input", lambda _: next(lines)):
        system.stdin.isatty.return_value = True
        talked = run(place, "chat")
    assert talked.code == 0
    assert "absent.png" in talked.err

    assert talked.out.startswith(run(place, "chat", "?").out)
    assert talked.out.endswith(run(place, "chat", "?", "--image", str(place / "photos" / "0.png")).out)
    assert next(lines, None) is None


def test_eyes_are_given_and_used(place: Path) -> None:
    words, see, pairs = language(place / "words"), tower(place / "tower"), squares(place / "squares", 16)
    sets = [word for setting in [*SHORT, "run.steps=2"] for word in ("--set", setting)]
    given = ["give-eyes", str(words), str(pairs), "--vision", str(see), "--out", str(place / "vlm"), *sets]
    done = shell(*given, "--device", "cpu")
    assert done.code == 0, done.err
    assert f"model at {place / 'vlm'}" in done.out
    assert "note: one picture is 4 tokens" in done.err
    assert shell("caption", str(place / "vlm"), str(place / "squares" / "0-0.png"), "--max-new-tokens", "3").code == 0
    assert shell("verify", str(place / "vlm")).code == 0
    again = shell(*given)
    assert again.code == 2
    assert "already exists" in again.err
    told = json.loads(shell(*given, "--force", "--json").out)
    assert told["steps"] == 2
