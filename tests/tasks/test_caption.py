"""Captions are, token by token, what stock `transformers` writes; what cannot be seen is an error that says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from PIL import Image

from sensorium.errors import CapabilityError, CheckpointError, DataError, InputError
from sensorium.modalities.image import read_image
from sensorium.tasks.caption import ASKED
from sensorium.tasks.model import LanguageModel, load
from tests.inference.eyes import TEMPLATE, photos, saved

NEW = 12


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captions")


@pytest.fixture(scope="module")
def plain(place: Path) -> tuple[Any, LanguageModel, list[Path]]:
    """A stock model without a chat template, ours of the same folder, pictures."""
    theirs = saved(place / "plain")
    return theirs, load(place / "plain", device="cpu"), photos(place / "photos")


@pytest.fixture(scope="module")
def chatting(place: Path) -> tuple[Any, LanguageModel, list[Path]]:
    theirs = saved(place / "chatting", template=TEMPLATE, seed=1)
    return theirs, load(place / "chatting", device="cpu"), photos(place / "photos")


def processor(folder: Path) -> Any:
    return hf.AutoProcessor.from_pretrained(folder, use_fast=False)


def written(theirs: Any, folder: Path, text: str, pictures: list[Path], **options: Any) -> list[list[int]]:
    """New tokens of stock `generate`, one row a picture."""
    found = []
    for path in pictures:
        inputs = processor(folder)(images=Image.open(path), text=text, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        ids = theirs.generate(**inputs, max_new_tokens=NEW, do_sample=False, **options)
        found.append(ids[0, inputs["input_ids"].shape[1] :].tolist())
    return found


@pytest.mark.parametrize("prompt", ["", "the band"])
def test_greedy_captions_equal_stock(plain: Any, place: Path, prompt: str) -> None:
    theirs, ours, pictures = plain
    expected = written(theirs, place / "plain", f"<image>{prompt}", pictures)
    found = ours.caption(pictures, prompt=prompt, max_new_tokens=NEW)
    assert [list(one.token_ids) for one in found] == expected
    assert len({tuple(row) for row in expected}) > 1
    assert list(ours.caption(pictures[1], prompt=prompt, max_new_tokens=NEW).token_ids) == expected[1]
    assert all(len(one.logprobs) == len(one.token_ids) for one in found)


def test_beams_find_what_stock_finds(plain: Any, place: Path) -> None:
    theirs, ours, pictures = plain
    expected = written(theirs, place / "plain", "<image>the", pictures, num_beams=3, length_penalty=0.7)
    found = ours.caption(pictures, prompt="the", max_new_tokens=NEW, beams=3, length_penalty=0.7)
    assert [list(one.token_ids) for one in found] == expected


def test_a_model_of_chats_is_asked(chatting: Any, place: Path) -> None:
    theirs, ours, pictures = chatting
    for prompt, asked in ((None, ASKED), ("a band?", "a band?")):
        messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": asked}]}]
        text = processor(place / "chatting").apply_chat_template(messages, add_generation_prompt=True)
        expected = written(theirs, place / "chatting", text, pictures[:1])
        assert list(ours.caption(pictures[0], prompt=prompt, max_new_tokens=NEW).token_ids) == expected[0]
        messages[0]["content"][0] = {"type": "image_url", "image_url": {"url": str(pictures[0])}}
        assert list(ours.chat(messages, max_new_tokens=NEW).token_ids) == expected[0]


def test_pictures_may_be_paths_bytes_or_pixels(plain: Any) -> None:
    _, ours, pictures = plain
    forms = [pictures[0], str(pictures[0]), pictures[0].read_bytes(), read_image(pictures[0])]
    found = ours.caption(forms, max_new_tokens=NEW)
    assert len({one.token_ids for one in found}) == 1
    assert ours.caption([]) == []


def test_pictures_are_decoded_in_threads(plain: Any) -> None:
    _, ours, pictures = plain
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = ours.caption(pictures, max_new_tokens=3)
        with torch.inference_mode():
            assert ours.caption(pictures, max_new_tokens=3) == found
    finally:
        torch.set_num_threads(before)


def test_drawing_is_repeatable(plain: Any) -> None:
    _, ours, pictures = plain
    one, again, other = (
        ours.caption(pictures[0], temperature=1.5, seed=seed, max_new_tokens=NEW).token_ids for seed in (1, 1, 2)
    )
    assert one == again
    assert one != other


def test_text_alone_is_continued(plain: Any, place: Path) -> None:
    theirs, ours, _ = plain
    ids = torch.tensor([ours.tokenizer.encode("the band")])
    expected = theirs.generate(ids, max_new_tokens=NEW, do_sample=False)[0, ids.shape[1] :].tolist()
    assert list(ours.generate("the band", max_new_tokens=NEW).token_ids) == expected


def test_what_cannot_be_seen_is_an_error(plain: Any, place: Path) -> None:
    _, ours, pictures = plain
    with pytest.raises(InputError, match="No such file"):
        ours.caption(place / "absent.png")
    (place / "broken.png").write_bytes(pictures[0].read_bytes()[:60])
    with pytest.raises(DataError):
        ours.caption([pictures[0], place / "broken.png"])
    with pytest.raises(InputError, match="stands for a picture"):
        ours.caption(pictures[0], prompt="an <image> of it")
    with pytest.raises(InputError, match="context holds"):
        ours.caption(pictures[0], prompt="the band " * 90)
    with pytest.raises(InputError, match="not valid Unicode"):
        ours.caption(pictures[0], prompt="\ud800")
    for wrong in (dict(beams=0), dict(max_new_tokens=0), dict(beams=2, top_k=3), dict(seed=-1), dict(top_p=2.0)):
        with pytest.raises(InputError):
            ours.caption(pictures[0], **wrong)


def test_a_model_of_text_says_which_models_see(causal: LanguageModel, plain: Any) -> None:
    with pytest.raises(CapabilityError, match="cannot caption") as told:
        causal.caption(plain[2][0])
    assert "with eyes" in str(told.value)


def test_a_folder_must_say_how_pictures_are_made_ready(place: Path) -> None:
    saved(place / "bare")
    (place / "bare" / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json is missing"):
        load(place / "bare")


def test_pictures_of_another_size_are_refused(place: Path) -> None:
    saved(place / "small")
    path = place / "small" / "preprocessor_config.json"
    path.write_text(path.read_text().replace("16", "24"))
    with pytest.raises(CheckpointError, match="24 × 24"):
        load(place / "small")
