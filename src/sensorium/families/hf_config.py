"""What the families' configuration maps share: required keys, activations, rotary settings."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from sensorium.core.config import (
    Activation,
    LinearScaling,
    Llama3Scaling,
    RotaryPosition,
    YarnScaling,
)
from sensorium.errors import CapabilityError, CheckpointError

HFConfig = dict[str, Any]

ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
HF_ACTIVATIONS: dict[Activation, str] = {
    "gelu": "gelu",
    "gelu_tanh": "gelu_new",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "tanh": "tanh",
}


def require(config: HFConfig, keys: Iterable[str]) -> None:
    """Raise if a key that the checkpoint must supply is absent; all of them at once.

    Raises:
        CheckpointError: keys are missing.
    """
    missing = [key for key in keys if config.get(key) is None]
    if missing:
        raise CheckpointError(
            f"the configuration lacks {', '.join(missing)}", where="config.json", fix="Copy the model's folder anew"
        )


def activation(name: str) -> Activation:
    """Our name of their activation.

    Raises:
        CapabilityError: the core has no such activation.
    """
    if name not in ACTIVATIONS:
        raise CapabilityError(
            f"activation {name!r} is not supported (supported: {', '.join(ACTIVATIONS)})",
            where="config.json",
            fix="Open the model with engine='transformers'",
        )
    return ACTIVATIONS[name]


def refuse(config: HFConfig, **only: Any) -> None:
    """Raise where a setting has another value than the only one supported (absent counts as that one).

    Raises:
        CapabilityError: it has.
    """
    for key, value in only.items():
        if config.get(key, value) not in (value, None):
            raise CapabilityError(
                f"{key}={config[key]!r} is not supported (only {value!r})",
                where="config.json",
                fix="Open the model with engine='transformers'",
            )


def rotary(config: HFConfig, head_dim: int) -> RotaryPosition:
    """Rotary settings, in the spelling of `transformers` 5 (`rope_parameters`) or of before.

    Raises:
        CheckpointError: theta is given nowhere.
        CapabilityError: the scaling is of an unsupported kind.
    """
    require(config, ("max_position_embeddings",))
    settings = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    theta = settings.get("rope_theta", config.get("rope_theta"))
    if theta is None:
        raise CheckpointError(
            "the configuration lacks rope_theta", where="config.json", fix="Copy the model's folder anew"
        )
    refuse(config, partial_rotary_factor=1.0)
    refuse(settings, partial_rotary_factor=1.0)
    return RotaryPosition(
        theta=float(theta),
        dim=head_dim,
        context=config["max_position_embeddings"],
        scaling=_scaling(settings, config["max_position_embeddings"]),
    )


def _scaling(settings: dict[str, Any], context: int) -> LinearScaling | Llama3Scaling | YarnScaling | None:
    match settings.get("rope_type", settings.get("type", "default")):
        case "default":
            return None
        case "linear":
            return LinearScaling(factor=settings["factor"])
        case "llama3":
            return Llama3Scaling(
                factor=settings["factor"],
                low_freq_factor=settings["low_freq_factor"],
                high_freq_factor=settings["high_freq_factor"],
                original_context=settings["original_max_position_embeddings"],
            )
        case "yarn":
            return _yarn(settings, context)
        case other:
            raise CapabilityError(
                f"rotary scaling {other!r} is not supported (supported: default, linear, llama3, yarn)",
                where="config.json",
                fix="Open the model with engine='transformers'",
            )


def _yarn(settings: dict[str, Any], context: int) -> YarnScaling:
    original = settings.get("original_max_position_embeddings") or context
    factor = settings.get("factor") or context / original

    def magnitude(scale: float, weight: float = 1.0) -> float:
        return 1.0 if scale <= 1 else 0.1 * weight * math.log(scale) + 1.0

    attention = settings.get("attention_factor")
    if attention is None:
        part, whole = settings.get("mscale"), settings.get("mscale_all_dim")
        attention = magnitude(factor, part) / magnitude(factor, whole) if part and whole else magnitude(factor)
    return YarnScaling(
        factor=factor,
        original_context=original,
        beta_fast=settings.get("beta_fast") or 32.0,
        beta_slow=settings.get("beta_slow") or 1.0,
        attention_factor=attention,
        truncate=settings.get("truncate", True),
    )


def rope_parameters(position: RotaryPosition) -> dict[str, Any]:
    """Their `rope_parameters` of our settings."""
    base: dict[str, Any] = {"rope_theta": position.theta}
    match position.scaling:
        case None:
            return base | {"rope_type": "default"}
        case LinearScaling(factor=factor):
            return base | {"rope_type": "linear", "factor": factor}
        case Llama3Scaling() as scaling:
            return base | {
                "rope_type": "llama3",
                "factor": scaling.factor,
                "low_freq_factor": scaling.low_freq_factor,
                "high_freq_factor": scaling.high_freq_factor,
                "original_max_position_embeddings": scaling.original_context,
            }
        case YarnScaling() as scaling:
            return base | {
                "rope_type": "yarn",
                "factor": scaling.factor,
                "original_max_position_embeddings": scaling.original_context,
                "beta_fast": scaling.beta_fast,
                "beta_slow": scaling.beta_slow,
                "attention_factor": scaling.attention_factor,
                "truncate": scaling.truncate,
            }
