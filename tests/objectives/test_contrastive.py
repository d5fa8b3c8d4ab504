"""The losses are those of stock `transformers`; equal things are no negatives; a missing sense leaves a row out."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensorium.objectives.contrastive import Vectors, aligned_loss, clip_loss, siglip_loss
from sensorium.objectives.retrieval import best_ranks, distinct, recall

hf = pytest.importorskip("transformers")


def unit(rows: int, width: int = 8, seed: int = 0) -> Tensor:
    drawn = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=-1)


def sense(vectors: Tensor, rows: list[int] | None = None, ids: list[int] | None = None) -> Vectors:
    places = list(range(len(vectors))) if rows is None else rows
    return Vectors(vectors, torch.tensor(places), torch.tensor(places if ids is None else ids))


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_the_loss_and_its_gradients_are_those_of_transformers(kind: str) -> None:
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision, text = (
        {**small, "image_size": 8, "patch_size": 4},
        {**small, "vocab_size": 20, "max_position_embeddings": 6},
    )
    if kind == "clip":
        theirs = hf.CLIPModel(hf.CLIPConfig(vision_config=vision, text_config=text, projection_dim=16))
    else:
        theirs = hf.SiglipModel(hf.SiglipConfig(vision_config=vision, text_config=text))
        with torch.no_grad():
            theirs.logit_scale.fill_(1.2)
            theirs.logit_bias.fill_(-2.0)
    found = theirs(input_ids=torch.randint(3, 20, (5, 6)), pixel_values=torch.randn(5, 3, 8, 8), return_loss=True)
    found.loss.backward()
    image, words = found.image_embeds.detach(), found.text_embeds.detach()
    scale = theirs.logit_scale.detach().reshape(()).clone().requires_grad_()
    bias = theirs.logit_bias.detach().reshape(()).clone().requires_grad_() if kind == "siglip" else None
    ours = aligned_loss({"image": sense(image), "text": sense(words)}, kind=kind, scale=scale, bias=bias)  # type: ignore[arg-type]
    torch.testing.assert_close(ours.loss, found.loss.detach())
    ours.loss.backward()
    torch.testing.assert_close(scale.grad, theirs.logit_scale.grad.reshape(()))
    if bias is not None:
        torch.testing.assert_close(bias.grad, theirs.logit_bias.grad.reshape(()))


@pytest.mark.parametrize("loss", [clip_loss, siglip_loss])
def test_equal_things_are_no_negatives_of_each_other(loss) -> None:
    logits = torch.tensor([[2.0, 5.0, 0.0], [1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
    same = torch.eye(3, dtype=torch.bool)
    torch.testing.assert_close(loss(logits, same=same), loss(logits))
    same[0, 1] = same[1, 0] = True
    masked = loss(logits, same=same)
    changed = logits.clone()
    changed[0, 1], changed[1, 0] = 50.0, -50.0
    torch.testing.assert_close(loss(changed, same=same), masked)
    assert masked < loss(logits)


def test_the_same_text_twice_in_a_batch_is_masked_whatever_the_pictures() -> None:
    images, texts = unit(3, seed=1), unit(3, seed=2)
    texts[1] = texts[0]
    scale = torch.tensor(2.0)
    twice = aligned_loss({"image": sense(images), "text": sense(texts, ids=[7, 7, 8])}, kind="clip", scale=scale)
    logits = images @ texts.T * scale.exp()
    logits[0, 1] = logits[1, 0] = -math.inf
    torch.testing.assert_close(twice.loss, clip_loss(logits))


def test_two_texts_of_a_row_are_brought_together_and_equal_ones_of_other_rows_masked() -> None:
    first, second = unit(3, seed=1), unit(3, seed=2)
    scale = torch.tensor(2.0)
    found = aligned_loss(
        {"text": sense(first, ids=[1, 2, 3]), "text 2": sense(second, ids=[4, 1, 6])}, kind="clip", scale=scale
    )
    logits = first @ second.T * scale.exp()
    logits[0, 1] = -math.inf  # the first row's text is the second row's other text
    torch.testing.assert_close(found.loss, clip_loss(logits))


def test_a_row_without_a_sense_is_left_out_of_its_pairs_alone() -> None:
    image, text, sound = unit(4, seed=1), unit(4, seed=2), unit(2, seed=3)
    scale = torch.tensor(1.0)
    senses = {"image": sense(image), "text": sense(text), "audio": sense(sound, rows=[1, 3])}
    found = aligned_loss(senses, kind="clip", scale=scale).loss
    factor = scale.exp()
    expected = [
        clip_loss(sound @ image[[1, 3]].T * factor),
        clip_loss(sound @ text[[1, 3]].T * factor),
        clip_loss(image @ text.T * factor),
    ]
    torch.testing.assert_close(found, torch.stack(expected).mean())


def test_nothing_to_compare_is_a_loss_of_zero_that_can_be_stepped() -> None:
    vectors = unit(1).requires_grad_()
    found = aligned_loss({"image": sense(vectors), "text": sense(unit(1))}, kind="clip", scale=torch.tensor(1.0))
    assert float(found.loss.detach()) == 0
    found.loss.backward()
    assert vectors.grad is not None


@settings(max_examples=40)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10_000))
def test_ranks_are_those_of_a_sort(queries: int, items: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    a, b = unit(queries, seed=seed), unit(items, seed=seed + 1)
    right = torch.rand(queries, items, generator=rng) < 0.3
    right[torch.arange(queries), torch.randint(items, (queries,), generator=rng)] = True
    ranks = best_ranks(a, b, right)
    for row in range(queries):
        order = (a[row] @ b.T).argsort(descending=True).tolist()
        first = next(place for place, item in enumerate(order) if right[row, item])
        assert int(ranks[row]) == first  # before the first right one only wrong ones stand


def test_vectors_that_are_all_alike_find_nothing() -> None:
    same = unit(1).expand(5, -1)
    ranks = best_ranks(same, same, torch.eye(5, dtype=torch.bool))
    assert recall(ranks, 1) == 0
    assert recall(ranks, 5) == 1


def test_distinct_keeps_the_first_of_each() -> None:
    vectors = unit(4)
    found, places = distinct(vectors, torch.tensor([5, 3, 5, 9]))
    assert places.tolist() == [1, 0, 1, 2]
    assert torch.equal(found, vectors[[1, 0, 3]])
