"""Tiny stock encoders: every family, each of its heads, and the options of both; and what they compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf

from sensorium.core.model import Encoder

VOCAB, CONTEXT, PAD = 60, 32, 1
_BERT = dict(
    vocab_size=VOCAB, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40,
    max_position_embeddings=CONTEXT, pad_token_id=PAD,
)  # fmt: skip
_DISTIL = dict(
    vocab_size=VOCAB, dim=24, n_layers=2, n_heads=4, hidden_dim=40, max_position_embeddings=CONTEXT, pad_token_id=PAD
)
_MODERN = dict(
    vocab_size=VOCAB, hidden_size=24, num_hidden_layers=4, num_attention_heads=4, intermediate_size=40,
    max_position_embeddings=CONTEXT, local_attention=6, pad_token_id=PAD, bos_token_id=2, eos_token_id=3,
    cls_token_id=2, sep_token_id=3,
)  # fmt: skip
_YARN = dict(rope_type="yarn", rope_theta=500.0, factor=4.0, original_max_position_embeddings=8)
NAMES = {0: "O", 1: "人名", 2: "PLACE"}
_LABELS = dict(id2label=NAMES, label2id={name: i for i, name in NAMES.items()})
_ANY = dict(problem_type="multi_label_classification")
Make = Callable[[], Any]


def _made(family: str, base: dict[str, Any], ending: str, **options: Any) -> Make:
    model, config = getattr(hf, f"{family}{ending}"), getattr(hf, f"{family}Config")
    return lambda: model(config(**base | options))


def _heads(name: str, family: str, base: dict[str, Any], **options: Any) -> dict[str, Make]:
    return {
        f"{name} answers": _made(family, base, "ForQuestionAnswering", **options),
        f"{name} classes": _made(family, base, "ForSequenceClassification", **options, **_LABELS),
        f"{name} any classes": _made(family, base, "ForSequenceClassification", **options, **_LABELS, **_ANY),
        f"{name} value": _made(family, base, "ForSequenceClassification", num_labels=1, problem_type="regression"),
        f"{name} two classes": _made(family, base, "ForSequenceClassification"),
        f"{name} tags": _made(family, base, "ForTokenClassification", **options, **_LABELS),
    }


_ROBERTA = _BERT | dict(type_vocab_size=1)
_OTHER_BASES = dict(
    full_attention=dict(rope_type="default", rope_theta=900.0),
    sliding_attention=dict(rope_type="default", rope_theta=30.0),
)
MASKED: dict[str, Make] = {
    "roberta": _made("Roberta", _ROBERTA, "ForMaskedLM"),
    "roberta relu, types": _made("Roberta", _ROBERTA, "ForMaskedLM", hidden_act="relu", type_vocab_size=3),
    "roberta pad 0": _made("Roberta", _ROBERTA, "ForMaskedLM", pad_token_id=0, layer_norm_eps=1e-2),
    "roberta pad 5": _made("Roberta", _ROBERTA, "ForMaskedLM", pad_token_id=5, hidden_dropout_prob=0.3),
    "xlm-r": _made("XLMRoberta", _ROBERTA, "ForMaskedLM"),
    "distilbert": _made("DistilBert", _DISTIL, "ForMaskedLM"),
    "distilbert relu": _made("DistilBert", _DISTIL, "ForMaskedLM", activation="relu", dropout=0.2),
    "modernbert": _made("ModernBert", _MODERN, "ForMaskedLM"),
    "modernbert bases": _made("ModernBert", _MODERN, "ForMaskedLM", rope_parameters=_OTHER_BASES),
    "modernbert biases": _made(
        "ModernBert", _MODERN, "ForMaskedLM", norm_bias=True, attention_bias=True, mlp_bias=True, classifier_bias=True
    ),
    "modernbert without biases": _made("ModernBert", _MODERN, "ForMaskedLM", decoder_bias=False, norm_eps=1e-2),
    "modernbert untied": _made("ModernBert", _MODERN, "ForMaskedLM", tie_word_embeddings=False),
    "modernbert norm biases": _made("ModernBert", _MODERN, "ForMaskedLM", norm_bias=True),
    "modernbert activations": _made(
        "ModernBert", _MODERN, "ForMaskedLM", hidden_activation="silu", classifier_activation="relu"
    ),
    "modernbert layers": _made(
        "ModernBert", _MODERN, "ForMaskedLM", local_attention=5,
        layer_types=["sliding_attention", "full_attention", "full_attention", "sliding_attention"],
    ),
    "modernbert all global": _made("ModernBert", _MODERN, "ForMaskedLM", layer_types=["full_attention"] * 4),
    "modernbert all local": _made("ModernBert", _MODERN, "ForMaskedLM", layer_types=["sliding_attention"] * 4),
    "modernbert yarn": _made(
        "ModernBert", _MODERN, "ForMaskedLM", rope_parameters=_OTHER_BASES | dict(full_attention=_YARN)
    ),
    "modernbert dropouts": _made(
        "ModernBert", _MODERN, "ForMaskedLM", attention_dropout=0.1, mlp_dropout=0.2, embedding_dropout=0.3
    ),
}  # fmt: skip
TASKS: dict[str, Make] = {
    **_heads("bert", "Bert", _BERT),
    **_heads("bert dropout", "Bert", _BERT, classifier_dropout=0.0, hidden_dropout_prob=0.3),
    **_heads("roberta", "Roberta", _ROBERTA),
    **_heads("roberta dropout", "Roberta", _ROBERTA, classifier_dropout=0.4, hidden_act="relu"),
    **_heads("xlm-r", "XLMRoberta", _ROBERTA),
    **_heads("distilbert", "DistilBert", _DISTIL),
    **_heads("distilbert dropout", "DistilBert", _DISTIL, qa_dropout=0.3, seq_classif_dropout=0.4, activation="relu"),
    **_heads("modernbert", "ModernBert", _MODERN),
    **_heads("modernbert mean", "ModernBert", _MODERN, classifier_pooling="mean", norm_bias=True),
    **_heads("modernbert bias", "ModernBert", _MODERN, classifier_bias=True, classifier_activation="relu"),
    **_heads("modernbert dropout", "ModernBert", _MODERN, classifier_dropout=0.3, tie_word_embeddings=False),
}
BARE: dict[str, Make] = {
    "roberta model": _made("Roberta", _ROBERTA, "Model"),
    "roberta without pooler": lambda: hf.RobertaModel(hf.RobertaConfig(**_ROBERTA), add_pooling_layer=False),
    "xlm-r model": _made("XLMRoberta", _ROBERTA, "Model"),
    "distilbert model": _made("DistilBert", _DISTIL, "Model"),
    "distilbert sinusoids": _made("DistilBert", _DISTIL, "Model", sinusoidal_pos_embds=True),
    "modernbert model": _made("ModernBert", _MODERN, "Model"),
}
EVERY = MASKED | TASKS | BARE


def outputs(model: Any, out: Any, valid: torch.Tensor) -> list[torch.Tensor]:
    """What stock computed, without what it computed of padding."""
    if "start_logits" in out:
        return [out.start_logits[valid], out.end_logits[valid]]
    if type(model).__name__.endswith("ForSequenceClassification"):
        return [out.logits[valid[:, 0]]]
    by_token = out.logits if "logits" in out else out.last_hidden_state
    pooled = out.get("pooler_output")
    return [by_token[valid], *([] if pooled is None else [pooled[valid[:, 0]]])]


def our_outputs(ours: Encoder, hidden: torch.Tensor, valid: torch.Tensor) -> list[torch.Tensor]:
    first = valid[:, 0]
    if ours.spans is not None:
        return list(ours.span_logits(hidden[valid]).unbind(-1))
    if ours.classes is not None:
        return [ours.class_logits(hidden, valid=valid)[first]]
    if ours.tags is not None:
        return [ours.tag_logits(hidden[valid])]
    if ours.language is not None:
        return [ours.masked_logits(hidden[valid])]
    return [hidden[valid], *([] if ours.pooler is None else [ours.pooled(hidden[:, 0])[first]])]
