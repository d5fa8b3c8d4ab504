"""Parameters and floating-point operations of a model, from its configuration alone."""

from __future__ import annotations

from sensorium.core.config import (
    AttentionConfig,
    BlockConfig,
    EncoderDecoderConfig,
    LanguageHeadConfig,
    LearnedPosition,
    ModelConfig,
    NormConfig,
    StackConfig,
    TrunkConfig,
)


def parameters(config: ModelConfig | EncoderDecoderConfig) -> int:
    """Trained numbers in the model; tied matrices count once."""
    if isinstance(config, EncoderDecoderConfig):
        total = (
            stack_parameters(config.encoder)
            + stack_parameters(config.decoder)
            + head_parameters(config.language, config.decoder)
        )
        return total - (config.decoder.embed.vocab_size * config.decoder.dim if config.shared else 0)
    dim, total = config.stack.dim, stack_parameters(config.stack)
    if config.pooler:
        total += dim * dim + dim
    if config.n_pair_classes:
        total += config.n_pair_classes * (dim + 1)
    total += _outputs(config) * (dim + 1)
    if config.features.transform:
        total += dim * dim + dim * config.features.bias + norm_parameters(config.features.norm, dim)
    return total + (head_parameters(config.language, config.stack) if config.language is not None else 0)


def forward_flops(
    config: ModelConfig | EncoderDecoderConfig, *, length: int, logits: float = 1.0, source_length: int | None = None
) -> float:
    """Floating-point operations of a forward pass, per token, in sequences of `length` tokens.

    A multiply and an add count as two. Norms, activations and softmax are left out, as is usual
    (Chowdhery et al. 2022, appendix B); a query counts the keys that it may see.

    Args:
        config: the model.
        length: tokens a sequence; of an encoder-decoder, a target, whose tokens are counted with their share of the
            source.
        logits: share of the tokens for which vocabulary logits are computed.
        source_length: tokens a source, of an encoder-decoder; by default as many as a target's.
    """
    if isinstance(config, EncoderDecoderConfig):
        read = length if source_length is None else source_length
        total = trunk_flops(config.decoder, length, read) + trunk_flops(config.encoder, read) * read / length
        return total + logits * _head_flops(config.language, config.decoder)
    dim, total = config.stack.dim, trunk_flops(config.stack, length)
    if config.language is not None:
        total += logits * _head_flops(config.language, config.stack)
    transform = dim * dim if config.features.transform else 0
    if config.spans or config.n_tags:
        total += 2 * (dim * (2 * config.spans + config.n_tags) + transform)
    if config.classes is not None:
        pooler = dim * dim if config.classes.pooling == "pooler" else 0
        total += 2 * (dim * config.classes.n_classes + transform + pooler) / length
    return total


def trunk_flops(stack: TrunkConfig, length: int, source_length: int = 0) -> float:
    """Floating-point operations of the blocks, a token; of cross-attention, with the token's share in the keys and
    values of the source."""
    dim, total = stack.dim, 0.0
    for block in stack.blocks:
        attention, cross = block.attention, block.cross
        seen = _keys_seen(length, attention.window, causal=stack.causal)
        scores = 2 * 2 * attention.n_heads * attention.head_dim * seen
        total += 2 * (_attention_matrices(attention, dim) + _feedforward_matrices(block, dim)) + scores
        if cross is not None:
            queries = 2 * dim * cross.head_dim * cross.n_heads
            keys = 2 * dim * cross.head_dim * cross.n_kv_heads * source_length / length
            total += 2 * (queries + keys) + 2 * 2 * cross.n_heads * cross.head_dim * source_length
    return total


def _head_flops(head: LanguageHeadConfig, stack: StackConfig) -> float:
    transform = stack.dim * stack.dim if head.transform else 0
    return 2.0 * (stack.dim * stack.embed.vocab_size + transform)


def _keys_seen(length: int, window: int | None, *, causal: bool) -> float:
    """Keys that a query meets, on average over a sequence: of those before it the first queries have fewer than a
    window holds; of those after it, where there are any, the last ones."""
    reach = min(length, window or length)
    before = (reach * (reach + 1) / 2 + (length - reach) * reach) / length
    return before if causal else 2 * before - 1


def training_flops(
    config: ModelConfig | EncoderDecoderConfig, *, length: int, logits: float = 1.0, source_length: int | None = None
) -> float:
    """Floating-point operations of a forward and a backward pass, per token: three times the forward pass."""
    return 3 * forward_flops(config, length=length, logits=logits, source_length=source_length)


def _outputs(config: ModelConfig) -> int:
    """Of the heads for spans, tags and classes."""
    return 2 * config.spans + config.n_tags + (config.classes.n_classes if config.classes is not None else 0)


def _attention_matrices(attention: AttentionConfig, dim: int) -> int:
    return 2 * dim * attention.head_dim * (attention.n_heads + attention.n_kv_heads)


def _feedforward_matrices(block: BlockConfig, dim: int) -> int:
    return (3 if block.feedforward.gated else 2) * dim * block.feedforward.width


def stack_parameters(stack: StackConfig) -> int:
    """Trained numbers of a stack of text."""
    dim, embed = stack.dim, stack.embed
    total = embed.vocab_size * dim + embed.n_types * dim + norm_parameters(embed.norm, dim)
    if isinstance(embed.position, LearnedPosition):
        total += (embed.position.size + embed.position.offset) * dim
    return total + trunk_parameters(stack)


def trunk_parameters(trunk: TrunkConfig) -> int:
    """Trained numbers of a stack but for its embeddings."""
    total = norm_parameters(trunk.final_norm, trunk.dim)
    if trunk.relative is not None:
        total += trunk.relative.buckets * trunk.blocks[0].attention.n_heads
    return total + sum(_block(block, trunk.dim) for block in trunk.blocks)


def head_parameters(head: LanguageHeadConfig, stack: StackConfig) -> int:
    """Trained numbers of a language head over a stack."""
    dim, vocabulary = stack.dim, stack.embed.vocab_size
    total = (0 if head.tied else vocabulary * dim) + (vocabulary if head.bias else 0)
    total += dim * dim + dim * head.transform_bias if head.transform else 0
    return total + norm_parameters(head.norm, dim)


def _attention(attention: AttentionConfig, dim: int) -> int:
    heads, kv_heads = attention.n_heads * attention.head_dim, attention.n_kv_heads * attention.head_dim
    total = _attention_matrices(attention, dim)
    total += heads * attention.q_bias + kv_heads * (attention.k_bias + attention.v_bias) + dim * attention.out_bias
    return total + 2 * norm_parameters(attention.qk_norm, attention.head_dim)


def _block(block: BlockConfig, dim: int) -> int:
    feedforward = block.feedforward
    total = _attention(block.attention, dim) + _feedforward_matrices(block, dim)
    if block.cross is not None:
        total += _attention(block.cross, dim) + norm_parameters(block.norm, dim)
    if feedforward.bias:
        total += (2 if feedforward.gated else 1) * feedforward.width + dim
    return total + (1 + block.attention_norm) * norm_parameters(block.norm, dim)


def norm_parameters(norm: NormConfig | None, dim: int) -> int:
    """Trained numbers of a norm."""
    if norm is None:
        return 0
    return 2 * dim if norm.kind == "layernorm" and norm.bias else dim
