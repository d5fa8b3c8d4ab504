"""What the families' configuration maps share: required keys, activations, rotary settings."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Collection, Iterable
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
ANEW = "Copy or download the model anew"
OTHER_ENGINE = "Open the model with engine='transformers'"

_TOO_LARGE = 1 << 40


def _is_whole(value: Any) -> bool:
    return type(value) is int and 0 < value < _TOO_LARGE


_KINDS: dict[str, tuple[Callable[[Any], bool], tuple[str, ...]]] = {
    "a whole number above 0": (
        _is_whole,
        ("vocab_size", "type_vocab_size", "hidden_size", "n_embd", "num_hidden_layers", "n_layer",
         "num_attention_heads", "n_head", "num_key_value_heads", "head_dim", "intermediate_size", "n_inner",
         "max_position_embeddings", "n_positions", "original_max_position_embeddings", "sliding_window",
         "dim", "n_layers", "n_heads", "hidden_dim", "local_attention", "global_attn_every_n_layers", "num_labels",
         "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads", "encoder_layers", "decoder_layers",
         "encoder_attention_heads", "decoder_attention_heads", "encoder_ffn_dim", "decoder_ffn_dim",
         "decoder_vocab_size", "relative_attention_num_buckets", "relative_attention_max_distance", "num_mel_bins",
         "max_source_positions", "max_target_positions", "num_channels",
         "projection_dim", "projection_size", "pooler_output_size"),
    ),
    "a whole number above 0, or two": (
        lambda value: all(_is_whole(side) for side in (value if type(value) is list and len(value) == 2 else [value])),
        ("image_size", "patch_size"),
    ),
    "a number": (lambda value: type(value) in (int, float) and abs(value) < _TOO_LARGE, ("logit_scale_init_value",)),
    "a number above 0": (
        lambda value: type(value) in (int, float) and 0 < value < _TOO_LARGE,
        ("rope_theta", "global_rope_theta", "local_rope_theta", "factor", "low_freq_factor", "high_freq_factor",
         "beta_fast", "beta_slow", "attention_factor", "mscale", "mscale_all_dim"),
    ),
    "a number from 0 on": (
        lambda value: type(value) in (int, float) and 0 <= value < _TOO_LARGE,
        ("layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps", "norm_eps", "max_window_layers"),
    ),
    "a number from 0 to 1": (
        lambda value: type(value) in (int, float) and 0 <= value <= 1,
        ("hidden_dropout_prob", "attention_probs_dropout_prob", "attention_dropout", "resid_pdrop", "embd_pdrop",
         "attn_pdrop", "dropout", "qa_dropout", "seq_classif_dropout", "classifier_dropout", "embedding_dropout",
         "mlp_dropout", "activation_dropout", "dropout_rate"),
    ),
    "true or false": (
        lambda value: type(value) is bool,
        ("tie_word_embeddings", "attention_bias", "mlp_bias", "norm_bias", "decoder_bias", "classifier_bias",
         "use_sliding_window", "truncate", "scale_embedding", "share_encoder_decoder_embeddings", "qkv_bias",
         "vision_use_head"),
    ),
    "a name": (
        lambda value: type(value) is str,
        ("hidden_act", "activation_function", "activation", "hidden_activation", "classifier_activation",
         "feed_forward_proj", "pooler_act"),
    ),
}  # fmt: skip
"""What the settings that any family reads must be, where they are there: a test, and the keys it is for."""


def require(config: HFConfig, keys: Iterable[str]) -> None:
    """Raise if a key that the checkpoint must supply is absent; all of them at once.

    Raises:
        CheckpointError: keys are missing.
    """
    missing = [key for key in keys if config.get(key) is None]
    if missing:
        raise CheckpointError(f"the configuration lacks {', '.join(missing)}", fix=ANEW)


def check(config: HFConfig) -> None:
    """Raise if a setting that is there is not of its kind; all of them at once.

    Raises:
        CheckpointError: settings are of another kind.
    """
    wrong = [
        f"{key}={reprlib.repr(config[key])} is not {kind}"
        for kind, (fits, keys) in _KINDS.items()
        for key in keys
        if config.get(key) is not None and not fits(config[key])
    ]
    if wrong:
        raise CheckpointError("; ".join(wrong), fix=ANEW)


def number(config: HFConfig, key: str, default: float) -> float:
    """A number that a checkpoint may leave out, because it says nothing about its weights (dropout)."""
    value = config.get(key)
    return default if value is None else float(value)


def flag(config: HFConfig, key: str, default: bool) -> bool:
    """A switch whose absence has a meaning in the family."""
    value = config.get(key)
    return default if value is None else bool(value)


def activation(name: str) -> Activation:
    """Our name of their activation.

    Raises:
        CapabilityError: the core has no such activation.
    """
    if name not in ACTIVATIONS:
        raise CapabilityError(
            f"activation {name!r} is not supported (supported: {', '.join(ACTIVATIONS)})", fix=OTHER_ENGINE
        )
    return ACTIVATIONS[name]


def refuse(config: HFConfig, **only: Any) -> None:
    """Raise where a setting has another value than the only one supported (absent counts as that one).

    Raises:
        CapabilityError: it has.
    """
    for key, value in only.items():
        if config.get(key, value) not in (value, None):
            raise CapabilityError(f"{key}={config[key]!r} is not supported (only {value!r})", fix=OTHER_ENGINE)


def refuse_quantised(config: HFConfig) -> None:
    """Raise where the weights are stored in a quantised form of their own.

    Raises:
        CapabilityError: they are.
    """
    quantised = config.get("quantization_config")
    if quantised:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else quantised
        raise CapabilityError(f"weights quantised by {method!r} are not supported", fix=OTHER_ENGINE)


def depth(config: HFConfig, key: str, names: Collection[str]) -> int:
    """The number of layers, which the number of tensors bounds: a damaged one must not build a giant.

    Raises:
        CheckpointError: there are fewer tensors than layers.
    """
    layers: int = config[key]
    if layers > len(names):
        raise CheckpointError(f"{key}={layers}, but the weights have only {len(names)} tensors", fix=ANEW)
    return layers


def default_head_dim(dim: int, heads: int) -> int:
    """The width of a head, where the configuration does not state it.

    Raises:
        CheckpointError: the heads do not divide the model's width.
    """
    if dim % heads:
        raise CheckpointError(f"the hidden size {dim} is not a multiple of the {heads} heads", fix=ANEW)
    return dim // heads


def rotary(config: HFConfig, head_dim: int) -> RotaryPosition:
    """Rotary settings, in the spelling of `transformers` 5 (`rope_parameters`) or of before.

    Raises:
        CheckpointError: theta is given nowhere, or a setting is missing or not of its kind.
        CapabilityError: the scaling is of an unsupported kind.
    """
    require(config, ("max_position_embeddings",))
    settings = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    check(settings)
    theta = settings.get("rope_theta", config.get("rope_theta"))
    if theta is None:
        raise CheckpointError(
            "the configuration lacks rope_theta", fix="Add the one that the model was trained with (often 10000.0)"
        )
    if head_dim % 2:
        raise CheckpointError(f"a head of {head_dim} dimensions cannot be rotated, which takes pairs", fix=ANEW)
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
            require(settings, ("factor",))
            return LinearScaling(factor=float(settings["factor"]))
        case "llama3":
            require(settings, ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"))
            return Llama3Scaling(
                factor=float(settings["factor"]),
                low_freq_factor=float(settings["low_freq_factor"]),
                high_freq_factor=float(settings["high_freq_factor"]),
                original_context=settings["original_max_position_embeddings"],
            )
        case "yarn":
            return _yarn(settings, context)
        case other:
            raise CapabilityError(
                f"rotary scaling {other!r} is not supported (supported: default, linear, llama3, yarn)",
                fix=OTHER_ENGINE,
            )


def _yarn(settings: dict[str, Any], context: int) -> YarnScaling:
    original = settings.get("original_max_position_embeddings") or context
    factor = number(settings, "factor", context / original)

    def magnitude(scale: float, weight: float = 1.0) -> float:
        return 1.0 if scale <= 1 else 0.1 * weight * math.log(scale) + 1.0

    part, whole = settings.get("mscale"), settings.get("mscale_all_dim")
    usual = magnitude(factor, part) / magnitude(factor, whole) if part and whole else magnitude(factor)
    return YarnScaling(
        factor=factor,
        original_context=original,
        beta_fast=number(settings, "beta_fast", 32.0),
        beta_slow=number(settings, "beta_slow", 1.0),
        attention_factor=number(settings, "attention_factor", usual),
        truncate=flag(settings, "truncate", True),
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
