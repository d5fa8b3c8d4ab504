"""A table becomes one model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sensorium.data.tables.table import read_table
from sensorium.fusion.decisions.build import decision_from_dict
from sensorium.tasks.fused import FusedHandle
from sensorium.training.fuse import FusedRun, fuse
from sensorium.training.fuse_folder import read_fused
from sensorium.training.fuse_recipe import fuse_recipe
from tests.training.fused import SMALL, read, toy


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def feature(table: Path, tmp_path_factory: pytest.TempPathFactory) -> FusedRun:
    return fuse(table, label="label", out=tmp_path_factory.mktemp("f") / "run", overrides=SMALL)


@pytest.fixture(scope="module")
def both(table: Path, tmp_path_factory: pytest.TempPathFactory) -> FusedRun:
    return fuse(table, label="label", out=tmp_path_factory.mktemp("b") / "run", level="both", overrides=SMALL)


def test_features_together_learn_what_no_modality_can_alone(feature: FusedRun) -> None:
    assert feature.schema["columns"] == {
        "picture": "image", "sound": "audio", "note": "text", "size": "numeric", "place": "category",
    }  # fmt: skip
    assert feature.metrics["accuracy"] > 0.9
    assert all(feature.metrics[f"accuracy/{name}"] < 0.75 for name in ("picture", "sound", "note", "numbers"))
    assert any("'id' is left out" in note for note in feature.notes)


def test_validation_rows_tell_of_each_modality_and_of_gradient_shares(feature: FusedRun) -> None:
    rows = [json.loads(line) for line in (feature.folder / "run" / "metrics.jsonl").read_text().splitlines()]
    last = rows[-1]
    shares = [last[f"gradient_share/{name}"] for name in ("picture", "sound", "note", "numbers")]
    assert last["split"] == "validation"
    assert sum(shares) == pytest.approx(1)
    assert min(shares) > 0
    assert last["loss"] < last["loss/picture"]


def test_stock_transformers_opens_each_encoder(feature: FusedRun, table: Path) -> None:
    transformers = pytest.importorskip("transformers")
    handle = FusedHandle.open(feature.folder, device="cpu")
    data, _ = handle.read(read_table(table))
    batch = data.batch(np.arange(8))
    model = handle.fused.model
    with torch.inference_mode():
        for name, folder in (("picture", "image"), ("sound", "audio")):
            stock = transformers.ViTModel.from_pretrained(feature.folder / folder, add_pooling_layer=False).eval()
            x = batch.inputs[name].values
            expected = stock(x[:, None] if x.ndim == 3 else x).last_hidden_state
            assert (model.encoder(name)(x) - expected).abs().max() < 1e-4
        stock = transformers.BertModel.from_pretrained(feature.folder / "text", add_pooling_layer=False).eval()
        words = [str(row["note"]) for row in read(table)[:8]]
        given = transformers.AutoTokenizer.from_pretrained(feature.folder / "text")(
            words, return_tensors="pt", padding=True
        )
        text = batch.inputs["note"]
        assert text.valid is not None
        assert torch.equal(given["input_ids"], text.values)
        expected = stock(**given).last_hidden_state[text.valid]
        assert (model.encoder("note")(text.values, valid=text.valid)[text.valid] - expected).abs().max() < 1e-4
    spec = json.loads((feature.folder / "image" / "preprocessor_config.json").read_text())
    assert spec["image_processor_type"] == "ViTImageProcessor"
    assert spec["size"] == {"height": 16, "width": 16}


def test_a_saved_model_answers_as_before(both: FusedRun, table: Path) -> None:
    from sensorium.training.fuse import finish
    from sensorium.training.fuse_table import prepare_table

    recipe = fuse_recipe(None, SMALL, {"level": "both"})
    torch.manual_seed(0)
    ready = prepare_table(table, recipe, label="label")
    fused = read_fused(both.folder)
    again, metrics, tried = finish(fused.model, ready, recipe, device=torch.device("cpu"))
    assert metrics == both.metrics
    assert tried == both.tried
    assert again.verdict.to_dict() == fused.verdict.to_dict()


def test_decisions_answer_as_the_fitted_decision_does_of_the_experts(both: FusedRun, table: Path) -> None:
    handle = FusedHandle.open(both.folder, device="cpu")
    told = handle.tell(handle.read(read_table(table))[0])
    saved = json.loads((both.folder / "fusion.json").read_text())["verdict"]
    assert set(told.experts) == {"numbers", "picture", "sound", "note"}
    if saved["decision"] is not None:
        fitted = decision_from_dict(saved["decision"])
        assert np.allclose(handle.fused.verdict.parts(told)["decisions"], fitted(told.experts))
    assert both.metrics["accuracy"] > 0.9
    assert {"stacking", "feature", "both by mean"} <= set(both.tried)


def test_level_decision_trains_experts_alone(table: Path, tmp_path: Path) -> None:
    run = fuse(table, label="label", out=tmp_path / "run", level="decision", decision="stacking", overrides=SMALL)
    fused = read_fused(run.folder)
    assert run.metrics["accuracy"] > 0.9
    assert run.tried.keys() == {"stacking"}
    assert fused.model.fusion is None
    assert fused.model.names == ("note", "picture", "sound")
    assert fused.expert is not None
    assert fused.expert[0] == "numbers"
