"""The loss of a fused model, on a model of two modalities whose features are given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.data.tables.batch import FusedBatch, SenseInput
from sensorium.data.tables.data import FusedData
from sensorium.data.tables.senses import Numbers
from sensorium.fusion.features.base import FusionConfig
from sensorium.fusion.model import FusedConfig, FusedModel, ModalityConfig
from sensorium.fusion.model_encoders import NumbersConfig
from sensorium.objectives.fused import FusedObjective
from sensorium.objectives.stream import Stream


def model(level: str = "feature", *, outputs: int = 3, dropout: float = 0.0) -> FusedModel:
    torch.manual_seed(0)
    encoder = NumbersConfig(numbers=2, categories=(3,), dim=8, hidden=8)
    return FusedModel(
        FusedConfig(
            modalities=tuple(ModalityConfig(name=name, encoder=encoder, width=8) for name in ("b.x", "a")),
            outputs=outputs, level=level, fusion=FusionConfig(kind="concat", dim=8, dropout=0.0), dropout=dropout,
        )  # type: ignore[arg-type]
    )  # fmt: skip


def batch(rows: int = 6, *, outputs: int = 3, gone: float = 0.3, seed: int = 0) -> FusedBatch:
    rng = np.random.default_rng(seed)
    inputs = {}
    for name in ("a", "b.x"):
        present = torch.from_numpy(rng.random(rows) >= gone)
        values = np.column_stack((rng.normal(size=(rows, 2)), rng.integers(0, 3, rows))).astype(np.float32)
        values[rng.random(rows) < 0.3, 0] = np.nan
        inputs[name] = SenseInput(torch.from_numpy(values)[present], present)
    return FusedBatch(inputs, torch.from_numpy(np.eye(outputs)[rng.integers(0, outputs, rows)]).float(), seed)


def test_the_loss_is_cross_entropy_of_all_and_of_each_where_it_is_there() -> None:
    net, given_batch = model().eval(), batch()
    found = FusedObjective(problem="classification", level="feature", expert_weight=0.5).loss(net, given_batch)
    fused, experts, present = net(given_batch.inputs)
    expected = F.cross_entropy(fused, given_batch.targets)
    for name, logits in experts.items():
        here = present[name]
        expected = expected + 0.5 * F.cross_entropy(logits[here], given_batch.targets[here])
    assert torch.allclose(found.total, expected)
    alone = FusedObjective(problem="classification", level="decision").loss(model("decision").eval(), given_batch)
    assert alone.parts["loss"] < alone.total


def test_class_weights_are_those_of_torch() -> None:
    net, given_batch, weights = model().eval(), batch(gone=0.0), (0.2, 1.0, 3.0)
    objective = FusedObjective(problem="classification", level="feature", expert_weight=0.0, class_weights=weights)
    fused = net(given_batch.inputs)[0]
    rows = F.cross_entropy(fused, given_batch.targets.argmax(1), weight=torch.tensor(weights), reduction="none")
    assert torch.allclose(objective.loss(net, given_batch).total, rows.mean())


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from(["classification", "multi_label", "regression"]), st.booleans())
def test_rows_without_anything_and_mixed_rows_give_finite_gradients(seed: int, problem: str, mixed: bool) -> None:
    net = model(dropout=0.3).train()
    objective = FusedObjective(problem=problem, level="feature", mixup=0.5 if mixed else 0.0)  # type: ignore[arg-type]
    for gone in (1.0, 0.5):
        objective.loss(net, batch(gone=gone, seed=seed)).total.backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in net.parameters())


def test_only_decisions_without_any_modality_still_have_a_gradient() -> None:
    net = model("decision").train()
    loss = FusedObjective(problem="classification", level="decision").loss(net, batch(gone=1.0)).total
    loss.backward()
    assert float(loss.detach()) == 0.0


def test_an_encoder_reads_the_rows_that_are_there_and_no_others() -> None:
    net, whole = model().eval(), batch(gone=0.0)
    seen: list[int] = []
    net.encoder("a").register_forward_pre_hook(
        lambda module, given, kwargs: seen.append(len(given[0])), with_kwargs=True
    )
    gone = torch.tensor([True, False, False, True, False, False])
    part = FusedBatch({**whole.inputs, "a": whole.inputs["a"].without(gone)}, whole.targets)
    features, _ = net.features(part.inputs)
    assert seen == [4]
    assert torch.allclose(features["a"][~gone], net.features(whole.inputs)[0]["a"][~gone])
    assert not features["a"][gone].any()
    net.features(whole.only(frozenset({"b.x"})).inputs)
    assert len(seen) == 2, "an encoder without rows is not run"


def test_batches_are_the_same_whenever_a_place_in_the_stream_is_taken_up() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(20, 3)).astype(np.float32)
    data = FusedData({"a": Numbers(matrix, np.ones(20, np.bool_))}, np.eye(2)[np.arange(20) % 2], np.arange(20))
    objective = FusedObjective(problem="classification", level="feature")
    stream = Stream(objective, data, 6, seed=3)
    seen = [stream.next() for _ in range(5)]
    again = Stream(objective, data, 6, seed=3)
    again.next()
    resumed = Stream(objective, data, 6, seed=3, epoch=again.epoch, unit=again.unit)
    for expected in seen[1:]:
        found = resumed.next()
        assert torch.equal(found.inputs["a"].values, expected.inputs["a"].values)
        assert found.seed == expected.seed
    assert [len(one.targets) for one in seen[:4]] == [6, 6, 6, 2]


def test_an_evaluation_is_over_all_rows_whatever_the_batches() -> None:
    net, objective = model().eval(), FusedObjective(problem="classification", level="feature")
    parts = [batch(rows, seed=rows, gone=0.2) for rows in (3, 8)]
    found = objective.evaluate(net, iter(parts), 0)
    with torch.no_grad():
        logits = torch.cat([net(part.inputs)[0] for part in parts])
    targets = torch.cat([part.targets for part in parts])
    assert found["loss"] == pytest.approx(float(F.cross_entropy(logits, targets)), rel=1e-5)
    assert {"loss/a", "loss/b.x", "accuracy", "accuracy/a"} <= set(found)
