"""Augmentation: seeded, of the shape and kind that was given, within its bounds; and what each promises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from sensorium.errors import InputError
from sensorium.modalities.augment import frame_dropout, mixup, token_dropout
from sensorium.modalities.augment_images import colour_jitter, horizontal_flip, random_resized_crop
from sensorium.modalities.augment_sounds import random_gain, random_shift, spec_augment
from tests.modalities.files import texture


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 4, height: int = 40, width: int = 56) -> torch.Tensor:
    return torch.from_numpy(np.stack([texture(height, width, seed=s) for s in range(count)])).permute(0, 3, 1, 2)


CASES: list[Callable[[torch.Generator], torch.Tensor]] = [
    lambda g: random_resized_crop(pictures(), (16, 20), generator=g),
    lambda g: horizontal_flip(pictures(), generator=g),
    lambda g: colour_jitter(pictures(), generator=g),
    lambda g: spec_augment(torch.linspace(-1, 1, 4000).view(2, 40, 50), generator=g),
    lambda g: random_gain(torch.ones(3, 100), generator=g),
    lambda g: random_shift(torch.arange(300.0).view(3, 100), most=20, generator=g),
    lambda g: frame_dropout(torch.arange(40).view(4, 10), p=0.5, generator=g),
    lambda g: token_dropout(torch.arange(40).view(4, 10), p=0.5, replacement=99, generator=g),
    lambda g: mixup({"a": torch.arange(8.0).view(8, 1)}, torch.eye(8), generator=g)[1],
]


@pytest.mark.parametrize("augment", CASES)
def test_a_seed_repeats_itself_and_another_does_not(augment: Callable[[torch.Generator], torch.Tensor]) -> None:
    assert torch.equal(augment(seeded()), augment(seeded()))
    assert any(not torch.equal(augment(seeded()), augment(seeded(other))) for other in (1, 2, 3))


def test_nothing_is_changed_in_place() -> None:
    images, sounds, ids = pictures().float() / 255, torch.rand(2, 50), torch.arange(10).view(2, 5)
    kept = images.clone(), sounds.clone(), ids.clone()
    random_resized_crop(images, (8, 8), generator=seeded())
    horizontal_flip(images, p=1.0, generator=seeded())
    colour_jitter(images, generator=seeded())
    frame_dropout(images[None], p=1.0, generator=seeded())
    random_gain(sounds, generator=seeded())
    random_shift(sounds, most=9, generator=seeded())
    token_dropout(ids, p=1.0, replacement=0, generator=seeded())
    mixup({"image": images[:2], "sound": sounds}, torch.eye(2), generator=seeded())
    assert all(torch.equal(now, then) for now, then in zip((images, sounds, ids), kept, strict=True))


def test_the_whole_picture_is_the_largest_crop() -> None:
    images = pictures(2, 40, 40)
    whole = random_resized_crop(images, (40, 40), scale=(1.0, 1.0), ratio=(1.0, 1.0), generator=seeded())
    assert torch.equal(whole, images)


@settings(max_examples=40)
@given(
    height=st.integers(1, 50),
    width=st.integers(1, 50),
    low=st.floats(0.01, 1),
    seed=st.integers(0, 99),
    bytes_=st.booleans(),
)
def test_a_crop_of_any_picture_has_the_size_asked_for(
    height: int, width: int, low: float, seed: int, bytes_: bool
) -> None:
    images = torch.full((2, 3, height, width), 7, dtype=torch.uint8)
    images = images if bytes_ else images.float()
    parts = random_resized_crop(images, (9, 4), scale=(low, 1.0), generator=seeded(seed))
    assert parts.shape == (2, 3, 9, 4)
    assert parts.dtype == images.dtype
    torch.testing.assert_close(parts.float(), torch.full((2, 3, 9, 4), 7.0))


def test_a_flip_mirrors_some_pictures_and_leaves_the_others() -> None:
    images = pictures(1).repeat(400, 1, 1, 1)
    flipped = horizontal_flip(images, p=0.25, generator=seeded())
    mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    assert torch.equal(flipped[~mirrored], images[~mirrored])
    assert 60 < int(mirrored.sum()) < 140


@pytest.mark.parametrize(
    ("name", "enhancer"),
    [("brightness", ImageEnhance.Brightness), ("contrast", ImageEnhance.Contrast), ("saturation", ImageEnhance.Color)],
)
def test_colours_change_as_pillow_changes_them(
    name: str, enhancer: Callable[[Image.Image], ImageEnhance._Enhance]
) -> None:
    images = pictures(6)
    strengths = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, name: 0.5}
    changed = colour_jitter(images, **strengths, generator=seeded())
    row = ["brightness", "contrast", "saturation"].index(name)
    factors = 1 + (torch.rand(3, 6, generator=seeded()) * 2 - 1)[row] * 0.5
    for image, factor, ours in zip(images, factors, changed, strict=True):
        expected = enhancer(Image.fromarray(image.permute(1, 2, 0).numpy())).enhance(float(factor))
        difference = ours.permute(1, 2, 0).int() - torch.from_numpy(np.array(expected)).int()
        assert int(difference.abs().max()) <= 2


def test_masks_are_runs_that_show_the_mean() -> None:
    mels = torch.randn(64, 80, 300, generator=seeded())
    masked = spec_augment(mels, time_masks=1, time_share=0.1, mel_masks=1, mel_share=0.25, generator=seeded(1))
    hidden = masked != mels
    assert torch.equal(masked[~hidden], mels[~hidden])
    torch.testing.assert_close(masked[hidden], mels.mean((1, 2), keepdim=True).expand_as(mels)[hidden])
    times, tones = hidden.all(1).sum(1), hidden.all(2).sum(1)
    assert int(times.max()) <= 30
    assert int(tones.max()) <= 20
    assert int(times.max()) > 20
    assert len(times.unique()) > 10
    assert torch.equal(spec_augment(mels, time_masks=0, mel_masks=0, generator=seeded()), mels)
    starts = hidden.all(1).int().diff(dim=1, prepend=torch.zeros(64, 1, dtype=torch.int)).eq(1).sum(1)
    assert int(starts.max()) == 1


def test_gain_is_in_decibels() -> None:
    changed = random_gain(torch.ones(500, 3), decibels=(-20.0, 0.0), generator=seeded())
    assert 0.1 <= float(changed.min()) < 0.12
    assert 0.9 < float(changed.max()) <= 1.0
    assert torch.equal(changed[:, 0], changed[:, 2])


def test_a_shift_moves_and_fills_with_silence() -> None:
    sounds = torch.arange(1.0, 101.0).repeat(50, 1)
    shifted = random_shift(sounds, most=10, generator=seeded())
    for row in shifted:
        heard = row.nonzero()[:, 0]
        offset = int(heard[0] - (row[heard[0]] - 1))
        assert -10 <= offset <= 10
        expected = torch.zeros(100)
        expected[max(0, offset) : 100 + min(0, offset)] = sounds[0, max(0, -offset) : 100 - max(0, offset)]
        assert torch.equal(row, expected)


def test_a_lost_frame_shows_the_one_before() -> None:
    clips = torch.arange(10).repeat(200, 1)
    kept = frame_dropout(clips, p=0.5, generator=seeded())
    assert (kept[:, 0] == 0).all()
    assert (kept <= clips).all()
    assert (kept.diff() >= 0).all()
    assert 0.4 < float((kept[:, 1:] == clips[:, 1:]).float().mean()) < 0.6
    assert torch.equal(frame_dropout(clips, p=0.0, generator=seeded()), clips)
    assert not frame_dropout(clips, p=1.0, generator=seeded()).any()


def test_tokens_that_must_stay_do() -> None:
    ids = torch.arange(1000).view(10, 100)
    keep = ids % 10 == 0
    dropped = token_dropout(ids, p=0.3, replacement=-1, keep=keep, generator=seeded())
    assert torch.equal(dropped[keep], ids[keep])
    assert 0.2 < float((dropped[~keep] == -1).float().mean()) < 0.4


def test_all_modalities_and_the_target_are_mixed_alike() -> None:
    inputs = {"image": torch.rand(32, 3, 4, 4, generator=seeded()), "sound": torch.arange(32.0).view(32, 1)}
    mixed, targets = mixup(inputs, torch.eye(32), alpha=1.0, generator=seeded())
    torch.testing.assert_close(targets.sum(1), torch.ones(32))
    torch.testing.assert_close(mixed["sound"], targets @ inputs["sound"])
    torch.testing.assert_close(mixed["image"].flatten(1), targets @ inputs["image"].flatten(1))
    assert int((targets.diagonal() < 1).sum()) > 20


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(InputError):
        random_resized_crop(pictures(), (8, 8), scale=(0.0, 1.0), generator=seeded())
    with pytest.raises(InputError):
        colour_jitter(pictures(), contrast=-1.0, generator=seeded())
    with pytest.raises(InputError):
        spec_augment(torch.zeros(1, 4, 4), time_share=2.0, generator=seeded())
    with pytest.raises(InputError):
        random_shift(torch.zeros(1, 4), most=-1, generator=seeded())
    with pytest.raises(InputError):
        frame_dropout(torch.zeros(1, 4), p=1.5, generator=seeded())
    with pytest.raises(InputError):
        mixup({}, torch.eye(2), alpha=0.0, generator=seeded())
    with pytest.raises(InputError, match="not all inputs hold 2 examples"):
        mixup({"a": torch.zeros(3, 1)}, torch.eye(2), generator=seeded())
