"""The encoder families' settings: what is missing, wrong or beyond the core is named; our own sizes open in stock."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import transformers as hf
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel

from sensorium.core.config import ModelConfig
from sensorium.core.model import Encoder
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, CheckpointError, SensoriumError
from sensorium.families import bert, distilbert, modernbert, roberta
from sensorium.families.checkpoint import family_for, read_config, read_model, write_model
from sensorium.families.heads import Task, carried
from sensorium.training.given import Given
from tests.core import models
from tests.parity.encoders import our_outputs, outputs

MANY = settings(max_examples=150, derandomize=True)
SIZE: dict[str, Any] = dict(vocab_size=50, dim=24, layers=3, heads=4, feedforward=32, context=20)
FAMILIES: dict[str, tuple[ModuleType, ModelConfig]] = {
    "bert": (bert, bert.sized(**SIZE)),
    "roberta": (roberta, roberta.sized(**SIZE, pad_id=2)),
    "distilbert": (distilbert, distilbert.sized(**SIZE)),
    "modernbert": (modernbert, modernbert.sized(**SIZE, window=4)),
}
TASKS = {
    "spans": Task(kind="spans"),
    "classes": Task(kind="classes", labels=("neg", "中", "pos")),
    "values": Task(kind="classes", labels=("score",), problem="regression"),
    "tags": Task(kind="tags", labels=("O", "B", "I")),
}
REQUIRED = {
    "roberta": (
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
        "max_position_embeddings", "type_vocab_size", "layer_norm_eps", "pad_token_id",
    ),
    "distilbert": (
        "vocab_size", "dim", "n_layers", "n_heads", "hidden_dim", "activation", "max_position_embeddings",
    ),
    "modernbert": (
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
        "hidden_activation", "max_position_embeddings", "norm_eps", "local_attention",
    ),
}  # fmt: skip
IDS = torch.randint(5, 50, (2, 9), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(family: str, task: str) -> Path:
        module, config = FAMILIES[family]
        config = config if task == "masked" else module.for_task(config, TASKS[task])
        folder = tmp_path / f"{family} {task}"
        folder.mkdir()
        write_model(folder, models.built(config), special={"pad": 2, "cls": 3, "sep": 4})
        return folder

    return write


def changed(folder: Path, **keys: Any) -> None:
    """Set keys of config.json; the value `...` takes a key out."""
    config = read_config(folder) | keys
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def refused(folder: Path, kind: type[SensoriumError], match: str) -> None:
    with pytest.raises(kind, match=match) as caught:
        read_model(folder)
    assert str(caught.value.where).startswith(str(folder))
    assert caught.value.fix


@pytest.mark.parametrize("task", ["masked", *TASKS])
@pytest.mark.parametrize("family", FAMILIES)
def test_stock_computes_the_same_from_our_own_sizes(
    family: str, task: str, written: Callable[[str, str], Path]
) -> None:
    folder = written(family, task)
    module, _ = FAMILIES[family]
    ours = read_model(folder).model
    assert isinstance(ours, Encoder)
    assert family_for(ours.config) is module
    architecture = read_config(folder)["architectures"][0]
    theirs, info = getattr(hf, architecture).from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    every = torch.ones_like(IDS, dtype=torch.bool)
    mine, reference = our_outputs(ours, ours(IDS), every), outputs(theirs, theirs.eval()(IDS), every)
    torch.testing.assert_close(mine, reference, atol=2e-5, rtol=1e-5)
    if task not in ("masked", "spans"):
        assert tuple(theirs.config.id2label.values()) == TASKS[task].labels == ours.config.labels
        assert theirs.config.problem_type == TASKS[task].problem


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_takes_the_place_of_another_and_keeps_the_encoder(family: str) -> None:
    module, config = FAMILIES[family]
    tags = module.for_task(config, TASKS["tags"])
    assert tags.stack == config.stack
    assert tags.language is None
    assert (tags.n_tags, tags.labels) == (3, ("O", "B", "I"))
    spans = module.for_task(tags, TASKS["spans"])
    assert spans == module.for_task(config, TASKS["spans"])
    assert (spans.spans, spans.n_tags, spans.labels) == (True, 0, ())


@pytest.mark.parametrize(("family", "key"), [(family, key) for family, keys in REQUIRED.items() for key in keys])
def test_a_missing_setting_is_named_and_never_guessed(
    family: str, key: str, written: Callable[[str, str], Path]
) -> None:
    folder = written(family, "masked")
    changed(folder, **{key: ...})
    refused(folder, CheckpointError, f"lacks {key}")


def test_modernbert_says_which_layers_see_everything_and_how_they_turn(written: Callable[[str, str], Path]) -> None:
    folder = written("modernbert", "masked")
    whole = read_config(folder)
    changed(folder, layer_types=...)
    refused(folder, CheckpointError, "lacks global_attn_every_n_layers")
    changed(folder, global_attn_every_n_layers=3)
    assert read_model(folder).model.config == FAMILIES["modernbert"][1]
    changed(folder, layer_types=["full_attention"])
    refused(folder, CheckpointError, "layer_types names 1 layers, num_hidden_layers is 3")
    changed(folder, layer_types=["chunked_attention"] * 3)
    refused(folder, CapabilityError, "chunked_attention")
    changed(folder, layer_types=whole["layer_types"], rope_parameters=..., local_rope_theta=...)
    refused(folder, CheckpointError, "lacks rope_theta")
    changed(folder, local_rope_theta=10000.0)
    assert read_model(folder).model.config == FAMILIES["modernbert"][1]


@pytest.mark.parametrize(
    ("family", "task", "keys", "kind", "message"),
    [
        ("roberta", "masked", {"pad_token_id": 60}, CheckpointError, "pad_token_id=60 leaves no positions"),
        ("roberta", "masked", {"pad_token_id": -1}, CheckpointError, "pad_token_id=-1 leaves no positions"),
        ("roberta", "masked", {"pad_token_id": "1"}, CheckpointError, "pad_token_id='1' leaves no positions"),
        ("roberta", "masked", {"is_decoder": True}, CapabilityError, "is_decoder=True"),
        ("roberta", "masked", {"position_embedding_type": "relative_key"}, CapabilityError, "relative_key"),
        ("roberta", "masked", {"tie_word_embeddings": False}, CapabilityError, "tie_word_embeddings=False"),
        ("roberta", "masked", {"hidden_act": "mish"}, CapabilityError, "activation 'mish'"),
        ("distilbert", "masked", {"tie_word_embeddings": False}, CapabilityError, "tie_word_embeddings=False"),
        ("distilbert", "masked", {"dim": 24.0}, CheckpointError, r"dim=24\.0 is not a whole number"),
        ("distilbert", "masked", {"n_heads": 5}, CheckpointError, "24 is not a multiple of the 5 heads"),
        ("distilbert", "masked", {"dropout": 3}, CheckpointError, "dropout=3 is not a number from 0 to 1"),
        ("modernbert", "classes", {"classifier_pooling": "max"}, CapabilityError, "classifier_pooling='max'"),
        ("modernbert", "masked", {"classifier_activation": "mish"}, CapabilityError, "activation 'mish'"),
        ("modernbert", "masked", {"norm_bias": "yes"}, CheckpointError, "norm_bias='yes' is not true or false"),
        ("modernbert", "masked", {"local_attention": 0}, CheckpointError, "local_attention=0 is not a whole number"),
        ("bert", "spans", {"id2label": {"0": "a"}}, CheckpointError, "1 labels for question answering"),
        ("bert", "tags", {"id2label": {"1": "a", "2": "b"}}, CheckpointError, "id2label does not name the labels 0, 1"),
        ("bert", "tags", {"id2label": ["a", "b"]}, CheckpointError, "id2label does not name"),
        ("bert", "tags", {"id2label": {}}, CheckpointError, "id2label does not name"),
        ("bert", "tags", {"id2label": {"0": 7}}, CheckpointError, "something else than text"),
        ("bert", "classes", {"problem_type": "ranking"}, CheckpointError, "problem_type='ranking' is none of"),
        ("bert", "classes", {"id2label": {"0": "a", "1": "b"}}, CheckpointError, r"classifier.weight is \[3, 24\]"),
        ("bert", "classes", {"id2label": ..., "num_labels": 5}, CheckpointError, r"configuration says \[5, 24\]"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    family: str,
    task: str,
    keys: dict[str, Any],
    kind: type[SensoriumError],
    message: str,
    written: Callable[[str, str], Path],
) -> None:
    folder = written(family, task)
    changed(folder, **keys)
    refused(folder, kind, message)


def test_labels_without_names_are_numbered(written: Callable[[str, str], Path]) -> None:
    folder = written("bert", "tags")
    changed(folder, id2label=..., label2id=..., num_labels=3)
    assert read_model(folder).model.config.labels == ("LABEL_0", "LABEL_1", "LABEL_2")


@pytest.mark.parametrize("family", ["roberta", "distilbert", "modernbert"])
def test_any_value_of_any_setting_is_refused_or_runs(family: str, written: Callable[[str, str], Path]) -> None:
    folder = written(family, "classes")
    whole = read_config(folder)
    plain = st.one_of(
        st.none(), st.booleans(), st.integers(), st.integers(0, 100), st.floats(), st.text(max_size=5),
        st.sampled_from(["default", "yarn", "gelu", "sliding_attention", "mean"]),
    )  # fmt: skip
    keys = st.sampled_from(["full_attention", "sliding_attention", "rope_theta", "0", "1", "2"])
    values = st.one_of(plain, st.lists(plain, max_size=3), st.dictionaries(keys, plain, max_size=3))

    @MANY
    @given(st.sampled_from(sorted(whole)), values)
    def check(key: str, value: Any) -> None:
        (folder / "config.json").write_text(json.dumps(whole | {key: value}))
        assert runs_or_is_refused(folder)

    check()


def runs_or_is_refused(folder: Path) -> bool:
    try:
        model = read_model(folder).model
    except SensoriumError as error:
        return bool(error.fix)
    return len(model.class_logits(model(IDS[:, : model.config.stack.context]))) == len(IDS)


def test_two_heads_have_no_format() -> None:
    for module, config in FAMILIES.values():
        both = replace(config, spans=True, features=module.for_task(config, TASKS["spans"]).features)
        assert not module.expresses(both)
        with pytest.raises(CheckpointError, match="no Hugging Face format"):
            family_for(both)


def test_modernberts_dense_layer_keeps_its_form_under_every_head() -> None:
    config = FAMILIES["modernbert"][1]
    bare = replace(config, language=None)
    assert config.language is not None
    relu = replace(config, language=replace(config.language, transform="relu", transform_bias=True))
    for start, form in ((bare, ("gelu", False)), (config, ("gelu", False)), (relu, ("relu", True))):
        tags = modernbert.for_task(start, TASKS["tags"])
        for again in (tags, modernbert.for_task(tags, TASKS["spans"])):
            assert (again.features.transform, again.features.bias) == form


def test_another_head_reads_through_what_the_given_one_learned(written: Callable[[str, str], Path]) -> None:
    """As stock `from_pretrained` has it: ModernBERT's dense layer and norm, and nothing of the other families."""
    for name, (module, config) in FAMILIES.items():
        tables = [module.keymap(config, "") for config in (config, module.for_task(config, TASKS["classes"]))]
        parts = ("dense.weight", "dense.bias", "norm.weight", "norm.bias") if name == "modernbert" else ()
        assert carried(*tables) == {f"features.{part}": f"language.{part}" for part in parts}
    folder = written("modernbert", "masked")
    tokenizer = Tokenizer(Backend(WordLevel({"a": 0}, "a")), {})
    given = Given(folder, read_model(folder).model, tokenizer, modernbert)
    assert given.fresh(TASKS["spans"]) == ("spans",)
    ours, theirs = given.with_head(TASKS["spans"]), hf.ModernBertForQuestionAnswering.from_pretrained(folder)
    assert torch.equal(ours.features.dense.weight, theirs.head.dense.weight)
    assert torch.equal(ours.features.norm.weight, theirs.head.norm.weight)
