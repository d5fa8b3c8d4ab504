"""Token ids to vectors, with the tables that a family adds to them."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from sensorium.core.config import TokenEmbedConfig
from sensorium.core.dropout import Dropout
from sensorium.core.norm import build_norm


class TokenEmbed(nn.Module):
    """tokens · scale + segment types + positions, then norm and dropout; only what the family has."""

    def __init__(self, config: TokenEmbedConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, dim)
        self.types = nn.Embedding(config.n_types, dim) if config.n_types else None
        table = config.position
        self.positions = nn.Embedding(table.size + table.offset, dim) if table else None
        self.norm = build_norm(config.norm, dim) if config.norm else None
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        ids: Int[Tensor, "batch seq"],
        positions: Int[Tensor, "batch seq"],
        types: Int[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, "batch seq dim"]:
        """Embed; without `types` every token is of type 0."""
        x: Tensor = self.tokens(ids)
        if self.config.scale != 1.0:
            x = x * self.config.scale
        if self.types is not None:
            x = x + (self.types.weight[0] if types is None else self.types(types))
        if self.positions is not None and self.config.position is not None:
            x = x + self.positions(positions + self.config.position.offset)
        if self.norm is not None:
            x = self.norm(x)
        return self.dropout(x)  # type: ignore[no-any-return]
