"""An epoch as blocks of documents: what has to be in memory at once is one block, whatever the corpus.

Documents are put in a random order that needs no memory, and the order is cut into blocks. What training learns from is
cut out of the documents of one block, shuffled in it and packed. A corpus that fits one block is shuffled as a whole;
in a larger one, what meets in a block is drawn anew each epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensorium.data.loading.permutation import Permutation

TOKENS = 1 << 23
"""Of a block, about."""
MOST_DOCUMENTS = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """How a corpus is cut.

    Args:
        documents: of the corpus.
        tokens: of the corpus.
        seed: of the order.
    """

    documents: int
    tokens: int
    seed: int

    @property
    def count(self) -> int:
        """Blocks of an epoch, at least one."""
        wanted = max(-(-self.tokens // TOKENS), -(-self.documents // MOST_DOCUMENTS))
        return max(1, min(wanted, self.documents))

    def members(self, epoch: int, block: int) -> NDArray[np.int64]:
        """The documents of a block, in the corpus's order; as many as in any other block, or one more."""
        first, last = (self.documents * i // self.count for i in (block, block + 1))
        if self.count == 1:
            return np.arange(self.documents)
        order = Permutation(self.documents, (self.seed, epoch))
        return np.sort(order(np.arange(first, last)))
