"""Token ids to vectors, with the tables that a family adds to them.

Unusual: a decoder may read the matrix of its encoder. It is the same module then, and registered in the encoder only,
so that parameters and checkpoints hold it once.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from sensorium.core.config import LearnedPosition, SinusoidalPosition, TokenEmbedConfig
from sensorium.core.dropout import Dropout
from sensorium.core.norm import build_norm
from sensorium.core.sinusoid import sinusoids


class TokenEmbed(nn.Module):
    """tokens · scale + segment types + positions, then norm and dropout; only what the family has."""

    tokens: nn.Embedding

    def __init__(self, config: TokenEmbedConfig, dim: int, *, tokens: nn.Embedding | None = None) -> None:
        super().__init__()
        self.config = config
        if tokens is None:
            self.tokens = nn.Embedding(config.vocab_size, dim)
        else:
            object.__setattr__(self, "tokens", tokens)  # past nn.Module, which would register it a second time
        self.types = nn.Embedding(config.n_types, dim) if config.n_types else None
        self.positions: nn.Embedding | None = None
        if isinstance(config.position, LearnedPosition):
            self.positions = nn.Embedding(config.position.size + config.position.offset, dim)
        self.norm = build_norm(config.norm, dim) if config.norm else None
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        ids: Int[Tensor, "batch seq"] | Float[Tensor, "batch seq dim"],
        positions: Int[Tensor, "batch seq"],
        types: Int[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, "batch seq dim"]:
        """Embed; without `types` every token is of type 0. Vectors take the place of the tokens' own."""
        x: Tensor = ids if ids.is_floating_point() else self.tokens(ids)
        if self.config.scale != 1.0:
            x = x * self.config.scale
        if self.types is not None:
            x = x + (self.types.weight[0] if types is None else self.types(types))
        match self.config.position:
            case LearnedPosition(offset=offset) if self.positions is not None:
                x = x + self.positions(positions + offset)
            case SinusoidalPosition() as table:
                x = x + sinusoids(table, x.shape[-1], x.device, x.dtype)[positions]
        if self.norm is not None:
            x = self.norm(x)
        return self.dropout(x)  # type: ignore[no-any-return]
