"""Parameters and floating-point operations of a model, from its configuration alone."""

from __future__ import annotations

from sensorium.core.config import AttentionConfig, BlockConfig, ModelConfig, NormConfig


def parameters(config: ModelConfig) -> int:
    """Trained numbers in the model; tied matrices count once."""
    stack, dim = config.stack, config.stack.dim
    embed = stack.embed
    total = embed.vocab_size * dim + embed.n_types * dim + _norm(embed.norm, dim)
    if embed.position is not None:
        total += (embed.position.size + embed.position.offset) * dim
    total += sum(_block(block, dim) for block in stack.blocks) + _norm(stack.final_norm, dim)
    if config.pooler:
        total += dim * dim + dim
    if config.n_pair_classes:
        total += config.n_pair_classes * (dim + 1)
    if config.language is not None:
        head = config.language
        total += 0 if head.tied else embed.vocab_size * dim
        total += embed.vocab_size if head.bias else 0
        total += dim * dim + dim if head.transform else 0
        total += _norm(head.norm, dim)
    return total


def forward_flops(config: ModelConfig, *, length: int, logits: float = 1.0) -> float:
    """Floating-point operations of a forward pass, per token, in sequences of `length` tokens.

    A multiply and an add count as two. Norms, activations and softmax are left out, as is usual
    (Chowdhery et al. 2022, appendix B); a query counts the keys that it may see.

    Args:
        config: the model.
        length: tokens a sequence.
        logits: share of the tokens for which vocabulary logits are computed.
    """
    dim = config.stack.dim
    total = 0.0
    for block in config.stack.blocks:
        attention = block.attention
        seen = _keys_seen(length, attention.window, causal=config.stack.causal)
        scores = 2 * 2 * attention.n_heads * attention.head_dim * seen
        total += 2 * (_attention_matrices(attention, dim) + _feedforward_matrices(block, dim)) + scores
    if config.language is not None:
        transform = dim * dim if config.language.transform else 0
        total += logits * 2 * (dim * config.stack.embed.vocab_size + transform)
    return total


def _keys_seen(length: int, window: int | None, *, causal: bool) -> float:
    """Keys that a query meets, on average over a sequence: of those before it the first queries have fewer than a
    window holds; of those after it, where there are any, the last ones."""
    reach = min(length, window or length)
    before = (reach * (reach + 1) / 2 + (length - reach) * reach) / length
    return before if causal else 2 * before - 1


def training_flops(config: ModelConfig, *, length: int, logits: float = 1.0) -> float:
    """Floating-point operations of a forward and a backward pass, per token: three times the forward pass."""
    return 3 * forward_flops(config, length=length, logits=logits)


def _attention_matrices(attention: AttentionConfig, dim: int) -> int:
    return 2 * dim * attention.head_dim * (attention.n_heads + attention.n_kv_heads)


def _feedforward_matrices(block: BlockConfig, dim: int) -> int:
    return (3 if block.feedforward.gated else 2) * dim * block.feedforward.width


def _block(block: BlockConfig, dim: int) -> int:
    attention, feedforward = block.attention, block.feedforward
    heads, kv_heads = attention.n_heads * attention.head_dim, attention.n_kv_heads * attention.head_dim
    total = _attention_matrices(attention, dim) + _feedforward_matrices(block, dim)
    total += heads * attention.q_bias + kv_heads * (attention.k_bias + attention.v_bias) + dim * attention.out_bias
    total += 2 * _norm(attention.qk_norm, attention.head_dim)
    if feedforward.bias:
        total += (2 if feedforward.gated else 1) * feedforward.width + dim
    return total + 2 * _norm(block.norm, dim)


def _norm(norm: NormConfig | None, dim: int) -> int:
    if norm is None:
        return 0
    return 2 * dim if norm.kind == "layernorm" else dim
