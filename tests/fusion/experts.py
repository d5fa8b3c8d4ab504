"""Experts that are made up, with a truth behind them."""

from __future__ import annotations

from typing import Any

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def experts(
    problem: str, *, rows: int = 300, classes: int = 3, n: int = 3, seed: int = 0, absent: float = 0.0
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Predictions and targets; expert a is the best, the others ever worse. Some are absent at random."""
    rng = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {}
    targets: Any
    if problem == "classification":
        targets = rng.integers(0, classes, rows)
        truth = np.eye(classes)[targets] * 2
    elif problem == "multi_label":
        targets = rng.integers(0, 2, (rows, classes))
        truth = targets * 3.0 - 1.5
    else:
        targets = rng.normal(size=(rows, classes)) * 3 + 10
        truth = targets
    for i in range(n):
        noisy = truth + rng.normal(size=truth.shape) * (1 + i)
        found["abcdefghij"[i]] = {"classification": softmax, "multi_label": sigmoid}.get(problem, np.array)(noisy)
        found["abcdefghij"[i]][rng.random(rows) < absent] = np.nan
    return found, targets
