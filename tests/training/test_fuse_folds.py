"""Decisions that are fitted to out-of-fold answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sensorium.data.tables.data import FusedData
from sensorium.data.tables.table import read_table
from sensorium.errors import ConfigError, DataError, InputError
from sensorium.fusion.model import FusedModel
from sensorium.training.fuse import fuse
from sensorium.training.fuse_folds import out_of_fold
from sensorium.training.fuse_model import fused_config, start_model
from sensorium.training.fuse_recipe import FuseRecipe, fuse_recipe
from sensorium.training.fuse_table import Prepared, prepare_table
from tests.training.fused import SMALL, read, toy, write

FOLDS = [*SMALL, "level=decision", "learn.folds=3"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy(tmp_path_factory.mktemp("toy"), rows=60)


def fresh(ready: Prepared, recipe: FuseRecipe) -> FusedModel:
    """The same networks each time."""
    torch.manual_seed(0)
    networks = [one for one in ready.planned if one.spec.numbers is None]
    return start_model(fused_config(networks, recipe, 4), ready.planned).eval()


def test_every_training_row_is_told_by_those_that_did_not_learn_from_it(table: Path, tmp_path: Path) -> None:
    recipe = fuse_recipe(None, FOLDS)
    ready = prepare_table(table, recipe, label="label", columns={"sound": "ignore"})
    assert not len(ready.calibration)
    assert len(ready.folds) == len(ready.train) == 60 - len(ready.validation)
    shown = list[set[int]]()

    def train(rest: FusedData, held: FusedData, folder: Path, state: Path | None) -> FusedModel:
        assert folder.is_dir()
        assert state is None
        assert not set(rest.rows) & set(held.rows)
        assert set(rest.rows) | set(held.rows) == set(ready.train.rows)
        shown.append(set(held.rows.tolist()))
        return fresh(ready, recipe)

    told, targets = out_of_fold(
        ready, train, lambda rest: None, run=tmp_path, size=16, device=torch.device("cpu"), show_progress=False
    )
    assert sorted(row for fold in shown for row in fold) == sorted(ready.train.rows.tolist())
    assert np.array_equal(targets, ready.train.targets[ready.train.rows])
    assert set(told.experts) == {"note", "picture"}
    plain = next(ready.train.select(ready.train.rows).batches(100))
    with torch.inference_mode():
        _, said, _ = fresh(ready, recipe)({name: plain.inputs[name] for name in ("note", "picture")})
    assert np.allclose(told.experts["picture"], said["picture"].double().softmax(1).numpy(), atol=1e-5), "rows in order"


def test_a_run_trains_its_folds_in_its_own_folder_and_goes_on_with_them(table: Path, tmp_path: Path) -> None:
    options = {"label": "label", "columns": {"sound": "ignore", "note": "ignore"}, "out": tmp_path / "run"}
    sets = [*FOLDS, "run.epochs=1"]
    run = fuse(table, decision="stacking", overrides=sets, **options)  # type: ignore[arg-type]
    assert run.tried.keys() == {"stacking"}
    told = json.loads((run.folder / "sensorium.json").read_text(encoding="utf-8"))
    assert told["rows"] == {"train": 60 - told["rows"]["validation"], "calibration": 0,
                            "validation": told["rows"]["validation"]}  # fmt: skip
    folds = sorted(path.name for path in (run.folder / "run").glob("fold-*"))
    assert folds == ["fold-0", "fold-1", "fold-2"]
    before = [(run.folder / "run" / name / "metrics.jsonl").read_bytes() for name in folds]
    for name in ("fusion.json", "sensorium.json"):
        (run.folder / name).unlink()
    again = fuse(table, decision="stacking", overrides=sets, resume=True, **options)  # type: ignore[arg-type]
    assert [(run.folder / "run" / name / "metrics.jsonl").read_bytes() for name in folds] == before
    assert again.metrics == pytest.approx(run.metrics)


def test_groups_stay_in_one_fold(table: Path) -> None:
    rows = [{**row, "who": f"p{number % 9}"} for number, row in enumerate(read(table))]
    path = write(table.parent / "who.csv", rows)
    ready = prepare_table(path, fuse_recipe(None, FOLDS), label="label", group="who")
    who = read_table(path).column("who")
    folds = {(who[row], int(fold)) for row, fold in zip(ready.train.rows, ready.folds, strict=True)}
    assert len(folds) == len({name for name, _ in folds})


def test_folds_that_mean_nothing_are_refused(table: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"learn\.folds=3 does nothing at level 'feature'"):
        fuse_recipe(None, ["learn.folds=3"])
    with pytest.raises(ConfigError, match=r"learn\.folds=1 does nothing"):
        fuse_recipe(None, ["level=decision", "learn.folds=1"])
    with pytest.raises(InputError, match="folds are not split by time"):
        fuse(table, label="label", out=tmp_path / "run", overrides=FOLDS, time="size")
    with pytest.raises(DataError, match=r"t\.csv: \d+ rows make no 90 folds"):
        fuse(table, label="label", out=tmp_path / "run", overrides=[*FOLDS, "learn.folds=90"])
    assert not (tmp_path / "run").exists()
