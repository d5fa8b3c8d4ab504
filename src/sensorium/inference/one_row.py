"""One row of one token through a decoder, in NumPy.

Decoding a single sequence is a few matrix–vector products a layer. PyTorch spends as long on dispatching the
small operations between them as the memory does on delivering the weights; NumPy's calls cost a tenth of that.
The products are `core.skinny`'s, which reads the weights in their shortest exact form. q, k and v, and gate and up,
are moved once into one matrix each, of which the model's parameters become views, so that no fp32 weight is held
twice. The cache is the model's own too, so that prefill stays PyTorch's.

`core` is the reference: the tests hold every step to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sensorium.core.block import Block
from sensorium.core.cache import KVCache
from sensorium.core.codes import Codes, stack
from sensorium.core.config import Activation, LearnedPosition, SinusoidalPosition
from sensorium.core.model import Decoder
from sensorium.core.norm import RMSNorm
from sensorium.core.position import rotary_angles
from sensorium.core.skinny import SkinnyMatrix
from sensorium.errors import InputError

Vector = NDArray[np.float32]
Matrix = NDArray[np.float32]
Norm = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_TABLE_STEP = 1024
"""Positions by which the table of rotary angles grows."""


def _gelu_tanh(x: Vector) -> Vector:
    tanh: Vector = np.tanh(np.float32(0.7978845608028654) * (x + np.float32(0.044715) * x * x * x))
    return np.float32(0.5) * x * (1 + tanh)


def _swish(x: Vector, slope: float = 1.0) -> Vector:
    swished: Vector = x / (1 + np.exp(np.float32(-slope) * x))
    return swished


_ACTIVATIONS: dict[Activation, Norm] = {
    "gelu_tanh": _gelu_tanh,
    "silu": _swish,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "quick_gelu": partial(_swish, slope=1.702),
}
"""NumPy has no erf, so exact GELU is not among them."""


@dataclass(frozen=True, eq=False)
class _Affine:
    """W x + b."""

    weight: SkinnyMatrix
    bias: Vector | None

    def __call__(self, x: Vector) -> Vector:
        product: Vector = self.weight(x)
        return product if self.bias is None else product + self.bias


class OneRow:
    """Decoding steps of a single sequence.

    Args:
        model: an fp32 decoder on the CPU, in evaluation. Its q/k/v and gate/up parameters become views of
            joined matrices; their values do not change, and must not be changed afterwards.
        codes: the codes of matrices that came from a quantised file, by the names of the parameters.
    """

    def __init__(self, model: Decoder, codes: Mapping[str, Codes] | None = None) -> None:
        matrices = _Matrices(model, codes or {})
        stack = model.stack
        self._config = stack.config
        self._tokens = _array(stack.embed.tokens.weight)
        self._positions = None if stack.embed.positions is None else _array(stack.embed.positions.weight)
        position = stack.config.embed.position
        self._offset = position.offset if isinstance(position, LearnedPosition) else 0
        self._types = None if stack.embed.types is None else _array(stack.embed.types.weight)[0]
        self._embed_norm = _norm(stack.embed.norm)
        self._layers = [_Layer(block, matrices) for block in stack.blocks if isinstance(block, Block)]
        self._final_norm = _norm(stack.final_norm)
        self._table: tuple[Matrix, Matrix] | None = None
        head = model.language
        if head is None:
            raise InputError("the model has no language head, so it cannot decode")
        self._dense = None if head.dense is None else matrices.affine([head.dense])
        self._dense_activation = model.config.language.transform if model.config.language else None
        self._head_norm = _norm(head.norm)
        matrix = head.matrix(stack.embed.tokens.weight)
        self._output = _Affine(matrices.of([matrix]), None if head.bias is None else _array(head.bias))

    @staticmethod
    def supports(model: nn.Module) -> bool:
        """Whether `model` is a decoder that these steps can run."""
        if not isinstance(model, Decoder) or model.language is None:
            return False
        used = {block.feedforward.activation for block in model.config.stack.blocks}
        transform = model.config.language.transform if model.config.language else None
        if transform is not None:
            used.add(transform)
        config = model.config.stack
        plain = all(p.dtype == torch.float32 and p.device.type == "cpu" for p in model.parameters())
        other = isinstance(config.embed.position, SinusoidalPosition) or config.relative is not None
        return plain and used <= _ACTIVATIONS.keys() and not other and model.language.scale == 1.0

    def step(self, token: int, cache: KVCache) -> Vector:
        """Logits of the token after `token`, whose keys and values are added to `cache` (a batch of one).

        Raises:
            InputError: the cache is full.
        """
        place = cache.length
        if place >= cache.capacity:
            raise InputError(f"the cache holds {cache.capacity} tokens and is full", fix="Allocate a larger capacity")
        x: Vector = self._tokens[token] * np.float32(self._config.embed.scale)
        if self._types is not None:
            x += self._types
        if self._positions is not None:
            x += self._positions[place + self._offset]
        x = self._embed_norm(x)
        angles = self._angles(place)
        for layer, keys, values in zip(self._layers, cache.keys, cache.values, strict=True):
            x = layer(x, keys[0].numpy(), values[0].numpy(), place, angles)
        cache.advance(1)
        x = self._final_norm(x)
        if self._dense is not None and self._dense_activation is not None:
            x = _ACTIVATIONS[self._dense_activation](self._dense(x))
        return self._output(self._head_norm(x))

    def _angles(self, place: int) -> tuple[Vector, Vector] | None:
        rotary = self._config.rotary
        if rotary is None:
            return None
        if self._table is None or place >= len(self._table[0]):
            rows = (place // _TABLE_STEP + 1) * _TABLE_STEP
            cos, sin = rotary_angles(rotary, torch.arange(rows)[None], torch.float32)
            self._table = cos[0, 0].numpy(), sin[0, 0].numpy()
        return self._table[0][place], self._table[1][place]


class _Layer:
    """One block; the same residuals as `core.block.Block`."""

    def __init__(self, block: Block, matrices: _Matrices) -> None:
        attention, config = block.attention, block.attention.config
        self.pre = block.pre
        self.heads, self.kv_heads, self.head_dim = config.n_heads, config.n_kv_heads, config.head_dim
        self.window = config.window
        self.scale = np.float32(config.scale if config.scale is not None else config.head_dim**-0.5)
        self.qkv = matrices.affine([attention.q, attention.k, attention.v])
        self.out = matrices.affine([attention.out])
        self.q_norm, self.k_norm = _norm(attention.q_norm), _norm(attention.k_norm)
        self.normed_heads = attention.q_norm is not None
        self.attention_norm, self.feedforward_norm = (
            _norm(block.attention_norm),
            _norm(block.feedforward_norm),
        )
        feedforward = block.feedforward
        self.gated = feedforward.gate is not None
        self.up = matrices.affine([m for m in (feedforward.gate, feedforward.up) if m is not None])
        self.down = matrices.affine([feedforward.down])
        self.activation = _ACTIVATIONS[block.config.feedforward.activation]

    def __call__(
        self, x: Vector, keys: Matrix, values: Matrix, place: int, angles: tuple[Vector, Vector] | None
    ) -> Vector:
        if self.pre:
            x = x + self._attend(self.attention_norm(x), keys, values, place, angles)
            return x + self._feed(self.feedforward_norm(x))
        x = self.attention_norm(x + self._attend(x, keys, values, place, angles))
        return self.feedforward_norm(x + self._feed(x))

    def _attend(
        self, x: Vector, keys: Matrix, values: Matrix, place: int, angles: tuple[Vector, Vector] | None
    ) -> Vector:
        joined = self.qkv(x)
        turned = self.heads + self.kv_heads
        heads = joined[: turned * self.head_dim].reshape(turned, self.head_dim)
        if self.normed_heads:
            heads = np.concatenate((self.q_norm(heads[: self.heads]), self.k_norm(heads[self.heads :])))
        if angles is not None:
            heads = _rotate(heads, *angles)
        keys[:, place] = heads[self.heads :]
        values[:, place] = joined[turned * self.head_dim :].reshape(self.kv_heads, self.head_dim)
        first = 0 if self.window is None else max(0, place + 1 - self.window)
        seen_keys, seen_values = keys[:, first : place + 1], values[:, first : place + 1]
        queries = heads[: self.heads].reshape(self.kv_heads, -1, self.head_dim)
        scores = np.matmul(queries, seen_keys.transpose(0, 2, 1))
        scores *= self.scale
        scores -= scores.max(-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(-1, keepdims=True)
        return self.out(np.matmul(scores, seen_values).reshape(-1))

    def _feed(self, x: Vector) -> Vector:
        up = self.up(x)
        if not self.gated:
            return self.down(self.activation(up))
        half = len(up) // 2
        inner = self.activation(up[:half])
        inner *= up[half:]
        return self.down(inner)


def _rotate(heads: Matrix, cos: Vector, sin: Vector) -> Matrix:
    half = len(cos)
    first, second = heads[:, :half], heads[:, half : 2 * half]
    turned = heads.copy()
    turned[:, :half] = first * cos - second * sin
    turned[:, half : 2 * half] = second * cos + first * sin
    return turned


def _norm(module: nn.Module | None) -> Norm:
    if module is None:
        return lambda x: x
    if isinstance(module, RMSNorm):
        return _rms_norm(_array(module.weight), module.eps)
    if isinstance(module, nn.LayerNorm):
        return _layer_norm(_array(module.weight), _array(module.bias), module.eps)
    raise TypeError(f"no NumPy form of {type(module).__name__}")


def _rms_norm(weight: Vector, eps: float) -> Norm:
    dim = len(weight)

    def norm(x: NDArray[np.float32]) -> NDArray[np.float32]:
        if x.ndim == 1:
            normed: NDArray[np.float32] = x * (weight / np.sqrt(np.dot(x, x) / dim + np.float32(eps)))
        else:
            normed = x * weight / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(eps))
        return normed

    return norm


def _layer_norm(weight: Vector, bias: Vector, eps: float) -> Norm:
    def norm(x: NDArray[np.float32]) -> NDArray[np.float32]:
        centred = x - x.mean(-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(eps))
        normed: NDArray[np.float32] = centred / spread * weight + bias
        return normed

    return norm


class _Matrices:
    """The model's matrices, joined where several read the same vector."""

    def __init__(self, model: Decoder, codes: Mapping[str, Codes]) -> None:
        self._codes = {id(parameter): codes[name] for name, parameter in model.named_parameters() if name in codes}

    def affine(self, parts: Sequence[nn.Linear]) -> _Affine:
        """The linear maps of `parts`, stacked; their weights become views of the stacked matrix."""
        matrix = self.of([part.weight for part in parts])
        if all(part.bias is None for part in parts):
            return _Affine(matrix, None)
        biases = [part.weight.new_zeros(part.out_features) if part.bias is None else part.bias.data for part in parts]
        return _Affine(matrix, torch.cat(biases).numpy())

    def of(self, parts: Sequence[Tensor]) -> SkinnyMatrix:
        """The rows of `parts`, as codes if all of them are."""
        found = [self._codes[id(part)] for part in parts if id(part) in self._codes]
        codes = stack(found) if len(found) == len(parts) else None
        if len(parts) == 1:
            return SkinnyMatrix(_array(parts[0]), codes)
        weight = torch.cat([part.data for part in parts])
        start = 0
        for part in parts:
            part.data = weight[start : start + len(part)]
            start += len(part)
        return SkinnyMatrix(weight.numpy(), codes)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().numpy()
    return array
