"""Embeddings of other senses are what PyTorch's convolutions make of them, and read only what they were made for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given as made_of
from hypothesis import settings
from hypothesis import strategies as st

from sensorium.core.capture import Capture
from sensorium.core.config import NormConfig
from sensorium.core.count_senses import sense_parameters
from sensorium.core.senses import (
    MelEmbed,
    PatchEmbed,
    PatchEmbedConfig,
    SenseStack,
    VectorEmbed,
    pick,
    whisper_sinusoids,
)
from sensorium.errors import ConfigError
from tests.core.towers import CLIPS, EMBEDS, MEL, NORM, PICTURES, SPECTROGRAM, VECTORS, given, sense, varied

DIM = 16
PATCHES = {"pictures": PICTURES, "spectrogram": SPECTROGRAM, "clips": CLIPS}
CLOSE = dict(atol=1e-5, rtol=1e-5)


def by_convolution(embed: PatchEmbed, x: torch.Tensor) -> torch.Tensor:
    """The same by PyTorch's own convolution."""
    config = embed.config
    run = F.conv2d if len(config.size) == 2 else F.conv3d
    patches = run(x, embed.weight, embed.bias, stride=config.patch).flatten(2).transpose(1, 2)
    if embed.cls is not None:
        patches = torch.cat((embed.cls.expand(len(x), 1, -1), patches), dim=1)
    vectors = patches + embed.positions.weight
    return vectors if embed.norm is None else embed.norm(vectors)


@pytest.mark.parametrize("config", PATCHES.values(), ids=PATCHES.keys())
def test_patches_are_a_convolution_that_strides_by_its_own_size(config: PatchEmbedConfig) -> None:
    embed, x = varied(PatchEmbed(config, DIM)), given(config)
    vectors = embed(x)
    assert vectors.shape == (3, config.tokens, DIM)
    torch.testing.assert_close(vectors, by_convolution(embed, x), **CLOSE)


@settings(max_examples=30, derandomize=True)
@made_of(st.data(), st.integers(1, 3), st.integers(2, 3), st.booleans(), st.booleans())
def test_patches_of_any_size_are_a_convolution(
    data: st.DataObject, channels: int, dims: int, bias: bool, cls: bool
) -> None:
    patch = tuple(data.draw(st.integers(1, 4)) for _ in range(dims))
    size = tuple(side + data.draw(st.integers(0, 5)) for side in patch)
    config = PatchEmbedConfig(channels=channels, size=size, patch=patch, bias=bias, cls=cls)
    embed, x = varied(PatchEmbed(config, DIM)), given(config, batch=2)
    torch.testing.assert_close(embed(x), by_convolution(embed, x), **CLOSE)


