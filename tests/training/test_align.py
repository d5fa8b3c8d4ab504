"""`align` learns, resumes to the same bits, and leaves folders that stock `transformers` opens with our embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sensorium as sm
from sensorium.errors import CapabilityError, ConfigError, DataError, InputError
from sensorium.training.align import align
from sensorium.training.align_recipe import AlignRecipe
from sensorium.training.pretrain_senses import pretrain
from sensorium.training.typed import read_recipe
from tests.training.senses import COLOURS, SMALL, coloured_squares, frames, tones, write_rows

hf = pytest.importorskip("transformers")
TEXTS = ["a red square", "blue", "a green [EOS] square"]


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coloured_squares(tmp_path_factory.mktemp("squares"))


def run(table: Path, out: Path, *settings: str, steps: int = 6, **options) -> sm.Run:
    return align(
        table,
        out=out,
        overrides=[*SMALL, f"run.steps={steps}", *settings],
        device="cpu",
        show_progress=False,
        **options,
    )


@pytest.fixture(scope="module")
def learned(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, sm.Run]:
    out = tmp_path_factory.mktemp("runs") / "clip"
    settings = ("run.held_out=0.2", "run.epochs=100", "run.eval_every=1000")
    return out, run(squares, out, *settings, steps=80)


def test_colours_are_found_by_their_names(learned: tuple[Path, sm.Run]) -> None:
    _, done = learned
    assert done.metrics["recall_at_1_image_to_text"] > 0.9
    assert done.metrics["recall_at_1_text_to_image"] > 0.9
    assert "held out for validation" in done.notes[-1]


def test_names_that_were_never_given_as_classes_tell_what_a_picture_shows(
    learned: tuple[Path, sm.Run], squares: Path
) -> None:
    model = sm.load(learned[0], device="cpu")
    found = model.classify(
        [squares.parent / "0.png", squares.parent / "2.png"], ["red", "blue", "yellow"], template="a {} square"
    )
    assert [one.label for one in found] == ["red", "blue"]
    assert sum(found[0].scores.values()) == pytest.approx(1)


def test_stock_transformers_gives_the_same_embeddings(learned: tuple[Path, sm.Run], squares: Path) -> None:
    out, _ = learned
    theirs, info = hf.CLIPModel.from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    tokenizer, processor = hf.AutoTokenizer.from_pretrained(out), hf.CLIPImageProcessorPil.from_pretrained(out)
    pictures = [squares.parent / "3.png", squares.parent / "7.png"]
    model = sm.load(out, device="cpu")
    with torch.no_grad():
        words = tokenizer(TEXTS[:2], padding=True, return_tensors="pt")
        pixels = processor([Image.open(path) for path in pictures], return_tensors="pt")["pixel_values"]
        found = theirs.eval()(**words, pixel_values=pixels)
    np.testing.assert_allclose(model.embed(TEXTS[:2]), found.text_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(model.embed(images=pictures), found.image_embeds.numpy(), atol=1e-5)


def test_the_folder_tells_of_itself(learned: tuple[Path, sm.Run]) -> None:
    out, done = learned
    told = json.loads((out / "sensorium.json").read_text(encoding="utf-8"))
    assert told["metrics"] == done.metrics
    assert told["data"]["columns"] == {"photo": "image", "caption": "text"}
    assert told["parameters"] == sum(p.numel() for p in sm.load(out, device="cpu").model.parameters())
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "zero-shot-image-classification" in card
    assert "pairs.csv" in card


def test_resuming_gives_the_same_bits(squares: Path, tmp_path: Path) -> None:
    settings = ("run.save_every=3", "run.eval_every=4", "augment=strong")
    run(squares, tmp_path / "whole", *settings, steps=9)

    class StopError(Exception):
        pass

    from sensorium.training import loop

    real, calls = loop.Loop._step, 0

    def failing(self, stream):
        nonlocal calls
        calls += 1
        if calls == 6:
            raise StopError
        return real(self, stream)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Loop, "_step", failing)
        with pytest.raises(StopError):
            run(squares, tmp_path / "cut", *settings, steps=9)
    assert run(squares, tmp_path / "cut", *settings, steps=9, resume=True).steps == 9
    whole, cut = (tmp_path / name / "model.safetensors" for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()


def test_siglip_opens_in_transformers_with_the_same_embeddings(squares: Path, tmp_path: Path) -> None:
    run(squares, tmp_path / "siglip", loss="siglip")
    theirs = hf.SiglipModel.from_pretrained(tmp_path / "siglip").eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(tmp_path / "siglip")
    words = tokenizer(TEXTS[:2], padding="max_length", return_tensors="pt")
    assert set(words) == {"input_ids"}
    model = sm.load(tmp_path / "siglip", device="cpu")
    with torch.no_grad():
        found = torch.nn.functional.normalize(theirs.text_model(**words).pooler_output, dim=-1)
    np.testing.assert_allclose(model.embed(TEXTS[:2]), found.numpy(), atol=1e-5)
    scores = model.classify([squares.parent / "0.png"], ["red", "blue"])[0].scores
    assert all(0 < score < 1 for score in scores.values())


def test_three_senses_are_a_folder_of_stock_folders(tmp_path: Path) -> None:
    table = tones(tmp_path)
    small = ["audio.dim=32", "audio.layers=1", "audio.heads=2", "audio.feedforward=64", "audio.mels=16"]
    done = run(table, tmp_path / "three", *small, "audio.seconds=0.25", "audio.patch=8", "run.held_out=0.2")
    assert "recall_at_1_audio_to_image" in done.metrics
    assert "recall_at_5_text_to_audio" in done.metrics
    model = sm.load(tmp_path / "three", device="cpu")
    assert model.senses == ("audio", "image", "text")
    sounds = model.embed(sounds=[tmp_path / "0.wav", tmp_path / "1.wav"])
    np.testing.assert_allclose(np.linalg.norm(sounds, axis=1), 1, atol=1e-6)
    heard = hf.ViTModel.from_pretrained(tmp_path / "three" / "audio", add_pooling_layer=False)
    assert heard.config.num_channels == 1
    hf.CLIPTextModel.from_pretrained(tmp_path / "three" / "text")
    seen = hf.ViTModel.from_pretrained(tmp_path / "three" / "image", add_pooling_layer=False).eval()
    x = torch.randn(2, 3, 16, 16)
    ours = model.model.towers["image"]
    with torch.no_grad():
        torch.testing.assert_close(seen(x).last_hidden_state, ours.hidden(x), atol=1e-5, rtol=1e-4)
    with pytest.raises(CapabilityError, match="reads no video"):
        model.embed(clips=[tmp_path / "0.wav"])


def test_clips_are_read_frame_by_frame_then_over_time(tmp_path: Path) -> None:
    table = frames(tmp_path)
    small = ["video.dim=32", "video.layers=1", "video.heads=2", "video.feedforward=64", "video.size=16"]
    run(table, tmp_path / "clips", *small, "video.patch=8", "video.frames=4", "video.time_layers=1")
    model = sm.load(tmp_path / "clips", device="cpu")
    found = model.embed(clips=[tmp_path / "0.mkv", tmp_path / "1.mkv"])
    assert found.shape == (2, 32)
    assert model.search("red, then green", tmp_path, top_k=3)[0].path.endswith(".mkv")


def test_a_pretrained_vit_and_a_fresh_bert_are_a_dual_encoder(squares: Path, tmp_path: Path) -> None:
    small = [setting for setting in SMALL if setting.startswith(("image.", "batch."))]
    options = {"device": "cpu", "show_progress": False}
    done = pretrain(squares.parent, out=tmp_path / "vit", overrides=[*small, "run.steps=4"], **options)
    assert done.metrics["loss"] > 0
    vit = hf.ViTModel.from_pretrained(tmp_path / "vit", add_pooling_layer=False)
    assert vit.config.image_size == 16
    run(squares, tmp_path / "dual", "optim.lr=0.0", image_from=tmp_path / "vit")
    theirs = hf.VisionTextDualEncoderModel.from_pretrained(tmp_path / "dual").eval()
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(theirs.vision_model(x).last_hidden_state, vit.eval()(x).last_hidden_state)
    tokenizer = hf.AutoTokenizer.from_pretrained(tmp_path / "dual")
    words = tokenizer(TEXTS[:2], padding=True, return_tensors="pt")
    with torch.no_grad():
        found = theirs(**words, pixel_values=torch.zeros(2, 3, 16, 16)).text_embeds
    np.testing.assert_allclose(sm.load(tmp_path / "dual", device="cpu").embed(TEXTS[:2]), found.numpy(), atol=1e-5)
    assert tokenizer("red")["input_ids"][0] == tokenizer.cls_token_id


def test_a_clip_given_for_both_is_trained_on(learned: tuple[Path, sm.Run], squares: Path, tmp_path: Path) -> None:
    out, _ = learned
    run(squares, tmp_path / "on", "optim.lr=0.0", "optim.weight_decay=0.0", image_from=out, text_from=out)
    before, after = (sm.load(folder, device="cpu").embed(TEXTS) for folder in (out, tmp_path / "on"))
    np.testing.assert_allclose(before, after, atol=1e-6)


def test_several_texts_of_a_row_are_drawn_and_languages_meet(squares: Path, tmp_path: Path) -> None:
    words = dict(zip(COLOURS, ("rouge", "vert", "bleu", "jaune", "noir", "rose", "gris", "brun"), strict=True))
    rows = [[f"{n}.png", list(COLOURS)[n % 8], words[list(COLOURS)[n % 8]]] for n in range(80)]
    table = write_rows(squares.parent / "several.csv", ["photo", "en", "fr"], rows)
    run(table, tmp_path / "several", "run.epochs=100", "run.eval_every=1000", steps=80)
    told = json.loads((tmp_path / "several" / "sensorium.json").read_text(encoding="utf-8"))
    assert told["data"]["columns"] == {"photo": "image", "en": "text", "fr": "text"}
    model = sm.load(tmp_path / "several", device="cpu")
    cosines = model.similarity(model.embed(list(words)), model.embed(list(words.values())))
    assert (cosines.argmax(1) == np.arange(8)).mean() > 0.8


def test_corrupt_files_are_counted_and_training_goes_on(squares: Path, tmp_path: Path) -> None:
    rows = [[f"{n}.png", f"text {n}"] for n in range(20)] + [["broken.png", "broken"], ["gone.png", "gone"]]
    (squares.parent / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    table = write_rows(squares.parent / "corrupt.csv", ["photo", "caption"], rows)
    notes = " ".join(run(table, tmp_path / "out", steps=2).notes)
    assert "2 files could not be read" in notes
    assert "2 rows have fewer than two senses" in notes


def test_what_cannot_be_aligned_leaves_no_folder_behind(squares: Path, tmp_path: Path) -> None:
    table = write_rows(tmp_path / "gone.csv", ["photo", "caption"], [["a.png", "one"], ["b.png", "two"]])
    with pytest.raises(DataError, match="none of its 2 files can be read"):
        run(table, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="no column of texts"):
        run(tones(tmp_path), tmp_path / "out", columns={"photo": "image", "sound": "audio"}, text_from=tmp_path)


def test_a_model_is_not_overwritten_unless_it_is_said(learned: tuple[Path, sm.Run], squares: Path) -> None:
    with pytest.raises(InputError, match="already exists"):
        run(squares, learned[0])
    with pytest.raises(InputError, match="Choose one of them"):
        run(squares, learned[0], resume=True, force=True)


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("image.heads=3", "not a multiple"),
        ("imag.size=3", "did you mean image"),
        ("batch.rows=1", "no negatives"),
        ("loss=infonce", "not one of clip, siglip"),
        ("image.patch=65", "does not fit"),
        ("text.vocab=10", "less than 263"),
        ("run.held_out=1.0", "not a share"),
    ],
)
def test_wrong_settings_are_told(squares: Path, tmp_path: Path, setting: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        align(squares, out=tmp_path / "out", overrides=[setting], device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_recipe_file_says_only_what_is_other(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('loss = "siglip"\n[image]\nlayers = 2\n[run]\nsteps = 5\n', encoding="utf-8")
    recipe = read_recipe(AlignRecipe, path, ["image.dim=64"])
    assert (recipe.loss, recipe.image.layers, recipe.image.dim, recipe.run.steps) == ("siglip", 2, 64, 5)
    assert recipe.run.eval_tokens == AlignRecipe().run.eval_tokens
    assert recipe.text == AlignRecipe().text


def test_force_leaves_a_model_whose_successor_cannot_be_made(squares: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    run(squares, out)
    before = (out / "model.safetensors").read_bytes()
    broken = tmp_path / "broken.csv"
    broken.write_text("image,text\ngone.png,one\naway.png,two\n")
    with pytest.raises(DataError):
        run(broken, out, force=True)
    assert (out / "model.safetensors").read_bytes() == before
    run(squares, out, steps=3, force=True)
    assert (out / "model.safetensors").read_bytes() != before
