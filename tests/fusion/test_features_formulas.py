"""Each kind of fusion equals its formula, written down another way, or PyTorch's own layers with the same weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorium.core.block import Block
from sensorium.errors import ConfigError
from sensorium.fusion.features.base import FusionConfig, Kind
from sensorium.fusion.features.build import build_fusion

TOKENS = {"audio": 2, "image": 4, "text": 3}


def built(kind: Kind, tokens: dict[str, int] = TOKENS, **settings: int):
    """With parameters that are all drawn, so that none is left out unnoticed."""
    torch.manual_seed(0)
    fusion = build_fusion(FusionConfig(kind=kind, **({"dim": 8, "heads": 2} | settings)), tokens).eval()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return fusion


def draw(tokens: dict[str, int] = TOKENS) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {name: torch.randn(5, count, 8, generator=generator) for name, count in tokens.items()}


def affine(layer: nn.Module, x: Tensor) -> Tensor:
    return x @ layer.weight.T + layer.bias


def close(got: Tensor, want: Tensor) -> None:
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


def test_concatenation_is_a_network_of_one_hidden_layer() -> None:
    fusion, x = built("concat"), draw()
    joined = torch.cat([x[name].mean(1) for name in sorted(x)], dim=1)
    close(fusion(x), affine(fusion.down, F.gelu(affine(fusion.up, joined))))


def test_the_gated_unit_of_two_is_the_papers() -> None:
    """h = z ∘ tanh(W₁ v₁) + (1 - z) ∘ tanh(W₂ v₂), with one gate z = σ(W [v₁, v₂])."""
    fusion, x = built("gated", {"a": 2, "b": 3}), draw({"a": 2, "b": 3})
    a, b = x["a"].mean(1), x["b"].mean(1)
    weight, bias = fusion.gate.weight[:8] - fusion.gate.weight[8:], fusion.gate.bias[:8] - fusion.gate.bias[8:]
    z = torch.sigmoid(torch.cat((a, b), dim=1) @ weight.T + bias)
    heard = [torch.tanh(affine(layer, v)) for layer, v in zip(fusion.hidden, (a, b), strict=True)]
    close(fusion(x), z * heard[0] + (1 - z) * heard[1])
    close(fusion.gates(x), torch.stack((z, 1 - z), dim=1))


def test_gates_of_three_sum_to_one_and_weigh_what_is_heard() -> None:
    fusion, x = built("gated"), draw()
    gates = fusion.gates(x)
    close(gates.sum(1), torch.ones(5, 8))
    heard = [torch.tanh(affine(layer, x[name].mean(1))) for layer, name in zip(fusion.hidden, sorted(x), strict=True)]
    close(fusion(x), sum(gates[:, i] * heard[i] for i in range(3)))


def test_film_scales_and_shifts_by_what_the_others_say() -> None:
    fusion, x = built("film"), draw()
    heard = []
    for i, name in enumerate(sorted(x)):
        other = sum(x[o].mean(1) for o in x if o != name) / 2
        film = affine(fusion.film[i], other)
        inner = affine(fusion.inner[i], x[name])
        spread = inner.var(-1, keepdim=True, correction=0)
        normed = (inner - inner.mean(-1, keepdim=True)) / (spread + 1e-5).sqrt()
        heard.append(((1 + film[:, None, :8]) * normed + film[:, None, 8:]).clamp(min=0).mean(1))
    close(fusion(x), affine(fusion.out, sum(heard) / 3))


@pytest.mark.parametrize("rank", [1, 4])
def test_low_rank_fusion_is_the_full_tensor_product_with_the_same_factors(rank: int) -> None:
    fusion, x = built("low_rank", rank=rank), draw()
    one = torch.ones(5, 1)
    a, b, c = (torch.cat((x[name].mean(1), one), dim=1) for name in sorted(x))
    full = torch.einsum("bi,bj,bk->bijk", a, b, c)
    assert full.shape == (5, 9, 9, 9)
    factors = [torch.cat((f.weight, f.bias[:, None]), dim=1).view(rank, 8, 9) for f in fusion.factors]
    weight = torch.einsum("r,rdi,rdj,rdk->dijk", fusion.weights, *factors)
    close(fusion(x), torch.einsum("dijk,bijk->bd", weight, full) + fusion.bias)


def torch_weights(ours: nn.Module, theirs: str) -> dict[str, Tensor]:
    """Of an attention, under PyTorch's names, which have a key bias."""
    return {
        f"{theirs}.in_proj_weight": torch.cat((ours.q.weight, ours.k.weight, ours.v.weight)),
        f"{theirs}.in_proj_bias": torch.cat((ours.q.bias, torch.zeros(8), ours.v.bias)),
        f"{theirs}.out_proj.weight": ours.out.weight,
        f"{theirs}.out_proj.bias": ours.out.bias,
    }


