"""--force replaces what earlier runs wrote, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from sensorium.data.shards import Corpus
from sensorium.errors import InputError
from sensorium.training.train import train


@pytest.fixture
def short(small: list[str]) -> list[str]:
    return [*small, "run.steps=2"]


def test_force_leaves_nothing_of_the_model_before(corpus: Corpus, out: Path, short: list[str]) -> None:
    train(corpus, recipe="gpt2-mini", out=out, overrides=short)
    weights = load_file(out / "model.safetensors")
    save_file(weights, out / "model-00001-of-00001.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, "model-00001-of-00001.safetensors")}
    (out / "model.safetensors.index.json").write_text(json.dumps(index))
    (out / "chat_template.jinja").write_text("{{ messages }}")
    (out / "run" / "tensorboard").mkdir(exist_ok=True)
    (out / "run" / "tensorboard" / "events.old").write_text("old")
    (out / "mine.txt").write_text("precious")
    train(corpus, recipe="bert-tiny", out=out, overrides=short, force=True)
    assert (out / "mine.txt").read_text() == "precious"
    assert not (out / "run" / "tensorboard" / "events.old").exists()
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "config.json", "mine.txt", "model.safetensors", "run", "sensorium.json",
        *sorted(path.name for path in out.glob("*token*")),
    ]  # fmt: skip


def test_force_replaces_a_run_that_was_cut_short(corpus: Corpus, out: Path, short: list[str]) -> None:
    train(corpus, recipe="bert-tiny", out=out, overrides=short)
    for path in out.iterdir():
        if path.name != "run":
            path.unlink()
    assert train(corpus, recipe="bert-tiny", out=out, overrides=[*short, "run.seed=1"], force=True).steps == 2


def test_force_spares_a_folder_that_is_not_ours(corpus: Corpus, out: Path, short: list[str]) -> None:
    out.mkdir()
    (out / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"this holds no sensorium\.json or run/run\.json"):
        train(corpus, recipe="bert-tiny", out=out, overrides=short, force=True)
    assert [path.name for path in out.iterdir()] == ["config.json"]


@pytest.mark.parametrize("name", [".", "..", "run"])
def test_force_spares_the_current_folder(
    name: str, corpus: Corpus, out: Path, short: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(corpus, recipe="bert-tiny", out=out, overrides=short)
    monkeypatch.chdir({".": out, "..": out / "run", "run": out.parent}[name])
    if name == "run":  # from outside it may be replaced
        train(corpus, recipe="bert-tiny", out=name, overrides=short, force=True)
        return
    with pytest.raises(InputError, match="the current folder stands there"):
        train(corpus, recipe="bert-tiny", out=name, overrides=short, force=True)
    assert (out / "model.safetensors").is_file()


@pytest.mark.parametrize("begun", [True, False])
def test_what_a_killed_process_left_is_removed(begun: bool, corpus: Corpus, out: Path, short: list[str]) -> None:
    if begun:
        train(corpus, recipe="bert-tiny", out=out, overrides=short)
    (out / "run" / "export.part").mkdir(parents=True)
    (out / "run" / ".run.json.cut.part").write_text("{")
    train(corpus, recipe="bert-tiny", out=out, overrides=short, resume=True)
    assert not list(out.rglob("*.part"))


def test_resume_and_force_together_are_refused(corpus: Corpus, out: Path, short: list[str]) -> None:
    with pytest.raises(InputError, match="Choose one of them"):
        train(corpus, recipe="bert-tiny", out=out, overrides=short, resume=True, force=True)
    assert not out.exists()
