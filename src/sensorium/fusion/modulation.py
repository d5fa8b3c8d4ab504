"""Which modality dominates while a fused model learns, and a remedy: on-the-fly gradient modulation.

Taken from Peng et al. 2022 (OGM-GE): the discrepancy ratio ρ of unimodal scores, the coefficient 1 - tanh(α ρ) for a
modality whose ratio is above 1 and 1 for the others (their equation 10), and the noise that makes up for the
generalisation that smaller gradients cost (GE), added to the gradients of every modality.

Not as there: the ratio of more than two modalities is to the mean score of the others, which for two is the paper's.
Scores are means over the rows in which a modality is present, not sums. All parameters of an encoder are modulated, as
the paper has it, where the authors' code modulates convolutions alone. As in their code, the noise of a parameter has
the standard deviation of its gradient's own elements, the paper's covariance of the gradient's noise being unknown.
The paper takes scores from the halves of a linear classifier over concatenated features; here the caller says where
they come from: for fusions without such halves, from linear probes on each modality's features.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sensorium.errors import CapabilityError, ConfigError, InputError

Encoders = Mapping[str, Iterable[nn.Parameter]]
"""By modality: the parameters that only it uses."""


def gradient_norms(encoders: Encoders) -> dict[str, float]:
    """The Euclidean norm of all gradients of each modality's encoder, after a backward pass; 0 without gradients."""
    return {name: _norm(encoders[name]) for name in sorted(encoders)}


def gradient_shares(encoders: Encoders) -> dict[str, float]:
    """`gradient_norms` over their sum: who learns most just now. All 0 where no encoder has a gradient.

    A share tells little by itself, for encoders of other sizes and depths have other gradients; its course over a
    training tells who stops learning first.
    """
    norms = gradient_norms(encoders)
    total = sum(norms.values())
    return {name: norm / total if total else 0.0 for name, norm in norms.items()}


def unimodal_scores(
    logits: Mapping[str, Float[Tensor, "batch classes"]],
    targets: Int[Tensor, " batch"],
    present: Mapping[str, Bool[Tensor, " batch"]] | None = None,
) -> dict[str, float]:
    """How well each modality alone does: the mean probability that it gives to the right class.

    Args:
        logits: what each modality says by itself.
        targets: the right classes.
        present: in which rows a modality is there; one that is there in none gets no score.

    Raises:
        CapabilityError: `present` does not name the same modalities.
    """
    if present is not None and present.keys() != logits.keys():
        raise CapabilityError(
            f"presence is given of {sorted(present)}, logits of {sorted(logits)}", fix="Give both of the same"
        )
    scores = {}
    for name in sorted(logits):
        right = logits[name].detach().float().softmax(1).gather(1, targets[:, None].long())[:, 0]
        if present is not None:
            right = right[present[name]]
        if len(right):
            scores[name] = float(right.mean())
    return scores


def modulation_coefficients(scores: Mapping[str, float], *, alpha: float = 0.3) -> dict[str, float]:
    """By what the gradients of each modality's encoder are multiplied: below 1 for those that are ahead.

    Args:
        scores: how well each modality alone does; not negative.
        alpha: how strongly one that is ahead is held back; 0 holds none back.

    Raises:
        ConfigError: `alpha` is negative.
        InputError: a score is negative or not finite.
    """
    if not alpha >= 0.0:
        raise ConfigError(f"alpha={alpha} must not be negative", where="modulation")
    for name, score in scores.items():
        if not (math.isfinite(score) and score >= 0.0):
            raise InputError(f"a score of {score}", where=name, fix="Give finite scores that are not negative")
    coefficients = {}
    for name in sorted(scores):
        others = [score for other, score in scores.items() if other != name]
        ratio = _ratio(scores[name], statistics.mean(others)) if others else 1.0  # exact: equal scores have the ratio 1
        coefficients[name] = 1.0 - math.tanh(alpha * ratio) if alpha and ratio > 1.0 else 1.0
    return coefficients


def modulate_gradients(
    encoders: Encoders, scores: Mapping[str, float], *, alpha: float = 0.3, noise: bool = True
) -> dict[str, float]:
    """Scale the gradients of each modality's encoder in place; after the backward pass, before they are clipped.

    Args:
        encoders: the parameters of each modality's encoder.
        scores: how well each modality alone does; one without a score (absent in the whole batch) is left alone.
        alpha: how strongly one that is ahead is held back.
        noise: whether to add the noise (OGM-GE rather than OGM); from PyTorch's global generator.

    Returns:
        The coefficients, for a record.

    Raises:
        ConfigError: `alpha` is negative.
        InputError: a score is negative or not finite.
        CapabilityError: there is a score of an unknown modality, or two modalities share a parameter.
    """
    if foreign := sorted(scores.keys() - encoders.keys()):
        raise CapabilityError(f"scores of unknown modalities: {', '.join(foreign)}", fix="Name the encoders likewise")
    parameters = {name: list(encoders[name]) for name in sorted(encoders)}
    _check_apart(parameters)
    coefficients = modulation_coefficients(scores, alpha=alpha)
    with torch.no_grad():
        for name, coefficient in coefficients.items():
            for parameter in parameters[name]:
                if (gradient := parameter.grad) is None:
                    continue
                spread = gradient.std(correction=0) if noise else None
                gradient.mul_(coefficient)
                if spread is not None:
                    gradient.add_(torch.randn_like(gradient) * spread)
    return coefficients


def _norm(parameters: Iterable[nn.Parameter]) -> float:
    norms = [parameter.grad.norm().float() for parameter in parameters if parameter.grad is not None]
    return float(torch.stack(norms).norm()) if norms else 0.0


def _ratio(score: float, others: float) -> float:
    """The discrepancy ratio; of a modality that alone scores at all, without bounds."""
    if others:
        return score / others
    return math.inf if score else 1.0


def _check_apart(parameters: Mapping[str, list[nn.Parameter]]) -> None:
    owners = dict[int, str]()
    for name, own in parameters.items():
        for parameter in own:
            if (owner := owners.setdefault(id(parameter), name)) != name:
                raise CapabilityError(
                    f"{owner!r} and {name!r} share a parameter, whose gradient is not of one modality",
                    fix="Hand in the parameters that only one of them uses",
                )
