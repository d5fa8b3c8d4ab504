"""Classes and tags of texts, against stock `transformers` pipelines."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from sensorium.errors import CapabilityError, InputError
from sensorium.tasks.classify import probabilities
from sensorium.tasks.model import LanguageModel, load
from tests.training.labelled import encoder

TEXTS = ["Anna went to Paris in 1990.", "Who?", "Where did she go? When? Who? Carl went to Oslo."]
NAMES = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC"}


def saved(folder: Path, model: Any) -> Path:
    """A stock model with a head of random weights, in a folder with a tokenizer."""
    torch.manual_seed(1)
    made = encoder(folder)
    config = hf.AutoConfig.from_pretrained(folder)
    config.id2label, config.label2id = NAMES, {name: i for i, name in NAMES.items()}
    theirs = model.from_config(config)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    theirs.save_pretrained(folder)
    return made


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("heads") / "classes", hf.AutoModelForSequenceClassification)


@pytest.fixture(scope="module")
def tags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("heads") / "tags", hf.AutoModelForTokenClassification)


@pytest.mark.parametrize("engine", ["native", "transformers"])
def test_classes_are_those_of_the_stock_pipeline(classes: Path, engine: Any) -> None:
    lm = load(classes, engine=engine)
    stock = hf.pipeline("text-classification", model=str(classes), top_k=None)
    for found, expected in zip(lm.classify(TEXTS), stock(TEXTS), strict=True):
        assert list(found.scores) == [one["label"] for one in expected]
        assert list(found.scores.values()) == pytest.approx([one["score"] for one in expected], abs=1e-5)
        assert (found.label, found.score) == next(iter(found.scores.items()))
    pairs = lm.classify(TEXTS[:2], pair=TEXTS[1:])
    expected = stock([{"text": a, "text_pair": b} for a, b in pairwise(TEXTS)])
    assert [one.label for one in pairs] == [one[0]["label"] for one in expected]
    assert [one.score for one in pairs] == pytest.approx([one[0]["score"] for one in expected], abs=1e-5)
    assert lm.classify(TEXTS[0], pair=TEXTS[1]).scores == pytest.approx(pairs[0].scores, abs=1e-5)


def test_tags_are_those_of_the_stock_pipeline(tags: Path) -> None:
    lm = load(tags)
    stock = hf.pipeline("token-classification", model=str(tags), aggregation_strategy="none", ignore_labels=[])
    for found, expected in zip(lm.tag(TEXTS), stock(TEXTS), strict=True):
        firsts = {one["start"]: one for one in expected if not one["word"].startswith("##")}
        assert [tag.start for tag in found.tags] == list(firsts)
        assert [tag.label for tag in found.tags] == [one["entity"] for one in firsts.values()]
        assert [tag.score for tag in found.tags] == pytest.approx([o["score"] for o in firsts.values()], abs=1e-5)
        for tag in found.tags:
            assert found.text[tag.start : tag.end] == tag.word
        for entity in found.entities:
            assert entity.label in ("PER", "LOC")
            assert found.text[entity.start : entity.end] == entity.text


def test_long_texts_are_cut_or_read_in_pieces(classes: Path, tags: Path) -> None:
    long = " ".join(TEXTS[0] for _ in range(40))
    lm = load(classes)
    assert lm.classify(long) == lm.classify(long + " Who?")
    found = load(tags).tag(long)
    assert len(found.tags) == 40 * 6 + 40
    assert found.tags[-1].end == len(long)


def test_texts_without_words(classes: Path, tags: Path) -> None:
    assert load(tags).tag(" \n").tags == ()
    assert load(tags).tag([]) == []
    assert load(classes).classify([]) == []
    with pytest.raises(InputError, match="text 2: the text is empty"):
        load(classes).classify(["a", " "])
    with pytest.raises(InputError, match="2 texts are paired with 1"):
        load(classes).classify(["a", "b"], pair=["c"])


def test_other_models_do_neither(masked: LanguageModel, classes: Path) -> None:
    with pytest.raises(CapabilityError, match=r"cannot classify; it can: .*trained on classes"):
        masked.classify("a")
    with pytest.raises(CapabilityError, match="cannot tag; it can: classify"):
        load(classes).tag("a")


def test_scores_are_what_the_model_says_its_classes_are() -> None:
    logits = torch.tensor([[1.0, -2.0]])
    torch.testing.assert_close(probabilities(logits, "multi_label_classification"), logits.sigmoid())
    torch.testing.assert_close(probabilities(logits, None), logits.softmax(-1))
    torch.testing.assert_close(probabilities(logits[:, :1], None), logits[:, :1])
    torch.testing.assert_close(probabilities(logits, "regression"), logits)
