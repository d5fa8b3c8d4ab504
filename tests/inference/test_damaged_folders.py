"""A model folder whose tokenizer is missing, damaged or another model's is refused in one clear error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.errors import CheckpointError, SensoriumError
from sensorium.tasks.model import load
from tests.inference.folders import VOCAB, llama, saved
from tests.inference.mock import byte_tokenizer

MANY = settings(max_examples=100, derandomize=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole folder, which no test changes."""
    folder = tmp_path_factory.mktemp("whole")
    saved(llama(), folder, "decoder")
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def problem(folder: Path) -> SensoriumError | None:
    try:
        load(folder)
    except SensoriumError as error:
        return error
    return None


def refused(folder: Path, match: str | None = None) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        load(folder)
    assert str(folder) in str(caught.value)
    assert caught.value.fix
    assert "\n" not in str(caught.value)


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def test_a_folder_without_a_tokenizer_says_which_files_it_needs(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    refused(folder, r"no tokenizer found.*tokenizer\.json \(or vocab\.txt, or vocab\.json and merges\.txt\)")


def test_a_tokenizer_truncated_at_any_byte_is_refused(folder: Path) -> None:
    content = (folder / "tokenizer.json").read_bytes()

    @MANY
    @given(st.one_of(st.integers(0, 500), st.integers(0, len(content) - 2)))
    def check(length: int) -> None:
        (folder / "tokenizer.json").write_bytes(content[:length])
        refused(folder, "the tokenizer cannot be read")

    check()


def test_a_damaged_tokenizer_is_refused_or_read_as_it_says(folder: Path) -> None:
    content = (folder / "tokenizer.json").read_bytes()

    @MANY
    @given(st.one_of(st.integers(0, 1500), st.integers(0, len(content) - 1)), st.binary(min_size=1, max_size=6))
    def check(place: int, patch: bytes) -> None:
        (folder / "tokenizer.json").write_bytes(content[:place] + patch + content[place + len(patch) :])
        error = problem(folder)
        assert error is None or (isinstance(error, CheckpointError) and str(folder) in str(error))

    check()


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json"])
def test_damaged_settings_beside_it_are_refused(folder: Path, name: str) -> None:
    @MANY
    @given(st.one_of(st.binary(max_size=30), st.sampled_from([b"[]", b"3", b"null", b"[" * 100_000])))
    def check(content: bytes) -> None:
        (folder / name).write_bytes(content)
        error = problem(folder)
        assert isinstance(error, CheckpointError)
        assert error.where == str(folder / name)

    check()


def test_a_chat_template_that_is_not_text_is_refused(folder: Path) -> None:
    (folder / "chat_template.jinja").write_bytes(b"\xff\xfe")
    refused(folder, "the tokenizer cannot be read")


def test_the_tokenizer_of_a_larger_vocabulary_is_refused(folder: Path) -> None:
    larger = byte_tokenizer(merges=[(a, b) for a in "abcd" for b in "efgh"])
    larger.save(folder, kind="decoder")
    assert larger.vocab_size > VOCAB
    refused(folder, f"the tokenizer has {larger.vocab_size} tokens, the model only {VOCAB}")


def test_one_id_beyond_the_model_is_enough_to_refuse_a_tokenizer(folder: Path) -> None:
    def far_away(content: dict[str, Any]) -> None:
        vocabulary = content["model"]["vocab"]
        vocabulary["z"] = VOCAB + 1000

    rewrite(folder / "tokenizer.json", far_away)
    refused(folder, f"the tokenizer has {VOCAB + 1001} tokens, the model only {VOCAB}")


def test_a_smaller_tokenizer_is_taken_for_a_padded_embedding(folder: Path) -> None:
    smaller = byte_tokenizer()
    assert smaller.vocab_size < VOCAB
    smaller.save(folder, kind="decoder")
    found = load(folder).generate("the", max_new_tokens=5, seed=1)
    assert found.usage.prompt_tokens == 1 + len("the")
