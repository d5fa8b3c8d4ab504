"""Classes and tags against stock BERT's losses, and how long texts are cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers as hf
from sklearn.utils.class_weight import compute_class_weight

from sensorium.data.labelled.classes import Labelled
from sensorium.data.labelled.examples import ClassExamples, TagExamples
from sensorium.data.labelled.tags import Tagged
from sensorium.errors import ConfigError, DataError
from sensorium.objectives.stream import one_pass
from sensorium.objectives.supervised import ClassObjective, TagObjective, balanced, cut_between_words
from tests.objectives.heads import WORDS, pair, tokenizer

RNG = np.random.default_rng(0)
TOKENIZER = tokenizer()
LABELS = ("bad", "good", "so")
TAGS = ("B-LOC", "B-PER", "O")
TEXTS = ["the town is very good", "cold and bad", "Anna lives in Paris and works in Rome since 1999", "nice"]


def classes(seconds: list[str] | None = None, labels: tuple[int, ...] = (1, 0, 2, 1)) -> ClassExamples:
    rows = [
        Labelled(text, None if seconds is None else seconds[i], LABELS[label], f"row {i}")
        for i, (text, label) in enumerate(zip(TEXTS, labels, strict=True))
    ]
    return ClassExamples.of(rows, TOKENIZER, LABELS)


def tagged() -> TagExamples:
    sentences = [
        Tagged(("Anna", "lives", "in", "Paris", "."), ("B-PER", "O", "O", "B-LOC", "O"), "a"),
        Tagged(("1999", "is", "since"), ("O", "O", "O"), "b"),
        Tagged(tuple(WORDS * 4), tuple("B-PER" if w in ("Anna", "Bert") else "O" for w in WORDS * 4), "c"),
    ]
    return TagExamples.of(sentences, TOKENIZER, TAGS)


def all_of(objective, data):
    return [objective.example(data, unit, RNG) for unit in objective.units(data, RNG)]


@pytest.mark.parametrize("seconds", [None, ["Rome is cold", "very nice", "since 1990", "good"]])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_losses_and_gradients_are_those_of_stock(seconds, weighted: bool, tmp_path) -> None:
    theirs, ours = pair(
        hf.BertForSequenceClassification, tmp_path, vocab_size=TOKENIZER.vocab_size, num_labels=3,
        classifier_dropout=0.0,
    )  # fmt: skip
    data = classes(seconds)
    weights = np.array([2.0, 0.5, 1.0]) if weighted else None
    objective = ClassObjective(TOKENIZER, seq_len=32, pairs=seconds is not None, weights=weights)
    examples = all_of(objective, data)
    ours.train()
    loss = objective.loss(ours, objective.collate(examples))
    loss.total.backward()
    logits = [
        theirs(input_ids=torch.tensor(e.ids[None]), token_type_ids=torch.tensor(e.types[None])).logits for e in examples
    ]
    targets = torch.from_numpy(data.classes)
    plain = F.cross_entropy(torch.cat(logits), targets)
    expected = plain
    if weights is not None:  # a sum of scikit-learn's weighted losses, over how many there are
        each = F.cross_entropy(torch.cat(logits), targets, torch.tensor(weights).float(), reduction="none")
        expected = each.mean()
    expected.backward()
    torch.testing.assert_close(loss.total, expected)
    torch.testing.assert_close(loss.parts["loss"], plain)
    torch.testing.assert_close(ours.classes.weight.grad, theirs.classifier.weight.grad, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(ours.pooler.weight.grad, theirs.bert.pooler.dense.weight.grad, atol=1e-6, rtol=1e-4)


def test_weighted_losses_of_small_batches_add_up_to_those_of_a_large_one(tmp_path) -> None:
    """As the loop adds them up, each by how much it predicts: a class weighs no less where it is alone."""
    _, ours = pair(hf.BertForSequenceClassification, tmp_path, vocab_size=TOKENIZER.vocab_size, num_labels=3)
    objective = ClassObjective(TOKENIZER, seq_len=32, weights=np.array([2.0, 0.5, 1.0]))
    examples = all_of(objective, classes())
    whole = objective.loss(ours, objective.collate(examples)).total
    parts = [(len(part), objective.loss(ours, objective.collate(part)).total) for part in (examples[:1], examples[1:])]
    torch.testing.assert_close(sum(n * loss for n, loss in parts) / len(examples), whole)


def test_tag_losses_are_those_of_stock_on_first_tokens(tmp_path) -> None:
    theirs, ours = pair(
        hf.BertForTokenClassification, tmp_path, vocab_size=TOKENIZER.vocab_size, num_labels=3, classifier_dropout=0.0
    )
    objective = TagObjective(TOKENIZER, seq_len=32, labels=TAGS)
    examples = all_of(objective, tagged())
    ours.train()
    loss = objective.loss(ours, objective.collate(examples))
    loss.total.backward()
    sums, count = [], 0
    for example in examples:
        labels = torch.full((1, len(example.ids)), -100)
        labels[0, example.places] = torch.from_numpy(example.targets)
        mean = theirs(input_ids=torch.tensor(example.ids[None]), labels=labels).loss
        sums.append(mean * len(example.targets))
        count += len(example.targets)
    expected = torch.stack(sums).sum() / count
    expected.backward()
    torch.testing.assert_close(loss.total, expected)
    torch.testing.assert_close(ours.tags.weight.grad, theirs.classifier.weight.grad, atol=1e-6, rtol=1e-4)


def test_every_word_is_predicted_once_however_short_the_sequences() -> None:
    data = tagged()
    for seq_len in (8, 20, 128):
        pieces = all_of(TagObjective(TOKENIZER, seq_len=seq_len, labels=TAGS), data)
        assert max(len(piece.ids) for piece in pieces) <= seq_len
        assert sum(len(piece.targets) for piece in pieces) == len(data.words.values)
        for piece in pieces:
            assert piece.ids[0] == TOKENIZER.cls_id
            assert piece.ids[-1] == TOKENIZER.sep_id
            assert all(0 < place < len(piece.ids) - 1 for place in piece.places)
    whole = all_of(TagObjective(TOKENIZER, seq_len=128, labels=TAGS), data)[0]
    first = [TOKENIZER.token(int(id)) for id in whole.ids[whole.places]]
    assert [token[:2] for token in first] == ["an", "li", "in", "pa", "."]
    assert [TAGS[tag] for tag in whole.targets] == ["B-PER", "O", "O", "B-LOC", "O"]


def test_pieces_end_between_words() -> None:
    assert cut_between_words(np.array([0, 1, 4, 5]), 7, 4) == [(0, 2), (2, 4)]
    assert cut_between_words(np.array([0, 9, 10]), 11, 4) == [(0, 1), (1, 3)]
    assert cut_between_words(np.array([], dtype=np.int64), 0, 4) == []


def test_a_pair_that_is_too_long_loses_from_its_longer_text() -> None:
    seconds = ["Rome"] * 4
    objective = ClassObjective(TOKENIZER, seq_len=9, pairs=True)
    for example, text in zip(all_of(objective, classes(seconds)), TEXTS, strict=True):
        assert len(example.ids) == min(9, len(TOKENIZER.encode(text, special=False)) + 4)
        assert TOKENIZER.decode(example.ids[example.types == 1]) == "rome"
    with pytest.raises(ConfigError, match="leaves no room for text"):
        ClassObjective(TOKENIZER, seq_len=3)


def test_metrics_do_not_depend_on_how_examples_are_batched(tmp_path) -> None:
    _, ours = pair(hf.BertForTokenClassification, tmp_path, vocab_size=TOKENIZER.vocab_size, num_labels=3)
    ours.eval()
    objective = TagObjective(TOKENIZER, seq_len=20, labels=TAGS)
    one, other = (
        objective.evaluate(ours, one_pass(objective, tagged(), tokens=tokens, seed=0), 1) for tokens in (20, 1000)
    )
    assert one == pytest.approx(other, rel=1e-4)
    assert one.keys() == {"loss", "accuracy", "macro_f1", "entity_f1"}


def test_an_entity_of_a_sentence_that_is_cut_is_whole(tmp_path) -> None:
    """Two pieces, one of them in each batch; the tags that are found are right, but for one word of an entity."""
    sentence = Tagged(("Anna", "lives", "in", "Paris", "Rome", "Oslo"), ("O", "O", "O", "B-LOC", "I-LOC", "I-LOC"), "a")
    names = ("B-LOC", "I-LOC", "O")
    data = TagExamples.of([sentence, Tagged(("Bert",), ("I-LOC",), "b")], TOKENIZER, names)
    first = sum(len(TOKENIZER.encode_raw([f" {word}"])[0]) for word in sentence.words[:5])
    objective = TagObjective(TOKENIZER, seq_len=first + 2, labels=names)
    assert [example.begins for example in all_of(objective, data)] == [True, False, True]

    _, ours = pair(hf.BertForTokenClassification, tmp_path, vocab_size=TOKENIZER.vocab_size, num_labels=3)

    def measured(wrong: int | None) -> dict[str, float]:
        seen = 0

        def logits(model, batch):
            nonlocal seen
            made = 9.0 * F.one_hot(batch.targets, 3).float()
            if wrong is not None and seen <= wrong < seen + len(made):
                made[wrong - seen] = torch.tensor([0.0, 0.0, 9.0])
            seen += len(made)
            return made

        objective.logits = logits
        return objective.evaluate(ours, one_pass(objective, data, tokens=first + 2, seed=0), 1)

    assert measured(None)["entity_f1"] == 1.0
    assert measured(5)["entity_f1"] == pytest.approx(0.5)  # of two and two entities, the other sentence's is right
    assert objective.evaluate(ours, iter(()), 1) == {}


def test_balanced_weights_are_scikit_learns() -> None:
    labels = np.array([0] * 7 + [1] * 2 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(balanced(np.bincount(labels)), expected)
    assert balanced(np.array([4, 0, 4]))[[0, 2]].tolist() == [1.0, 1.0]


def test_labels_that_were_not_in_the_training_data_are_named() -> None:
    with pytest.raises(DataError, match=r"row 7: the label 'odd' is none of the training data's \(bad, good, so\)"):
        ClassExamples.of([Labelled("a", None, "odd", "row 7")], TOKENIZER, LABELS)
    with pytest.raises(DataError, match="the tag 'X' is none"):
        TagExamples.of([Tagged(("a",), ("X",), "s")], TOKENIZER, TAGS)


def test_words_that_are_nothing_to_the_tokenizer_are_left_out() -> None:
    data = TagExamples.of([Tagged(("Anna", "\u200b\u0300", "Paris"), ("B-PER", "O", "B-LOC"), "s")], TOKENIZER, TAGS)
    assert [TAGS[tag] for tag in data.tags[0]] == ["B-PER", "B-LOC"]
    assert data.untagged == 1
