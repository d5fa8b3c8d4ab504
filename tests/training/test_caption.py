"""A tiny language model is given eyes: it names the colours of pictures that were held out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from PIL import Image

from sensorium.data.sample import Ledger
from sensorium.errors import CapabilityError, ConfigError, DataError, InputError
from sensorium.families.seeing import read_seeing
from sensorium.inference.fixtures import verify
from sensorium.tasks.model import load
from sensorium.training.caption import give_eyes
from sensorium.training.caption_data import fingerprint, read_captions, split_rows
from sensorium.training.caption_recipe import CaptionRecipe, load_caption_recipe
from sensorium.training.train import Run
from tests.inference.folders import bert, gpt2, saved
from tests.training.eyes import COLOURS, SHORT, language, squares, tower

LEARNED = [*SHORT, "run.steps=60", "optim.lr=5e-3", "eyes.language=full"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    language(folder / "words")
    tower(folder / "tower")
    squares(folder / "squares")
    squares(folder / "others", 12, seed=9)
    return folder


def taught(parts: Path, out: Path, *settings: str, **options: Any) -> Run:
    given = dict(vision=parts / "tower", show_progress=False, device="cpu") | options
    return give_eyes(parts / "words", parts / "squares" / "pairs.csv", out=out, overrides=[*SHORT, *settings], **given)


@pytest.fixture(scope="module")
def learned(parts: Path) -> Run:
    return taught(parts, parts / "learned", *LEARNED)


def named(folder: Path, parts: Path) -> float:
    """The share of pictures of another table whose colour is told."""
    found = load(folder, device="cpu").caption(pictures(parts), max_new_tokens=20)
    return sum(one.text == f"a {list(COLOURS)[i % 4]} one" for i, one in enumerate(found)) / len(found)


def pictures(parts: Path) -> list[Path]:
    return [parts / "others" / f"9-{number}.png" for number in range(12)]


def test_colours_of_pictures_never_seen_are_named(learned: Run, parts: Path) -> None:
    assert named(learned.folder, parts) >= 0.9
    assert learned.metrics["accuracy"] > 0.9
    assert learned.steps == 60
    assert learned.notes[0] == "one picture is 4 tokens"


def test_stock_opens_the_folder_and_writes_the_same(learned: Run, parts: Path) -> None:
    theirs, info = hf.LlavaForConditionalGeneration.from_pretrained(learned.folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    processor = hf.AutoProcessor.from_pretrained(learned.folder, use_fast=False)
    inputs = processor(images=Image.open(pictures(parts)[0]), text="<image>", return_tensors="pt")
    inputs.pop("token_type_ids", None)
    ids = theirs.eval().generate(**inputs, max_new_tokens=20, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert load(learned.folder, device="cpu").caption(pictures(parts)[0], max_new_tokens=20).token_ids == tuple(
        ids.tolist()
    )
    text = processor.apply_chat_template([{"role": "user", "content": [{"type": "image"}]}], add_generation_prompt=True)
    assert text == "<image>"


def test_the_folder_says_what_it_is_and_holds_to_its_fixtures(learned: Run) -> None:
    told = json.loads((learned.folder / "sensorium.json").read_text())
    assert told["caption_prompt"] == ""
    assert sum(told["corpus"]["rows"].values()) == told["corpus"]["pictures"] == 64
    assert told["parameters"] == sum(p.numel() for p in read_seeing(learned.folder).model.parameters())
    assert verify(learned.folder).passed
    assert "a picture" in (learned.folder / "README.md").read_text()
    assert (learned.folder / "run" / "loss.png").is_file()


def test_frozen_parts_stay_as_they_were_and_states_are_small(parts: Path, tmp_path: Path) -> None:
    run = taught(parts, tmp_path / "frozen", "run.steps=3")
    before = load(parts / "words").engines[0].model.state_dict()  # type: ignore[attr-defined]
    after = read_seeing(run.folder).model
    for name, value in before.items():
        now = after.text.state_dict()[name]
        assert torch.equal(now[: len(value)] if "tokens" in name or "output" in name else now, value), name
    state = torch.load(next((run.folder / "run").glob("state-*.pt")), weights_only=True)["model"]
    assert state.keys() == {f"projector.{name}" for name, _ in after.projector.named_parameters()}


def test_lora_changes_the_words_and_is_merged(parts: Path, tmp_path: Path) -> None:
    run = taught(parts, tmp_path / "lora", "run.steps=3", "eyes.language=lora", "eyes.rank=2", "optim.lr=1e-2")
    before, after = read_words(parts / "words"), read_seeing(run.folder).model.text.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(after[name][: len(value)], value)}
    assert "stack.blocks.0.attention.q.weight" in changed
    assert not {name for name in changed if "norm" in name or "tokens" in name}
    assert not any("base" in name for name in after)
    assert load(run.folder).caption(pictures(parts)[0], max_new_tokens=3).token_ids


def read_words(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load(folder).engines[0].model.state_dict()  # type: ignore[attr-defined]
    return state


def test_a_new_tower_learns_too_and_a_resampler_takes_fewer_tokens(parts: Path, tmp_path: Path) -> None:
    fresh = [
        "fresh.size=16",
        "fresh.patch=4",
        "fresh.dim=32",
        "fresh.layers=2",
        "fresh.heads=2",
        "fresh.feedforward=64",
    ]
    settings = [*LEARNED, "run.steps=120", *fresh, "eyes.projector=resampler", "eyes.queries=2", "eyes.heads=4"]
    run = taught(parts, tmp_path / "fresh", *settings, vision=None)
    assert run.notes[0] == "one picture is 2 tokens"
    assert "new" in run.notes[1]
    assert named(run.folder, parts) >= 0.9
    assert json.loads((run.folder / "config.json").read_text())["model_type"] == "sensorium_llava"


def test_a_run_goes_on_as_if_it_had_never_stopped(parts: Path, tmp_path: Path) -> None:
    whole = taught(parts, tmp_path / "whole", "run.steps=6", "schedule.kind=constant")
    taught(parts, tmp_path / "halves", "run.steps=3", "schedule.kind=constant")
    halves = taught(parts, tmp_path / "halves", "run.steps=6", "schedule.kind=constant", resume=True)
    assert halves.metrics == whole.metrics
    one, other = (read_seeing(run.folder).model.state_dict() for run in (whole, halves))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_prompts_of_the_table_stand_between_picture_and_text(parts: Path, tmp_path: Path) -> None:
    table = tmp_path / "asked.csv"
    rows = [f"{parts}/squares/0-{i}.png,which colour?,{list(COLOURS)[i % 4]}" for i in range(8)]
    table.write_text("\n".join(["picture,question,answer", *rows]))
    run = give_eyes(
        parts / "words", table, out=tmp_path / "asked", vision=parts / "tower", device="cpu", show_progress=False,
        overrides=[*SHORT, "run.steps=60", "optim.lr=5e-3", "eyes.language=full"], validation=table,
    )  # fmt: skip
    answer = load(run.folder).caption(parts / "squares" / "0-1.png", prompt="which colour?", max_new_tokens=8)
    assert answer.text == "green"
    with pytest.raises(CapabilityError, match="no chat template"):
        taught(parts, tmp_path / "chat", "eyes.chat=true")


def test_pictures_that_cannot_be_read_are_counted(parts: Path, tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    good = [f"{parts}/squares/0-{i}.png,a {list(COLOURS)[i % 4]} one" for i in range(8)]
    table.write_text(
        "\n".join(["image,caption", *good, "absent.png,a cat", "broken.png,a dog", "broken.png,a wolf", ",x", "y,"])
    )
    run = give_eyes(
        parts / "words", table, out=tmp_path / "out", vision=parts / "tower", device="cpu", show_progress=False,
        overrides=[*SHORT, "run.steps=1", "run.held_out=0"],
    )  # fmt: skip
    assert run.notes[1].startswith("2 pictures cannot be read, which leaves out 3 rows (absent.png: ")
    assert run.notes[2].startswith("2 rows were left out")
    assert run.notes[3].startswith("no row is left to measure by")
    table.write_text("image,caption\nabsent.png,a cat\n")
    with pytest.raises(DataError, match="none of 1 pictures can be read"):
        give_eyes(parts / "words", table, out=tmp_path / "none", vision=parts / "tower", show_progress=False)
    assert not (tmp_path / "none").exists()
    run_json = run.folder / "run" / "run.json"
    before = run_json.read_bytes()
    with pytest.raises(DataError, match="none of 1 pictures can be read"):
        give_eyes(parts / "words", table, out=run.folder, vision=parts / "tower", show_progress=False, force=True)
    with pytest.raises(InputError, match="another corpus"):
        give_eyes(
            parts / "words", table, out=run.folder, vision=parts / "tower", show_progress=False, resume=True,
            overrides=[*SHORT, "run.steps=1", "run.held_out=0"],
        )  # fmt: skip
    assert run_json.read_bytes() == before
    assert (run.folder / "config.json").is_file()


def test_rows_that_lead_out_of_the_folder_are_left_out_half_characters_repaired(parts: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out.png").write_bytes((parts / "squares" / "0-0.png").read_bytes())
    table, ledger = tmp_path / "in" / "pairs.jsonl", Ledger()
    rows = [("../out.png", "a cat"), ("\ud800.png", "a dog"), ("a.png", "a \ud800 b"), ("./b.png", "fine")]
    table.write_text("".join(json.dumps({"image": image, "caption": text}) + "\n" for image, text in rows))
    kept = read_captions(table, ledger)
    assert [row.name for row in kept] == ["\ufffd.png", "a.png", "b.png"]
    assert kept[1].text == "a \ufffd b"
    assert kept[2].image == tmp_path / "in" / "b.png"
    said = [problem["reason"] for problem in ledger.problems]
    assert len(said) == 1
    assert "leads out of the table's folder" in said[0]


def test_pictures_of_one_base_name_in_two_folders_are_two(tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    places = [f"{folder}/0.png" for folder in "abcdefgh"]
    table.write_text("\n".join(["image,caption", *(f"{place},x" for place in places)]))
    rows = read_captions(table, Ledger())
    train, held = split_rows(rows, 0.5)
    assert train
    assert held
    assert {row.name for row in (*train, *held)} == set(places)
    table.write_text("\n".join(["image,caption", *(f"{place},x" for place in ["z/0.png", *places[1:]])]))
    assert fingerprint(read_captions(table, Ledger())) != fingerprint(rows)


def test_looks_too_large_for_the_memory_leave_no_file(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensorium.training.caption_data._LARGE", 0)
    assert taught(parts, tmp_path / "large", "run.steps=1").steps == 1
    assert [path.name for path in tmp_path.iterdir()] == ["large"]


@pytest.mark.parametrize(
    ("settings", "options", "error", "words"),
    [
        (["eyes.nose=1"], {}, ConfigError, r"unknown key eyes\.nose"),
        (["batch.tokens=8"], {}, ConfigError, "less than batch.seq_len"),
        (["eyes.rank=0"], {}, ConfigError, "out of range"),
        (["eyes.projector=resampler", "eyes.heads=5"], {}, ConfigError, "not a multiple"),
        ([], dict(columns={"image": "nowhere"}), InputError, "unknown column 'nowhere'"),
        ([], dict(resume=True, force=True), InputError, "Choose one of them"),
        ([], dict(vision="absent"), InputError, "absent"),
        (["eyes.prompt=<image>"], {}, InputError, "stands for a picture"),
        (["eyes.prompt=\ud800"], {}, InputError, "not valid Unicode"),
        (["batch.seq_len=6"], {}, DataError, "nothing to learn from"),
    ],
)
def test_what_does_not_fit_is_refused(
    parts: Path, tmp_path: Path, settings: list[str], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        taught(parts, tmp_path / "out", "run.steps=1", *settings, **options)
    assert not (tmp_path / "out").exists()


def test_only_decoders_like_llama_are_given_eyes(parts: Path, tmp_path: Path) -> None:
    for make, kind in ((bert, "encoder"), (gpt2, "decoder")):
        saved(make(), tmp_path / kind, kind)
        with pytest.raises(CapabilityError, match="no language model that can be given eyes"):
            give_eyes(tmp_path / kind, parts / "squares" / "pairs.csv", out=tmp_path / "out", vision=parts / "tower")
    with pytest.raises(CapabilityError, match="no language model that can be given eyes"):
        give_eyes(parts / "tower", parts / "squares" / "pairs.csv", out=tmp_path / "out", vision=parts / "tower")


def test_a_recipe_is_a_file_of_what_is_not_the_default(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('[eyes]\nlanguage = "lora"\n[run]\nsteps = 7\n')
    found = load_caption_recipe(path, ["eyes.rank=4"])
    assert (found.eyes.language, found.eyes.rank, found.run.steps, found.run.epochs) == ("lora", 4, 7, None)
    assert found.optim == CaptionRecipe().optim
    with pytest.raises(InputError, match="no such recipe file"):
        load_caption_recipe(tmp_path / "absent.toml")
