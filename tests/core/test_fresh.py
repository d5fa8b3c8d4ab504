"""Fresh weights are drawn as the table says, and the same from the same seed."""

from __future__ import annotations

import math

import torch

from sensorium.core.fresh import initialise_senses
from sensorium.core.tower import CLIP_SCALE, Aligned, AlignedConfig
from sensorium.families import clip, siglip
from tests.core.towers import MEL, sense

IMAGE = dict(size=(32, 32), patch=(8, 8), dim=64, layers=4, heads=4, feedforward=128)
TEXT = dict(vocab_size=100, context=16, dim=64, layers=2, heads=4, feedforward=128, projection=64)


def drawn(config: AlignedConfig, seed: int = 0) -> Aligned:
    model = Aligned(config)
    initialise_senses(model, generator=torch.Generator().manual_seed(seed))
    return model


def test_each_parameter_is_drawn_from_its_own_distribution() -> None:
    model = drawn(clip.sized(image=clip.image_tower(**IMAGE, projection=64), text=clip.text_tower(**TEXT, eos_id=3)))
    for name, parameter in model.named_parameters():
        if name == "scale":
            assert parameter.item() == torch.tensor(CLIP_SCALE).item()
        elif parameter.dim() == 1 and not name.endswith("cls"):
            assert bool((parameter == float("norm" in name and name.endswith("weight"))).all()), name
        else:
            end = name.endswith(("attention.out.weight", "feedforward.down.weight"))
            std = 0.02 / math.sqrt(2 * (4 if "image" in name else 2)) if end else 0.02
            assert abs(parameter.std().item() / std - 1) < 6 / math.sqrt(2 * parameter.numel()), name


def test_a_pooling_query_and_a_cosines_shift_are_told_apart() -> None:
    model = drawn(siglip.sized(image=siglip.image_tower(**IMAGE), text=siglip.text_tower(**TEXT)))
    assert model.bias.item() == siglip.BIAS
    assert 0.005 < model.towers["image"].pool.query.std().item() < 0.05


def test_the_same_seed_draws_the_same_and_positions_that_are_not_trained_stay() -> None:
    from sensorium.core.senses import SenseStack, whisper_sinusoids

    config = clip.sized(image=clip.image_tower(**IMAGE, projection=64), text=clip.text_tower(**TEXT, eos_id=3))
    for one, other in zip(drawn(config).parameters(), drawn(config).parameters(), strict=True):
        assert torch.equal(one, other)
    stack = SenseStack(sense(MEL))
    initialise_senses(stack)
    torch.testing.assert_close(stack.embed.positions.weight, whisper_sinusoids(MEL.tokens, 16))
