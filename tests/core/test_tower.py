"""A tower pools what its stack says, by hand the same; towers of one space, and clips frame by frame."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sensorium.core.config import FeedForwardConfig
from sensorium.core.count_senses import sense_parameters, tower_flops
from sensorium.core.sense_encoder import SenseEncoder, SenseModelConfig
from sensorium.core.tower import CLIP_SCALE, Aligned, AlignedConfig, PoolConfig, Tower, TowerConfig
from sensorium.errors import ConfigError, InputError
from tests.core import models
from tests.core.towers import NORM, PICTURES, VECTORS, given, sense, tower, varied

FEED = FeedForwardConfig(width=24, activation="gelu", gated=False, bias=True)
ATTENTION = PoolConfig(kind="attention", norm=NORM, heads=4, feedforward=FEED)
POOLS = {
    "first": PoolConfig(kind="first"),
    "first normed": PoolConfig(kind="first", norm=NORM),
    "first through a pooler": PoolConfig(kind="first", norm=NORM, pooler=True),
    "last": PoolConfig(kind="last"),
    "mean": PoolConfig(kind="mean"),
    "attention": ATTENTION,
}
VALID = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]], dtype=torch.bool)
IDS = torch.tensor([[3, 9, 4, 9, 5, 6], [9, 3, 7, 9, 9, 9], [4, 9, 0, 0, 0, 0]])
CLOSE = dict(atol=1e-5, rtol=1e-5)


def texts(pool: PoolConfig, **options) -> TowerConfig:
    return TowerConfig(stack=models.bert().stack, pool=pool, projection=7, **options)


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS.keys())
def test_a_tower_pools_as_by_hand(pool: PoolConfig) -> None:
    model = varied(Tower(tower(pool)))
    x = given(PICTURES)
    hidden = model.stack(x)
    match pool.kind:
        case "first":
            vector = hidden[:, 0]
        case "last":
            vector = hidden[:, -1]
        case "mean":
            vector = hidden.mean(1)
        case _:
            vector = model.pool(hidden)
    if model.norm is not None:
        vector = model.norm(vector)
    if model.pooler is not None:
        vector = torch.tanh(F.linear(vector, model.pooler.weight, model.pooler.bias))
    torch.testing.assert_close(model(x), F.linear(vector, model.projection.weight), **CLOSE)
    torch.testing.assert_close(model.pooled(model.hidden(x)), model(x), **CLOSE)
    assert model(x).shape == (3, model.config.width)


def test_attention_pooling_is_multi_head_attention_of_pytorch() -> None:
    pool = varied(Tower(tower(ATTENTION))).pool
    theirs = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([pool.q.weight, pool.k.weight, pool.v.weight]))
        theirs.in_proj_bias.copy_(torch.cat([pool.q.bias, pool.k.bias, pool.v.bias]))
        theirs.out_proj.load_state_dict(pool.out.state_dict())
    hidden = torch.randn(3, 6, 16, generator=torch.Generator().manual_seed(3))
    for valid in (None, VALID):
        query = pool.query.expand(3, 1, -1)
        x = theirs(query, hidden, hidden, key_padding_mask=None if valid is None else ~valid)[0][:, 0]
        torch.testing.assert_close(pool(hidden, valid), x + pool.feedforward(pool.norm(x)), **CLOSE)


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS.keys())
@pytest.mark.parametrize("backend", ["auto", "sdpa"])
def test_padding_does_not_change_the_vector_of_a_text(pool: PoolConfig, backend: str) -> None:
    model = varied(Tower(texts(pool)))
    together = model(IDS, valid=VALID, backend=backend)
    for row, valid, vector in zip(IDS, VALID, together, strict=True):
        torch.testing.assert_close(model(row[valid][None])[0], vector, **CLOSE)


def test_a_text_is_pooled_at_its_first_end_token() -> None:
    model = varied(Tower(texts(PoolConfig(kind="eos", eos_id=9))))
    hidden = model.stack(IDS)
    expected = model.projection(hidden[torch.arange(3), torch.tensor([1, 0, 1])])
    torch.testing.assert_close(model(IDS), expected, **CLOSE)
    hidden = model.stack(IDS, valid=VALID)
    expected = model.projection(hidden[torch.arange(3), torch.tensor([1, 3, 1])])
    torch.testing.assert_close(model(IDS, valid=VALID), expected, **CLOSE)


def test_the_first_clip_models_pool_at_the_highest_id() -> None:
    model = varied(Tower(texts(PoolConfig(kind="eos"))))
    hidden = model.stack(IDS)
    torch.testing.assert_close(model(IDS), model.projection(hidden[torch.arange(3), torch.tensor([1, 0, 1])]), **CLOSE)


def test_a_text_without_an_end_token_is_refused() -> None:
    model = Tower(texts(PoolConfig(kind="eos", eos_id=9)))
    with pytest.raises(InputError, match="lacks the end token 9"):
        model(IDS.masked_fill(IDS == 9, 1))
    with pytest.raises(ConfigError, match="by their ids"):
        model.pooled(model.hidden(IDS))


def test_padding_is_read_where_the_model_was_trained_on_it() -> None:
    model = varied(Tower(texts(PoolConfig(kind="last"), reads_padding=True)))
    torch.testing.assert_close(model(IDS, valid=VALID), model(IDS))


def clips(*, cls: bool) -> TowerConfig:
    return tower(PoolConfig(kind="first", norm=NORM), time=sense(replace(VECTORS, cls=cls)))


@pytest.mark.parametrize("cls", [True, False])
def test_a_clip_is_read_frame_by_frame_and_then_over_time(cls: bool) -> None:
    model = varied(Tower(clips(cls=cls)))
    frames = torch.stack([given(PICTURES), given(PICTURES) + 1, given(PICTURES).flip(1)], dim=1)
    vectors = torch.stack([model.norm(model.stack(frames[:, i])[:, 0]) for i in range(3)], dim=1)
    told = model.time(vectors)
    torch.testing.assert_close(model.hidden(frames), told, **CLOSE)
    told = told[:, 0] if cls else told.mean(1)
    torch.testing.assert_close(model(frames), model.projection(told), **CLOSE)


def test_the_order_of_frames_matters() -> None:
    model = varied(Tower(clips(cls=True)))
    frames = torch.stack([given(PICTURES), given(PICTURES) + 1], dim=1)
    assert not torch.allclose(model(frames), model(frames.flip(1)), atol=1e-3)


def aligned(**options) -> AlignedConfig:
    towers = (("image", tower(POOLS["first"])), ("text", texts(POOLS["mean"])), ("video", clips(cls=True)))
    return AlignedConfig(towers=towers, scale=CLIP_SCALE, **options)


@pytest.mark.parametrize("bias", [None, -10.0])
def test_towers_of_one_space_give_scaled_cosines(bias: float | None) -> None:
    model = Aligned(aligned(bias=bias)).eval()
    image, text = model.embed("image", given(PICTURES)), model.embed("text", IDS, valid=VALID)
    torch.testing.assert_close(image.norm(dim=-1), torch.ones(3))
    cosines = F.cosine_similarity(image[:, None], text[None], dim=-1)
    torch.testing.assert_close(model.logits(image, text), cosines / 0.07 + (bias or 0.0), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "towers",
    [
        (("image", tower(POOLS["first"])),),
        (("image", tower(POOLS["first"])), ("image", texts(POOLS["first"]))),
        (("image", tower(POOLS["first"], projection=8)), ("text", texts(POOLS["first"]))),
    ],
    ids=["one", "one name twice", "two widths"],
)
def test_towers_that_cannot_be_aligned_are_refused(towers) -> None:
    with pytest.raises(ConfigError, match="cannot be aligned"):
        AlignedConfig(towers=towers, scale=0.0)


def test_poolings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="has a norm and a feed-forward"):
        PoolConfig(kind="attention")
    with pytest.raises(ConfigError, match="multiple of the pooling's 5 heads"):
        tower(replace(ATTENTION, heads=5))
    with pytest.raises(ConfigError, match="only texts are pooled at their end"):
        tower(PoolConfig(kind="eos", eos_id=9))


def test_an_encoder_of_pictures_tells_classes() -> None:
    config = SenseModelConfig(tower=tower(POOLS["first"], projection=None), n_classes=2, labels=("cat", "dog"))
    model = varied(SenseEncoder(config))
    hidden = model(given(PICTURES))
    torch.testing.assert_close(model.class_logits(hidden), model.classes(hidden[:, 0]), **CLOSE)
    with pytest.raises(ConfigError, match="no class head"):
        SenseEncoder(replace(config, n_classes=0, labels=())).class_logits(hidden)
    with pytest.raises(ConfigError, match="2 labels for 3 classes"):
        replace(config, n_classes=3)


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS.keys())
def test_parameters_are_counted_from_the_configuration(pool: PoolConfig) -> None:
    for config in (tower(pool), replace(tower(pool), projection_bias=True), texts(pool)):
        assert sense_parameters(config) == sum(p.numel() for p in Tower(config).parameters())
    for whole in (aligned(), aligned(bias=0.0)):
        assert sense_parameters(whole) == sum(p.numel() for p in Aligned(whole).parameters())
    classes = SenseModelConfig(tower=tower(pool), n_classes=3)
    assert sense_parameters(classes) == sum(p.numel() for p in SenseEncoder(classes).parameters())


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS.keys())
@pytest.mark.parametrize("kind", ["pictures", "clips", "texts"])
def test_operations_are_those_that_pytorch_counts(pool: PoolConfig, kind: str) -> None:
    time = sense(VECTORS) if kind == "clips" else None
    config = texts(pool) if kind == "texts" else tower(pool, time=time)
    x = {"pictures": given(PICTURES), "clips": given(PICTURES)[:, None].expand(-1, 4, -1, -1, -1), "texts": IDS}[kind]
    with FlopCounterMode(display=False) as counted, sdpa_kernel(SDPBackend.MATH):  # the others it does not count
        Tower(config)(x)
    assert tower_flops(config, length=6 if kind == "texts" else None) * 3 == pytest.approx(counted.get_total_flops())
