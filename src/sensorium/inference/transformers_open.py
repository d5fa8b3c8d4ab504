"""From a folder to the engine of its kind, over stock `transformers`: what the model is, is told by its class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch

from sensorium.data.tokens.tokenizer import ROLES, Tokenizer
from sensorium.errors import CapabilityError, CheckpointError, require
from sensorium.families.checkpoint import read_config
from sensorium.inference.engine import Engine
from sensorium.inference.eos import end_tokens
from sensorium.inference.seq2seq_facts import read_facts
from sensorium.inference.transformers_engine import TransformersEngine
from sensorium.inference.transformers_heads import TransformersHeadEngine
from sensorium.inference.transformers_seq2seq import TransformersSeq2SeqEngine

Kind = Literal["causal", "masked", "seq2seq", "spans", "classes", "tags"]
_OPENERS: dict[Kind, str] = {
    "causal": "AutoModelForCausalLM",
    "masked": "AutoModelForMaskedLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "spans": "AutoModelForQuestionAnswering",
    "classes": "AutoModelForSequenceClassification",
    "tags": "AutoModelForTokenClassification",
}


def open_stock(path: Path, *, dtype: torch.dtype, device: str, trust_remote_code: bool) -> Engine:
    """Open a Hugging Face folder.

    Raises:
        CapabilityError: `transformers` is not installed, or has no model of this kind.
        CheckpointError: it cannot read the folder.
    """
    hf = require("transformers", extra="transformers", purpose="the transformers engine")
    config = read_config(path)
    names = [str(name) for name in config.get("architectures") or [""]]
    if "auto_map" in config and not trust_remote_code and config.get("model_type") not in hf.CONFIG_MAPPING:
        raise CapabilityError(
            "the model brings Python code of its own, which is not run unless you allow it",
            where=str(path),
            fix="Read that code, then load with engine='transformers', trust_remote_code=True",
        )
    kind = _kind(names[0], str(config.get("model_type")), config, str(path))
    opener = getattr(hf, _OPENERS[kind])
    options = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    try:
        with _quiet(hf.logging):
            model, report = opener.from_pretrained(
                path, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
            )
            stock = hf.AutoTokenizer.from_pretrained(path, **options)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"transformers cannot open the model: {reason}", where=str(path)) from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise CheckpointError(
            f"weights are missing: {', '.join(missing[:5])}" + (" ..." if len(missing) > 5 else ""),
            where=str(path),
            fix="Copy the folder anew, or load a model that was saved with this head",
        )
    tokenizer, model, source = _wrap(stock, str(path)), model.to(device), str(path)
    if kind == "seq2seq":
        facts = read_facts(config, path, tokenizer=tokenizer)
        return TransformersSeq2SeqEngine(model, tokenizer, facts=facts, source=source)
    if kind == "causal" or kind == "masked":  # noqa: PLR1714 - mypy follows comparisons
        eos = end_tokens(tokenizer, config, path)
        return TransformersEngine(model, tokenizer, causal=kind == "causal", source=source, eos_ids=eos)
    return TransformersHeadEngine(model, tokenizer, kind=kind, source=source)


def _kind(architecture: str, model_type: str, config: dict[str, Any], where: str) -> Kind:
    from transformers.models.auto import modeling_auto as known

    # BART's class is in the list of masked models too.
    by_class: dict[Kind, set[str]] = {
        "seq2seq": set(known.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES.values()),
        "causal": set(known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()),
        "masked": set(known.MODEL_FOR_MASKED_LM_MAPPING_NAMES.values()),
        "spans": set(known.MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES.values()),
        "classes": set(known.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES.values()),
        "tags": set(known.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES.values()),
    }
    remote = config.get("auto_map") or {}
    for kind, classes in by_class.items():
        if architecture in classes or _OPENERS[kind] in remote:
            return kind
    pretraining = known.MODEL_FOR_PRETRAINING_MAPPING_NAMES.get(model_type) == architecture
    if pretraining and model_type in known.MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return "masked"
    raise CapabilityError(
        f"{architecture or model_type} is no model with a head for any task that transformers knows",
        where=where,
        fix="Load a model that was saved with a head (...ForMaskedLM, ...ForCausalLM, ...ForConditionalGeneration)",
    )


@contextmanager
def _quiet(log: Any) -> Iterator[None]:
    """Hold back the bars and the report that `transformers` prints of a load: what matters of it is an error here."""
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


def _wrap(stock: Any, where: str) -> Tokenizer:
    """The stock tokenizer's fast backend as ours.

    Raises:
        CapabilityError: it is a slow tokenizer, without one.
    """
    backend = getattr(stock, "backend_tokenizer", None)
    if backend is None:
        raise CapabilityError(
            f"its tokenizer {type(stock).__name__} has no fast form (tokenizer.json)",
            where=where,
            fix="Save a fast tokenizer into the folder",
        )
    special = {role: token for role in ROLES if (token := getattr(stock, f"{role}_token", None)) is not None}
    template = stock.chat_template
    return Tokenizer(backend, special, template if isinstance(template, str) else None)
