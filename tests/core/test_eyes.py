"""A decoder that sees: placeholders are counted, pictures keep their places, a resampler gives a fixed number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.core.eyes import SeeingConfig, SeeingDecoder, seeing_flops, seeing_parameters
from sensorium.core.resampler import Resampler, ResamplerConfig
from sensorium.core.senses import VectorEmbedConfig
from sensorium.errors import ConfigError, InputError
from sensorium.families import bert, clip, llama

IMAGE = 39
TOWER = clip.image_tower(size=(16, 16), patch=(8, 8), dim=12, layers=2, heads=2, feedforward=24, projection=None)
TEXT = llama.sized(vocab_size=40, dim=16, layers=2, heads=2, feedforward=32, context=64)
CONFIG = SeeingConfig(tower=TOWER, text=TEXT, image_id=IMAGE)
FEW = replace(CONFIG, resampler=ResamplerConfig(queries=3, heads=4))


def model(config: SeeingConfig = CONFIG) -> SeeingDecoder:
    torch.manual_seed(0)
    return SeeingDecoder(config).eval()


def pictures(count: int) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


EYES = model()


@settings(max_examples=30)
@given(placeholders=st.integers(0, 12), count=st.integers(1, 2))
def test_placeholders_must_be_as_many_as_vectors(placeholders: int, count: int) -> None:
    ids = torch.tensor([[1, *[IMAGE] * placeholders, 2]])
    if placeholders == count * CONFIG.features:
        assert EYES(ids, pictures(count)).shape == (1, placeholders + 2, 16)
        return
    with pytest.raises(InputError, match=f"{placeholders} placeholders for pictures, and {count} pictures give"):
        EYES(ids, pictures(count))


def test_vectors_of_pictures_stand_at_their_placeholders() -> None:
    one = [IMAGE] * 4
    ids = torch.tensor([[1, *one, 5, *one], [*one, 6, 7, 8, 9, 10, 11]])
    seen = EYES.see(pictures(3))
    vectors = EYES.vectors(ids, seen)
    table = EYES.text.stack.embed.tokens.weight
    for row, start, number in ((0, 1, 0), (0, 6, 1), (1, 0, 2)):
        assert torch.equal(vectors[row, start : start + 4], seen[number])
    assert torch.equal(vectors[0, 5], table[5])
    assert torch.equal(vectors[1, 4:], table[ids[1, 4:]])


def test_packed_texts_do_not_see_each_others_pictures() -> None:
    rows = [[1, *[IMAGE] * 4, 5, 6], [*[IMAGE] * 4, 7]]
    packed = EYES(torch.tensor([rows[0] + rows[1]]), pictures(2), lengths=(7, 5))[0]
    alone = [EYES(torch.tensor([row]), pictures(2)[i : i + 1])[0] for i, row in enumerate(rows)]
    torch.testing.assert_close(packed, torch.cat(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", [CONFIG, FEW, replace(CONFIG, layers=(-1, 0), drop_first=False, bias=False)])
def test_numbers_are_counted(config: SeeingConfig) -> None:
    eyes = model(config)
    assert seeing_parameters(config) == sum(parameter.numel() for parameter in eyes.parameters())
    assert eyes.see(pictures(2)).shape == (2, config.features, 16)
    assert eyes.look(pictures(2)).shape == (2, config.tokens, config.width)
    assert seeing_flops(config, length=10, logits=0.5) > 0


def test_layers_are_read_side_by_side() -> None:
    both, last, first = (model(replace(CONFIG, layers=layers)).look(pictures(1)) for layers in ((-1, 0), (-1,), (0,)))
    assert torch.equal(both, torch.cat((last, first), dim=-1))


def test_a_resampler_reads_any_number_in_any_order() -> None:
    torch.manual_seed(0)
    resampler = Resampler(ResamplerConfig(queries=3, heads=4, layers=2), 12, 16)
    features = torch.randn(2, 9, 12)
    out = resampler(features)
    assert out.shape == (2, 3, 16)
    torch.testing.assert_close(resampler(features[:, torch.randperm(9)]), out, atol=1e-5, rtol=1e-5)
    out.square().mean().backward()
    assert all(parameter.grad is not None for parameter in resampler.parameters())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(image_id=40), "none of the 40 tokens"),
        (dict(layers=(3,)), "hidden states -3 to 2"),
        (dict(layers=()), "hidden states"),
        (dict(text=replace(TEXT, language=None)), "language head"),
        (dict(text=bert.sized(vocab_size=40, dim=16, layers=1, heads=2, feedforward=32, context=64)), "causal"),
        (dict(tower=replace(TOWER, stack=replace(TOWER.stack, embed=VectorEmbedConfig(width=4, tokens=4, cls=True)))),
         "patches of pictures"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(CONFIG, **change)


def test_a_resampler_of_no_size_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        ResamplerConfig(queries=0)
    with pytest.raises(ConfigError, match="not a multiple"):
        model(replace(CONFIG, resampler=ResamplerConfig(queries=2, heads=5)))