def in_torch(block: Block) -> nn.Module:
    """PyTorch's layer with the block's weights."""
    kind = nn.TransformerEncoderLayer if block.cross is None else nn.TransformerDecoderLayer
    layer = kind(8, 2, 32, activation="gelu", norm_first=True, batch_first=True).eval()
    state = torch_weights(block.attention, "self_attn")
    norms = [block.attention_norm, block.feedforward_norm]
    if block.cross is not None:
        state |= torch_weights(block.cross, "multihead_attn")
        norms.insert(1, block.cross_norm)
    modules = {f"norm{i}": norm for i, norm in enumerate(norms, start=1)}
    modules |= {"linear1": block.feedforward.up, "linear2": block.feedforward.down}
    for name, module in modules.items():
        state |= {f"{name}.weight": module.weight, f"{name}.bias": module.bias}
    layer.load_state_dict(state)
    return layer


def test_the_shared_transformer_is_pytorchs() -> None:
    fusion, x = built("shared"), draw()
    parts = [x[name] + fusion.modalities[i] for i, name in enumerate(sorted(x))]
    h = torch.cat((fusion.cls.expand(5, 1, 8), *parts), dim=1)
    for block in fusion.blocks:
        h = in_torch(block)(h)
    close(fusion(x), fusion.norm(h)[:, 0])


def test_cross_attention_is_pytorchs_decoder_that_reads_the_others() -> None:
    fusion, x = built("cross"), draw()
    pooled = []
    for i, name in enumerate(sorted(x)):
        memory, h = torch.cat([x[other] for other in sorted(x) if other != name], dim=1), x[name]
        for block in fusion.stacks[i]:
            h = in_torch(block)(h, memory)
        pooled.append(fusion.norms[i](h).mean(1))
    close(fusion(x), affine(fusion.out, torch.cat(pooled, dim=1)))


def test_bottlenecks_are_pytorchs_encoders_whose_shared_tokens_are_averaged() -> None:
    fusion, x = built("bottleneck", layers=3, bottlenecks=2), draw()
    streams, shared = [x[name] for name in sorted(x)], fusion.bottlenecks.expand(5, 2, 8)
    for layer in range(3):
        both = [
            in_torch(stack[layer])(torch.cat((h, shared), dim=1))
            for stack, h in zip(fusion.stacks, streams, strict=True)
        ]
        streams = [h[:, :-2] for h in both]
        shared = sum(h[:, -2:] for h in both) / 3
    close(fusion(x), sum(norm(h).mean(1) for norm, h in zip(fusion.norms, streams, strict=True)) / 3)


def test_modalities_meet_in_the_bottleneck_only() -> None:
    fusion, x = built("bottleneck"), draw()
    streams = [x[name] for name in sorted(x)]
    changed = [streams[0].flip(-1), *streams[1:]]
    shared = fusion.bottlenecks.expand(5, -1, -1)
    once, met = fusion.exchange(0, streams, shared)
    once_changed, met_changed = fusion.exchange(0, changed, shared)
    for unaware, as_before in zip(once_changed[1:], once[1:], strict=True):
        assert torch.equal(unaware, as_before)
    assert not torch.equal(met_changed, met)
    twice, twice_changed = fusion.exchange(1, once, met)[0], fusion.exchange(1, once_changed, met_changed)[0]
    for aware, as_before in zip(twice_changed[1:], twice[1:], strict=True):
        assert (aware - as_before).abs().max() > 1e-4
    # With the bottleneck held as it was, nothing gets through in the second layer either.
    for unaware, as_before in zip(fusion.exchange(1, once_changed, met)[0][1:], twice[1:], strict=True):
        assert torch.equal(unaware, as_before)


def test_a_single_bottleneck_layer_would_exchange_nothing_and_is_refused() -> None:
    with pytest.raises(ConfigError, match="one layer would exchange nothing"):
        built("bottleneck", layers=1)
