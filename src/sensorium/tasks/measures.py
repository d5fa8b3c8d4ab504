"""How good translations and answers are, with intervals.

Translations: BLEU (Papineni et al. 2002) and chrF++ (Popović 2017), computed by sacreBLEU (Post 2018), whose signatures
say how. Answers: exact match and F1 as SQuAD 1.1 and 2.0 have them (Rajpurkar et al. 2016, 2018): in small letters,
without punctuation and articles, against the nearest of the right answers; where there is none, the answer must be
empty. A Chinese or Japanese character is a word, as in CMRC 2018; but F1 counts common words as SQuAD does, where CMRC
takes the longest common piece. Intervals are of 95%, by bootstrap over sentences or questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorium.errors import InputError, require
from sensorium.objectives.metrics import answer_match
from sensorium.results import Measure

SAMPLES = 1000
"""Bootstrap samples."""
_AT_A_TIME = 1 << 22
"""Numbers that are drawn together."""


def bleu_tokenizer(language: str | None) -> str:
    """sacreBLEU's tokenizer for text of a language: `zh` for Chinese, else `13a`."""
    code = (language or "").replace("_", "-").split("-")[0].lower()
    return "zh" if code in ("zh", "zho", "chi", "cmn", "yue", "wuu") else "13a"


def translation_measures(
    outputs: Sequence[str], references: Sequence[str], *, language: str | None, samples: int = SAMPLES
) -> tuple[Measure, ...]:
    """BLEU and chrF++ of a corpus, 0 to 100.

    Args:
        outputs: the translations.
        references: the right ones, in the same order.
        language: of both, which decides how BLEU splits them into words.
        samples: of the bootstrap, whose seed is sacreBLEU's own.

    Raises:
        InputError: there is nothing to compare.
        CapabilityError: `sacrebleu` is not installed.
    """
    metrics: Any = require("sacrebleu.metrics", extra="eval", purpose="measuring translations")
    significance: Any = require("sacrebleu.significance", extra="eval", purpose="measuring translations")
    if not references or len(outputs) != len(references):
        raise InputError(f"{len(outputs)} translations are compared with {len(references)}", fix="Give as many of both")
    found = []
    for metric in (metrics.BLEU(tokenize=bleu_tokenizer(language)), metrics.CHRF(word_order=2)):
        score = metric.corpus_score(list(outputs), [list(references)])
        middle, half = float(score.score), 0.0
        if samples > 1:
            # As `corpus_score(n_bootstrap=...)` does, whose mean of scores fails where some are no NumPy numbers.
            stats = metric._extract_corpus_statistics(list(outputs), [list(references)])
            metric.n_bootstrap = samples
            metric.seed, drawn = significance._bootstrap_resample(stats, metric, samples)
            scores = sorted(float(one.score) for one in drawn)
            middle, half = fmean(scores), (scores[-1 - samples // 40] - scores[samples // 40]) / 2
        found.append(
            Measure(
                name=score.name,
                value=float(score.score),
                low=max(0.0, middle - half),
                high=min(100.0, middle + half),
                n=len(references),
                signature=str(metric.get_signature()),
            )
        )
    return tuple(found)


def answer_measures(
    outputs: Sequence[str], expected: Sequence[Sequence[str]], *, samples: int = SAMPLES, seed: int = 0
) -> tuple[Measure, ...]:
    """Exact match and F1, 0 to 100; where some questions have no answer, of those with and without one too.

    Args:
        outputs: the answers; an empty one says that there is none.
        expected: the right answers of each question; none where it has none.
        samples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        InputError: there is no question, or not an answer for each.
    """
    if not expected or len(outputs) != len(expected):
        raise InputError(f"{len(outputs)} answers are given to {len(expected)} questions", fix="Give one for each")
    scores = 100 * np.array([answer_match(found, right) for found, right in zip(outputs, expected, strict=True)])
    answered = np.array([bool(right) for right in expected])
    groups = {"": np.ones_like(answered)}
    if not answered.all():
        groups |= {"has answer: ": answered, "no answer: ": ~answered}
    found = []
    for group, chosen in groups.items():
        if not chosen.any():
            continue
        part = scores[chosen]
        lows, highs = intervals(part, samples, seed)
        for column, name in enumerate(("exact match", "F1")):
            if group.startswith("no") and column:
                continue  # of an answer that must be empty, it is the exact match
            found.append(
                Measure(group + name, float(part[:, column].mean()), lows[column], highs[column], len(part),
                        f"bootstrap:{samples}|seed:{seed}")
            )  # fmt: skip
    return tuple(found)


def intervals(scores: NDArray[np.float64], samples: int, seed: int) -> tuple[list[float], list[float]]:
    """Where 95% of the means of as many rows, drawn again and again, lie: the ends, for every column."""
    if samples < 2:
        mean: list[float] = scores.mean(0).tolist()
        return mean, mean
    rng = np.random.default_rng(seed)
    step = max(1, _AT_A_TIME // len(scores))
    means = [
        scores[rng.integers(0, len(scores), (min(step, samples - start), len(scores)))].mean(1)
        for start in range(0, samples, step)
    ]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5], axis=0).tolist()
    return low, high
