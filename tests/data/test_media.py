from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from sensorium.data import decoded
from sensorium.data.decoded import ClipSpec
from sensorium.data.media import load_media, normalised, problems_told
from sensorium.errors import ConfigError, DataError, InputError
from sensorium.modalities.audio import read_audio
from sensorium.modalities.mel import MelSpec, log_mel
from sensorium.modalities.pixels import ImageSpec, image_batch

SPEC = ImageSpec(resize=(8, 8))
MEL = MelSpec(seconds=0.5, mels=16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    return tmp_path


def test_pictures_are_decoded_once_and_rows_say_which_have_one(folder: Path) -> None:
    column = load_media(["a.png", None, "b.png", "", "a.png"], "image", SPEC, root=folder)
    assert column.present.tolist() == [True, False, True, False, True]
    assert column.values.shape == (2, 3, 8, 8)
    rows = column.rows([0, 2, 4])
    assert rows.dtype == torch.uint8
    assert torch.equal(rows[0], rows[2])
    assert column.files[0] == column.files[4]
    assert not column.problems


def test_normalised_is_what_image_batch_makes(folder: Path) -> None:
    column = load_media(["a.png", "b.png"], "image", SPEC, root=folder)
    expected = image_batch([folder / "a.png", folder / "b.png"], SPEC)
    assert torch.equal(normalised(column.rows([0, 1]), SPEC), expected)


def test_what_cannot_be_read_is_listed_once_and_is_never_fatal(folder: Path) -> None:
    cells = ["a.png", "broken.png", "gone.png", "broken.png", "nul\0.png", "../out.png"]
    column = load_media(cells, "image", SPEC, root=folder)
    assert column.present.tolist() == [True, False, False, False, False, False]
    assert {path for path, _ in column.problems} == {"broken.png", "gone.png", "nul\0.png", "../out.png"}
    assert len(column.problems) == 4
    told = problems_told(column, "photo")
    assert told is not None
    assert "'photo': 4 files" in told
    assert told.endswith(", named by 5 rows")
    with pytest.raises(InputError, match="row 1 has no image"):
        column.rows([0, 1])


def test_a_path_that_no_file_system_can_hold_is_a_file_that_cannot_be_read(folder: Path) -> None:
    column = load_media(["a.png", "\ud800.png"], "image", SPEC, root=folder)
    assert column.present.tolist() == [True, False]
    told = problems_told(column, "photo")
    assert told is not None
    assert told.startswith("column 'photo': 1 file could not be read (")
    assert told.encode("utf-8")


def test_a_column_without_one_file_is_an_error_unless_allowed(folder: Path) -> None:
    with pytest.raises(DataError, match="none of its 1 files"):
        load_media(["gone.png"], "image", SPEC, root=folder, name="photo")
    with pytest.raises(DataError, match="no row has a path"):
        load_media([None, ""], "image", SPEC, root=folder)
    column = load_media([None, "gone.png"], "image", SPEC, root=folder, some=False)
    assert not column.present.any()


def test_absolute_paths_are_the_users_own(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("table")
    assert load_media([str(folder / "a.png")], "image", SPEC, root=other).present.all()


def test_a_large_column_is_kept_beside_the_run_and_found_again(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "LARGE", 100)
    cache = tmp_path_factory.mktemp("cache")
    cells = ["a.png", "broken.png", "b.png"]
    small = load_media(cells, "image", SPEC, root=folder)
    first = load_media(cells, "image", SPEC, root=folder, cache=cache)
    assert isinstance(first.values, np.memmap)
    assert torch.equal(first.rows([0, 2]), small.rows([0, 2]))
    assert first.problems == small.problems
    written = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    again = load_media(cells, "image", SPEC, root=folder, cache=cache)
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == written
    assert torch.equal(again.rows([0, 2]), small.rows([0, 2]))
    os.utime(folder / "a.png", ns=(1, 1))
    load_media(cells, "image", SPEC, root=folder, cache=cache)
    assert len(list(cache.glob("*.npy"))) == 2


def test_sounds_are_spectrograms_of_one_length(tmp_path: Path) -> None:
    wave = np.sin(np.arange(6000) * 0.2).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", wave, 16_000)
    soundfile.write(tmp_path / "b.wav", wave[:3000], 8_000)
    column = load_media(["a.wav", None, "b.wav"], "audio", MEL, root=tmp_path)
    rows = column.rows([0, 2])
    assert rows.shape == (2, 16, MEL.frames(0))
    expected = log_mel([read_audio(tmp_path / name) for name in ("a.wav", "b.wav")], MEL)
    torch.testing.assert_close(rows, expected, atol=2e-3, rtol=0)


def test_clips_are_frames_and_on_request_their_sound(tmp_path: Path) -> None:
    for name, with_sound in (("a.mkv", True), ("b.mkv", False)):
        with av.open(str(tmp_path / name), "w") as out:
            moving = out.add_stream("ffv1", rate=10)
            moving.width, moving.height, moving.pix_fmt = 16, 16, "yuv420p"
            heard = out.add_stream("pcm_s16le", rate=16_000, layout="mono") if with_sound else None
            for level in range(10):
                picture = np.full((16, 16, 3), 20 * level, dtype=np.uint8)
                out.mux(moving.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            out.mux(moving.encode())
            if heard is not None:
                frame = av.AudioFrame.from_ndarray(np.ones((1, 16_000), dtype=np.int16), format="s16", layout="mono")
                frame.sample_rate = 16_000
                out.mux(heard.encode(frame))
                out.mux(heard.encode())
    spec = ClipSpec(frames=4, size=8, sound=MEL)
    column = load_media(["a.mkv", "b.mkv", None], "video", spec, root=tmp_path)
    assert column.rows([0, 1]).shape == (2, 4, 3, 8, 8)
    assert column.sound is not None
    assert column.sound.present.tolist() == [True, False, False]
    assert column.sound.rows([0]).shape == (1, 16, MEL.frames(0))
    assert column.take([1, 0]).sound is not None
    assert load_media(["a.mkv"], "video", ClipSpec(frames=2, size=8), root=tmp_path).sound is None


def test_a_specification_of_another_kind_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="MelSpec does not say how to read"):
        load_media(["a.png"], "image", MEL, root=folder)
    with pytest.raises(ConfigError, match="equal in length"):
        load_media(["a.png"], "audio", MelSpec(seconds=None), root=folder)
