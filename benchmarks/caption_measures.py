"""CIDEr (Vedantam et al. 2015): how much a caption says what its references say, rare words counting more.

Unusual: what is rare is told by the references of the test itself, as in the paper; a caption of fewer words than an
order of runs has gets 0 of that order, as in the authors' own program. Words are lower case, without punctuation.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_ORDERS = (1, 2, 3, 4)
Run = tuple[str, ...]


def cider(captions: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """The score of each caption, 0 to 10: over the orders, the mean cosine of tf-idf vectors, times 10.

    Args:
        captions: one a picture.
        references: one or more a picture.
    """
    told = [[_runs(text) for text in texts] for texts in references]
    seen: Counter[Run] = Counter()
    for texts in told:
        seen.update({run for counts in texts for run in counts})
    log_pictures = math.log(max(len(references), 2))

    def vectors(counts: Counter[Run]) -> list[dict[Run, float]]:
        found: list[dict[Run, float]] = [{} for _ in _ORDERS]
        totals = Counter[int]()
        for run, count in counts.items():
            totals[len(run)] += count
        for run, count in counts.items():
            weight = log_pictures - math.log(max(1, seen[run]))
            found[len(run) - 1][run] = count / totals[len(run)] * weight
        return found

    scores = []
    for caption, texts in zip(captions, told, strict=True):
        mine = vectors(_runs(caption))
        each = [[_cosine(a, b) for a, b in zip(mine, vectors(text), strict=True)] for text in texts]
        scores.append(10 * float(np.mean(each)))
    return np.array(scores)


def _runs(text: str) -> Counter[Run]:
    words = re.findall(r"\w+", text.lower())
    return Counter(tuple(words[i : i + n]) for n in _ORDERS for i in range(len(words) - n + 1))


def _cosine(a: dict[Run, float], b: dict[Run, float]) -> float:
    sizes = math.sqrt(sum(x * x for x in a.values())) * math.sqrt(sum(x * x for x in b.values()))
    return sum(weight * b.get(run, 0.0) for run, weight in a.items()) / sizes if sizes else 0.0
