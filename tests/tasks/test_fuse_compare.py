"""One table, one split: modalities alone, features and decisions fused; and the page of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sensorium.errors import InputError
from sensorium.fusion.statistics import Interval, mcnemar
from sensorium.tasks.fuse_compare import FusionComparison, compare_fusion
from sensorium.tasks.fuse_report import advice, write_report
from tests.training.fused import SMALL, toy


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[FusionComparison, Path]:
    folder = tmp_path_factory.mktemp("compared")
    table = toy(folder / "toy", rows=240)
    found = compare_fusion(
        table, label="label", out=folder / "out", kinds=["concat", "concat"], overrides=SMALL,
        columns={"note": "ignore"}, judge=0.3, show_progress=False,
    )  # fmt: skip
    return found, write_report(found, folder / "out")


def test_where_two_senses_are_needed_fusion_is_said_to_help(compared: tuple[FusionComparison, Path]) -> None:
    found, _ = compared
    names = {one.name for one in found.systems}
    assert {"picture alone", "sound alone", "features: concat", "features: concat, modulated"} <= names
    assert {"decisions: mean", "decisions: product", "decisions: stacking"} <= names
    assert found.fused.measures["accuracy"] > 0.9
    assert found.alone.measures["accuracy"] < 0.7
    assert found.helps
    assert advice(found).startswith("Fuse.")
    assert found.contributions.shapley["picture"] > 0.2 < found.contributions.shapley["sound"]


def test_systems_are_judged_by_the_same_rows_which_were_not_learned_from(
    compared: tuple[FusionComparison, Path],
) -> None:
    found, _ = compared
    assert {len(one.scores) for one in found.systems} == {found.test.rows}
    for one in found.systems:
        assert one.measures["accuracy"] == pytest.approx(one.scores.mean())
        assert one.interval.low <= one.interval.value <= one.interval.high
        np.testing.assert_allclose(one.answers.sum(1), 1, atol=1e-6)
    assert found.p == mcnemar(found.fused.scores > 0, found.alone.scores > 0).p
    assert found.gain.value == pytest.approx(found.fused.scores.mean() - found.alone.scores.mean())


def test_the_page_shows_everything_and_json_has_the_same_numbers(compared: tuple[FusionComparison, Path]) -> None:
    found, path = compared
    html = path.read_text(encoding="utf-8")
    assert "data:image/png;base64," in html
    assert "data:audio/" in html
    assert "Shapley" in html
    told = json.loads((path.parent / "report.json").read_text(encoding="utf-8"))
    assert told["helps"] is True
    assert {one["name"]: one["measures"]["accuracy"] for one in told["systems"]} == {
        one.name: one.measures["accuracy"] for one in found.systems
    }


def test_where_the_label_is_chance_fusion_is_said_not_to_help(tmp_path: Path) -> None:
    rows = toy(tmp_path / "toy", rows=80)
    text = rows.read_text(encoding="utf-8-sig").splitlines()
    rng = np.random.default_rng(0)
    spoiled = [text[0], *(line.rsplit(",", 1)[0] + "," + "ab"[rng.integers(2)] for line in text[1:])]
    rows.write_text("\n".join(spoiled) + "\n", encoding="utf-8")
    found = compare_fusion(
        rows, label="label", out=tmp_path / "out", kinds=["concat"], modulation=False,
        overrides=[*SMALL, "run.epochs=2"], columns={"note": "ignore"}, show_progress=False,
    )  # fmt: skip
    assert not found.helps
    assert "not" in advice(found)
    assert found.modulation is None


def test_an_unknown_kind_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="concat"):
        compare_fusion(toy(tmp_path, rows=8), label="label", out=tmp_path / "out", kinds=["concatt"])
    with pytest.raises(InputError, match="all kinds of decision are compared"):
        compare_fusion(
            toy(tmp_path, rows=8), label="label", out=tmp_path / "out",
            overrides=["level=decision", "learn.decision=mean"],
        )  # fmt: skip
    with pytest.raises(InputError, match="compared without folds"):
        compare_fusion(
            toy(tmp_path, rows=8), label="label", out=tmp_path / "out", overrides=["level=decision", "learn.folds=5"]
        )
    assert not (tmp_path / "out").exists()


def test_numbers_alone_are_nothing_to_compare(tmp_path: Path) -> None:
    table = toy(tmp_path / "toy", rows=40)
    ignored = dict.fromkeys(("picture", "sound", "note"), "ignore")
    with pytest.raises(InputError, match=r"there is nothing to compare. Train on them without --compare"):
        compare_fusion(table, label="label", out=tmp_path / "out", columns=ignored)
    assert not (tmp_path / "out").exists()


def test_of_one_modality_there_is_nothing_to_fuse(tmp_path: Path) -> None:
    table = toy(tmp_path / "toy", rows=60)
    ignored = dict.fromkeys(("sound", "note", "size", "place"), "ignore")
    found = compare_fusion(
        table, label="label", out=tmp_path / "out", columns=ignored, overrides=[*SMALL, "run.epochs=1"],
        show_progress=False,
    )  # fmt: skip
    assert [one.name for one in found.systems] == ["picture alone"]
    assert found.unfused
    assert not found.helps
    assert found.gain.value == 0
    assert advice(found).startswith("There is nothing to fuse")
    html = write_report(found, tmp_path / "out").read_text(encoding="utf-8")
    assert "Where fusion changes the answer" not in html
    assert json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["best_fused"] is None
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == ["experts"]


def test_what_may_be_chance_is_said_so(compared: tuple[FusionComparison, Path]) -> None:
    unsure = replace(compared[0], gain=Interval(0.183, 0.006, 0.37), p=0.0695)
    assert "+0.183 (+0.006 to +0.370) against that of" in advice(unsure)
    assert "which may be chance (p = 0.0695)" in advice(unsure)
