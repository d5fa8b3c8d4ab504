"""What holds of every kind of feature-level fusion."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sensorium.errors import CapabilityError, ConfigError
from sensorium.fusion.features.base import KINDS, FusionConfig, Kind
from sensorium.fusion.features.build import build_fusion

TOKENS = {"text": 3, "audio": 2, "image": 4}
every = pytest.mark.parametrize("kind", KINDS)


def draw(tokens: dict[str, int] = TOKENS, *, rows: int = 5, dim: int = 8, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(rows, count, dim, generator=generator) for name, count in tokens.items()}


def built(kind: Kind, tokens: dict[str, int] = TOKENS, **settings: float):
    torch.manual_seed(0)
    return build_fusion(FusionConfig(kind=kind, **({"dim": 8, "heads": 2} | settings)), tokens)


@every
@settings(max_examples=6)
@given(
    tokens=st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 3), min_size=2, max_size=4),
    rows=st.integers(1, 3),
)
def test_one_vector_a_row(kind: Kind, tokens: dict[str, int], rows: int) -> None:
    out = built(kind, tokens)(draw(tokens, rows=rows))
    assert out.shape == (rows, 8)
    assert out.isfinite().all()


@every
def test_the_order_of_keys_does_not_matter(kind: Kind) -> None:
    features = draw()
    backwards = dict(reversed(features.items()))
    one, other = built(kind).eval(), built(kind, dict(reversed(TOKENS.items()))).eval()
    assert list(backwards) != list(features)
    assert one.names == other.names == ("audio", "image", "text")
    torch.testing.assert_close(one(backwards), one(features), rtol=0, atol=0)
    torch.testing.assert_close(other(features), one(features), rtol=0, atol=0)


@every
def test_modalities_may_be_called_as_anything(kind: Kind) -> None:
    tokens = {"a.b": 2, "type": 1, "keys": 1, "": 1}
    assert built(kind, tokens)(draw(tokens)).shape == (5, 8)


@every
def test_rows_do_not_depend_on_one_another(kind: Kind) -> None:
    fusion, features = built(kind).eval(), draw()
    alone = torch.cat([fusion({name: x[row : row + 1] for name, x in features.items()}) for row in range(5)])
    torch.testing.assert_close(alone, fusion(features), rtol=1e-5, atol=1e-6)


@every
def test_every_input_and_every_parameter_receives_a_gradient(kind: Kind) -> None:
    fusion, features = built(kind, dropout=0.0), draw()
    for x in features.values():
        x.requires_grad_()
    weight = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    (fusion(features) * weight).sum().backward()
    for name, x in {**features, **dict(fusion.named_parameters())}.items():
        assert x.grad is not None, name
        assert x.grad.isfinite().all(), name
        assert float(x.grad.norm()) > 1e-6, name


@every
def test_dropout_acts_in_training_only(kind: Kind) -> None:
    fusion, features = built(kind, dropout=0.5), draw()
    assert not torch.equal(fusion(features), fusion(features))
    fusion.eval()
    assert torch.equal(fusion(features), fusion(features))


@every
def test_a_state_dict_round_trip_changes_nothing(kind: Kind) -> None:
    fusion, features = built(kind).eval(), draw()
    torch.manual_seed(1)
    other = build_fusion(fusion.config, fusion.tokens).eval()
    assert not torch.equal(other(features), fusion(features))
    other.load_state_dict(fusion.state_dict())
    assert torch.equal(other(features), fusion(features))


@every
def test_one_modality_is_fused_where_the_kind_can(kind: Kind) -> None:
    tokens = {"text": 3}
    if kind in ("cross", "film"):
        with pytest.raises(ConfigError, match="takes 2 modalities or more, not 1"):
            built(kind, tokens)
    else:
        assert built(kind, tokens)(draw(tokens)).shape == (5, 8)


@every
def test_in_half_precision_it_runs_under_autocast(kind: Kind) -> None:
    fusion, features = built(kind, dropout=0.0), draw()
    expected = fusion(features)
    with torch.autocast("cpu", torch.bfloat16):
        out = fusion(features)
    torch.testing.assert_close(out.float(), expected, rtol=0.05, atol=0.1)


def test_a_missing_and_a_foreign_modality_are_named() -> None:
    fusion, features = built("concat"), draw()
    features["vidoe"] = features.pop("audio")
    with pytest.raises(
        CapabilityError, match=r"without 'audio' and with the unknown 'vidoe'.*'audio', 'image', 'text'"
    ):
        fusion(features)


@pytest.mark.parametrize("shape", [(5, 3, 8), (4, 4, 8), (5, 4, 6)], ids=["tokens", "rows", "width"])
def test_features_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(CapabilityError, match=r"image: features of shape \(.*; the fusion was built for \(5, 4, 8\)"):
        built("concat")(draw() | {"image": torch.zeros(shape)})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "shared", "dim": 6, "heads": 4}, "heads=4 does not divide dim=6"),
        ({"layers": 0}, "layers=0 must be at least 1"),
        ({"dropout": 1.0}, r"dropout=1.0 is not in \[0, 1\)"),
    ],
)
def test_settings_without_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FusionConfig(**({"kind": "concat", "dim": 8} | settings))


def test_an_unknown_kind_is_answered_with_the_likeliest() -> None:
    config = FusionConfig(kind="concat", dim=8)
    object.__setattr__(config, "kind", "lowrank")  # past beartype, which is on in tests only
    with pytest.raises(ConfigError, match="unknown kind of fusion 'lowrank'; did you mean 'low_rank'"):
        config.__post_init__()


@pytest.mark.parametrize(("tokens", "message"), [({}, "no modality"), ({"text": 0}, "a modality of 0 tokens")])
def test_modalities_without_tokens_are_refused(tokens: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        built("concat", tokens)


def exclusive_or(rows: int, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """Two modalities of one bit each, in noise; the class is whether they differ."""
    generator = torch.Generator().manual_seed(seed)
    features, bits = {}, []
    for name in ("left", "right"):
        bit = torch.randint(0, 2, (rows,), generator=generator)
        direction = torch.randn(2, 16, generator=torch.Generator().manual_seed(len(name)))
        noise = 0.3 * torch.randn(rows, 2, 16, generator=generator)
        features[name] = (2 * bit - 1)[:, None, None] * direction + noise
        bits.append(bit)
    return features, bits[0] ^ bits[1]


def accuracy(fused: nn.Module | None, name: str | None, *, steps: int = 80) -> float:
    """On fresh rows, of a linear classifier over the fused vector, or over one modality's tokens."""
    torch.manual_seed(0)
    head = nn.Linear(16 if fused is not None else 32, 2)
    model = head if fused is None else nn.ModuleList([fused, head])

    def logits(features: dict[str, Tensor]) -> Tensor:
        return head(features[name].flatten(1) if fused is None else fused(features))

    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    features, classes = exclusive_or(256, seed=0)
    for _ in range(steps):
        optimiser.zero_grad()
        F.cross_entropy(logits(features), classes).backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        features, classes = exclusive_or(1000, seed=1)
        return float((logits(features).argmax(1) == classes).float().mean())


@every
def test_what_two_modalities_say_only_together_is_learned(kind: Kind) -> None:
    fusion = built(kind, {"left": 2, "right": 2}, dim=16, rank=4, bottlenecks=2)
    assert accuracy(fusion, None) > 0.97


@pytest.mark.parametrize("name", ["left", "right"])
def test_one_of_them_alone_says_nothing(name: str) -> None:
    assert accuracy(None, name) < 0.6
