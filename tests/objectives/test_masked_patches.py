"""Masked patches: the loss is of hidden patches alone, as worked out by hand, and falls; the encoder is a stock ViT."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sensorium.core.fresh import initialise_senses
from sensorium.core.sense_encoder import SenseModelConfig
from sensorium.core.senses import PatchEmbedConfig
from sensorium.errors import ConfigError
from sensorium.families import vit
from sensorium.families.senses import write_senses
from sensorium.objectives.masked_patches import MaskedAutoencoder, draw_visible, masked_autoencoder, masked_loss

SMALL = {"dim": 16, "layers": 2, "heads": 2, "feedforward": 32}


def model(seed: int = 0, **changes) -> MaskedAutoencoder:
    torch.manual_seed(seed)
    encoder = vit.sized(size=(16, 16), patch=(4, 4), **SMALL)
    built = MaskedAutoencoder(masked_autoencoder(encoder, dim=8, layers=1, heads=2, **changes))
    initialise_senses(built, std=0.2)
    return built


def visible_of(built: MaskedAutoencoder, rows: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(np.stack([draw_visible(built.config, rng) for _ in range(rows)]))


def test_the_loss_is_what_it_is_by_hand() -> None:
    built, x = model(), torch.randn(3, 3, 16, 16)
    visible = visible_of(built, 3)
    found = built(x, visible)
    total, count = 0.0, 0
    for row in range(3):
        for patch in range(16):
            if patch in visible[row].tolist():
                continue
            top, left = 4 * (patch // 4), 4 * (patch % 4)
            values = x[row, :, top : top + 4, left : left + 4].flatten()
            wanted = (values - values.mean()) / (values.var() + 1e-6).sqrt()
            total += float((found[row, patch] - wanted).square().mean().detach())
            count += 1
    assert count == 3 * 12
    assert float(masked_loss(found, built.targets(x), visible).detach()) == pytest.approx(total / count, rel=1e-5)


def test_only_hidden_patches_count_and_only_visible_ones_are_read() -> None:
    built, x = model().eval(), torch.randn(1, 3, 16, 16)
    visible = visible_of(built, 1)
    found = built(x, visible)
    shown = found.detach().clone()
    shown[0, visible[0]] += 5.0
    targets = built.targets(x)
    torch.testing.assert_close(masked_loss(shown, targets, visible), masked_loss(found, targets, visible))
    hidden = next(patch for patch in range(16) if patch not in visible[0].tolist())
    changed = x.clone()
    top, left = 4 * (hidden // 4), 4 * (hidden % 4)
    changed[0, :, top : top + 4, left : left + 4] += 1.0
    assert torch.equal(built(changed, visible), found)


def test_the_loss_falls_on_stripes() -> None:
    built = model(normalised=False)
    rng = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(built.parameters(), lr=3e-3)
    draws = np.random.default_rng(0)
    losses = []
    for _ in range(120):
        colour = torch.rand(16, 3, 1, 1, generator=rng)
        x = colour.expand(-1, -1, 16, 16).contiguous()
        visible = torch.from_numpy(np.stack([draw_visible(built.config, draws) for _ in range(16)]))
        loss = masked_loss(built(x, visible), built.targets(x), visible)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-10:]) < 0.15 * np.mean(losses[:3])


def test_all_patches_visible_gives_the_encoders_own_hidden_states() -> None:
    built, x = model().eval(), torch.randn(2, 3, 16, 16)
    every = torch.arange(16).expand(2, -1)
    read = built.encoder.tower.stack(x, visible=every)
    torch.testing.assert_close(read, built.encoder(x))


def test_the_encoder_alone_is_a_stock_vit(tmp_path) -> None:
    hf = pytest.importorskip("transformers")
    built, x = model().eval(), torch.randn(2, 3, 16, 16)
    write_senses(tmp_path, built.encoder)
    theirs = hf.ViTModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(x).last_hidden_state, built.encoder(x), atol=1e-5, rtol=1e-4)


def test_of_tubelets_the_same_places_are_hidden_at_all_times() -> None:
    tower = vit.sized(size=(16, 16), patch=(4, 4), **SMALL).tower
    embed = PatchEmbedConfig(channels=3, size=(4, 16, 16), patch=(2, 4, 4), bias=True, cls=True)
    from dataclasses import replace

    config = masked_autoencoder(
        SenseModelConfig(tower=replace(tower, stack=replace(tower.stack, embed=embed))), dim=8, layers=1, heads=2
    )
    visible = draw_visible(config, np.random.default_rng(0))
    assert len(visible) == 8 == config.kept
    assert (visible[:4] + 16).tolist() == visible[4:].tolist()
    built = MaskedAutoencoder(config)
    initialise_senses(built)
    found = built(torch.randn(2, 3, 4, 16, 16), torch.from_numpy(visible).expand(2, -1))
    assert found.shape == (2, 32, 3 * 2 * 4 * 4)


def test_spectrograms_are_pictures_of_one_channel() -> None:
    config = masked_autoencoder(vit.sized(size=(16, 40), patch=(8, 8), channels=1, **SMALL), dim=8, layers=1, heads=2)
    built = MaskedAutoencoder(config)
    visible = torch.from_numpy(draw_visible(config, np.random.default_rng(0)))[None]
    assert built(torch.randn(1, 1, 16, 40), visible).shape == (1, 10, 64)


@pytest.mark.parametrize("hidden", [0.0, 0.99, 1.0])
def test_a_share_that_leaves_nothing_to_read_or_to_predict_is_refused(hidden: float) -> None:
    with pytest.raises(ConfigError, match="leaves no patch"):
        model(hidden=hidden)