@pytest.mark.parametrize("config", PATCHES.values(), ids=PATCHES.keys())
def test_visible_patches_are_the_same_as_among_all(config: PatchEmbedConfig) -> None:
    embed, x = varied(PatchEmbed(config, DIM)), given(config)
    order = torch.rand(3, config.n_patches, generator=torch.Generator().manual_seed(2)).argsort(1)
    visible = order[:, : config.n_patches // 2]
    some, every = embed(x, visible), embed(x)
    torch.testing.assert_close(some[:, config.cls :], pick(every, visible + config.cls), **CLOSE)
    torch.testing.assert_close(some[:, : config.cls], every[:, : config.cls], **CLOSE)


def test_a_stack_reads_visible_patches_alone() -> None:
    stack = varied(SenseStack(sense(PICTURES)))
    visible = torch.tensor([[5, 0], [1, 2], [7, 7]])
    hidden = stack(given(PICTURES), visible=visible)
    assert hidden.shape == (3, 3, DIM)
    torch.testing.assert_close(stack.run(stack.embed(given(PICTURES), visible)), hidden)
    with pytest.raises(ConfigError, match="only patches can be left out"):
        varied(SenseStack(sense(MEL)))(given(MEL), visible=visible)


@pytest.mark.parametrize("config", PATCHES.values(), ids=PATCHES.keys())
def test_another_size_is_refused(config: PatchEmbedConfig) -> None:
    embed, x = PatchEmbed(config, DIM), given(config)
    for other in (x[..., :-1], x[:, :, 1:], torch.cat((x, x), dim=1)):
        with pytest.raises(ConfigError, match=r"the input is \[.*\], the model reads"):
            embed(other)


def test_patches_that_do_not_fit_are_refused() -> None:
    for size, patch in (((8, 8), (9, 8)), ((8, 8), (4,)), ((8,), (4,)), ((8, 8), (0, 4))):
        with pytest.raises(ConfigError):
            PatchEmbedConfig(channels=3, size=size, patch=patch, bias=True, cls=True)


def test_left_over_pixels_are_not_read() -> None:
    config = PatchEmbedConfig(channels=1, size=(9, 7), patch=(4, 3), bias=True, cls=False)
    embed, x = varied(PatchEmbed(config, DIM)), given(config)
    noisy = x.clone()
    noisy[:, :, 8:], noisy[..., 6:] = 5.0, -5.0
    torch.testing.assert_close(embed(noisy), embed(x))
    assert (config.grid, config.n_patches, config.tokens) == ((2, 2), 4, 4)


def test_mel_frames_are_two_convolutions() -> None:
    embed, x = varied(MelEmbed(MEL, DIM)), given(MEL)
    expected = F.gelu(F.conv1d(x, embed.first.weight, embed.first.bias, padding=1))
    expected = F.gelu(F.conv1d(expected, embed.second.weight, embed.second.bias, stride=2, padding=1))
    torch.testing.assert_close(embed(x), expected.transpose(1, 2) + embed.positions.weight, **CLOSE)
    assert embed(x[..., :7]).shape == (3, 4, DIM)


def test_mel_frames_of_another_kind_are_refused() -> None:
    embed, x = MelEmbed(MEL, DIM), given(MEL)
    for other in (x[:, :-1], torch.cat((x, x), dim=2)):
        with pytest.raises(ConfigError, match="5 mel bands and at most 12 frames"):
            embed(other)


def test_whispers_positions_are_those_of_stock() -> None:
    from transformers.models.whisper.modeling_whisper import sinusoids

    torch.testing.assert_close(whisper_sinusoids(20, DIM), sinusoids(20, DIM))
    embed = MelEmbed(MEL, DIM)
    assert not embed.positions.weight.requires_grad
    assert MelEmbed(replace(MEL, trained_positions=True), DIM).positions.weight.requires_grad


def test_vectors_get_positions_and_a_class_vector() -> None:
    embed, x = varied(VectorEmbed(VECTORS, DIM)), given(VECTORS)
    table = embed.positions.weight
    torch.testing.assert_close(embed(x)[:, 1:], x + table[1:])
    torch.testing.assert_close(embed(x)[:, 0], (embed.cls + table[0]).expand(3, -1))
    torch.testing.assert_close(embed(x[:, :2])[:, 1:], x[:, :2] + table[1:3])
    with pytest.raises(ConfigError, match="5 vectors, the model reads at most 4"):
        embed(torch.zeros(1, 5, DIM))


@pytest.mark.parametrize("config", EMBEDS.values(), ids=EMBEDS.keys())
def test_a_stack_captures_and_counts(config) -> None:
    stack = varied(SenseStack(sense(config)))
    capture = Capture()
    hidden = stack(given(config), capture=capture)
    torch.testing.assert_close(stack(given(config)), hidden, **CLOSE)
    torch.testing.assert_close(stack.final_norm(capture.states[-1]), hidden)
    assert len(capture.attention) == len(stack.blocks)
    assert sense_parameters(stack.config) == sum(parameter.numel() for parameter in stack.parameters())


def test_a_stack_of_another_sense_attends_to_nothing_else() -> None:
    block = sense(PICTURES).blocks[0]
    with pytest.raises(ConfigError, match="no cross-attention"):
        replace(sense(PICTURES), blocks=(replace(block, cross=block.attention),))


def test_recomputed_activations_give_the_same_gradients() -> None:
    stack = varied(SenseStack(sense(replace(PICTURES, norm=NormConfig(kind="layernorm", eps=1e-5))))).train()
    gradients = []
    for again in (False, True):
        stack.gradient_checkpointing = again
        stack.zero_grad()
        stack(given(PICTURES)).square().mean().backward()
        gradients.append([parameter.grad.clone() for parameter in stack.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_half_precision_reads_full_precision_pictures() -> None:
    embed = varied(PatchEmbed(replace(PICTURES, norm=NORM), DIM))
    expected = embed(given(PICTURES))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(embed(given(PICTURES)).float(), expected, atol=0.05, rtol=0.05)
    half = embed.bfloat16()(given(PICTURES))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, atol=0.05, rtol=0.05)
