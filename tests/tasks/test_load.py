"""What `load` opens, and what it says where it cannot."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

from sensorium import bundled
from sensorium.errors import CapabilityError, CheckpointError, InputError
from sensorium.inference import open as opening
from sensorium.inference.fixtures import write_fixtures
from sensorium.inference.native import NativeEngine
from sensorium.inference.transformers_engine import TransformersEngine
from sensorium.tasks.model import LanguageModel, load
from tests.inference.folders import headless, opt, saved


def test_a_family_of_the_core_opens_natively_and_others_through_transformers(decoder, tmp_path) -> None:
    saved(opt(), tmp_path, "decoder")
    assert isinstance(load(decoder[1]).engines[0], NativeEngine)
    assert isinstance(load(decoder[1], engine="transformers").engines[0], TransformersEngine)
    other = load(tmp_path)
    assert isinstance(other.engines[0], TransformersEngine)
    assert other.generate("the", max_new_tokens=4).usage.completion_tokens <= 4
    with pytest.raises(CapabilityError, match="engine='transformers'"):
        load(tmp_path, engine="native")


def test_both_engines_do_the_same(encoder, decoder) -> None:
    for folder, use in (
        (encoder[1], lambda lm: [(f.token_id, f.text) for f in lm.fill_mask("a [MASK] 春[MASK]")]),
        (decoder[1], lambda lm: lm.generate(["the b", "春"], max_new_tokens=8, seed=2)[1].token_ids),
        (decoder[1], lambda lm: round(lm.score("the banana" * 9).perplexity, 2)),
    ):
        assert use(load(folder)) == use(load(folder, engine="transformers"))


def test_one_handle_serves_each_task_with_the_engine_that_can(masked, causal) -> None:
    both = LanguageModel([*masked.engines, *causal.engines], "both")
    assert both.capabilities == {"fill_mask", "generate", "score"}
    assert both.fill_mask("a [MASK]") == masked.fill_mask("a [MASK]")
    assert both.generate("a", max_new_tokens=2) == causal.generate("a", max_new_tokens=2)
    assert both.score("abc").method == "causal"
    assert both.score("abc", method="pseudo").logprobs == masked.score("abc").logprobs
    assert "fill_mask, generate, score" in repr(both)


def test_the_bundled_models_go_by_their_names(encoder, decoder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(opening, "default_folder", lambda part: {"encoder": encoder[1], "decoder": decoder[1]}[part])
    assert load("default").capabilities == {"fill_mask", "generate", "score"}
    assert load("default:encoder").capabilities == {"fill_mask", "score"}
    assert load("default:decoder").capabilities == {"generate", "score"}


def test_a_bundled_model_that_is_not_there_is_a_clear_error(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(bundled.resources, "files", lambda name: tmp_path)
    with pytest.raises(CheckpointError, match="not part of this installation"):
        load("default:encoder")


@pytest.mark.parametrize("source", ["nowhere", "a/b/c/nowhere", "./org/name/..", "missing.gguf", "openai:x"])
def test_an_unknown_path_says_what_was_looked_for(source: str) -> None:
    with pytest.raises(InputError, match=r"no folder and no \.gguf file"):
        load(source)


def test_a_missing_folder_beside_others_is_not_asked_of_the_hub(tmp_path, monkeypatch) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"runs/bert: no such model"):
        load("runs/bert")


def test_files_and_folders_without_a_model_are_refused(tmp_path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"x")
    with pytest.raises(InputError, match=r"no \.gguf file"):
        load(tmp_path / "weights.bin")
    with pytest.raises(InputError, match=r"config\.json is missing"):
        load(tmp_path)


def test_a_hub_model_comes_through_huggingface_hub(decoder, monkeypatch) -> None:
    import huggingface_hub

    asked = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, **options: asked.append(name) or str(decoder[1])
    )
    assert load("org/name").capabilities == {"generate", "score"}
    assert asked == ["org/name"]

    def offline(name, **options):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(InputError, match=r"org/name: .*no network"):
        load("org/name")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"no folder of this name.*huggingface_hub.*pip install 'sensorium\[trans"):
        load("org/name")


def test_without_transformers_the_error_names_the_extra(tmp_path, monkeypatch) -> None:
    saved(opt(), tmp_path, "decoder")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(CapabilityError, match=r"pip install 'sensorium\[transformers\]'"):
        load(tmp_path)


def test_arguments_are_checked(decoder) -> None:
    with pytest.raises(InputError, match="did you mean 'float16'"):
        load(decoder[1], dtype="flaot16")
    with pytest.raises(InputError, match="device 'nonsense'"):
        load(decoder[1], device="nonsense")


def test_fixtures_are_of_float32_and_verify_that_alone(decoder, tmp_path) -> None:
    folder = Path(shutil.copytree(decoder[1], tmp_path / "model"))
    write_fixtures(folder)
    for dtype in ("float32", torch.float32, None):
        load(folder, verify=True, dtype=dtype)
    for dtype in ("bfloat16", torch.float16):
        with pytest.raises(InputError, match=r"fixtures are of float32.*dtype='float32'"):
            load(folder, verify=True, dtype=dtype)


def test_a_name_too_long_is_refused_by_name() -> None:
    for name in ("n" * 300, f"{'n' * 300}.gguf", f"{'n' * 300}/model.gguf"):
        with pytest.raises(InputError, match=r"n{300}.*too long"):
            load(name)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "."])
def test_a_file_that_may_not_be_read_is_refused_by_name(decoder, tmp_path, monkeypatch, name: str) -> None:
    folder = Path(shutil.copytree(decoder[1], tmp_path / "model"))
    forbidden = folder / name
    real = os.stat if name == "." else io.open

    def refuse(path, *args, **options):
        if path == forbidden:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **options)

    monkeypatch.setattr(os if name == "." else io, "stat" if name == "." else "open", refuse)
    with pytest.raises(InputError, match=f"{forbidden}: Permission denied.*permissions"):
        load(folder)


def test_half_precision_generates(decoder) -> None:
    found = load(decoder[1], dtype="bfloat16").generate(["the", "a b c"], max_new_tokens=4, ignore_eos=True)
    assert [len(one.token_ids) for one in found] == [4, 4]


def test_a_model_without_a_language_head_can_do_nothing(tmp_path) -> None:
    saved(headless(), tmp_path, "encoder")
    lm = load(tmp_path)
    for task in (lambda: lm.score("a"), lambda: lm.fill_mask("[MASK]"), lambda: lm.generate("a")):
        with pytest.raises(CapabilityError, match="no language head"):
            task()


def test_a_seeded_generation_is_the_same_after_loading_again(decoder) -> None:
    options = {"max_new_tokens": 12, "seed": 7, "temperature": 1.2}
    assert load(decoder[1]).generate("the", **options) == load(decoder[1]).generate("the", **options)
