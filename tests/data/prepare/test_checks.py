"""`--plan` says what a run would do and writes nothing; `--self-test` finds what does not work."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensorium.data.prepare import plan as planning
from sensorium.data.prepare.build import Choices
from sensorium.data.prepare.plan import plan
from sensorium.data.prepare.self_test import self_test
from sensorium.data.stages import Where
from sensorium.errors import InputError
from tests.cli.shell import shell
from tests.data.prepare.stages import short
from tests.data.prepare.texts import TEXTS, USUAL


def test_a_plan_tells_what_each_stage_keeps_and_writes_nothing(folder: Path) -> None:
    before = sorted(folder.parent.rglob("*"))
    planned = plan(folder, stages=[*USUAL, Where(short)], workers=2)
    assert [stage.name for stage in planned.stages] == [
        "reading", "clean", "length", "same documents", "where", "tokenizing",
    ]  # fmt: skip
    by_name = {stage.name: stage for stage in planned.stages}
    assert by_name["same documents"].dropped == {"duplicate": 100}
    assert by_name["where"].kept == pytest.approx(sum(map(short, TEXTS)) / len(TEXTS))
    assert planned.files == 6
    assert planned.text_bytes == planned.sampled
    assert planned.seconds > 0
    assert sorted(folder.parent.rglob("*")) == before


def test_a_plan_looks_at_a_part_of_what_is_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "SAMPLES", 3)
    monkeypatch.setattr(planning, "SAMPLE", 500)
    planned = plan(folder, choices=Choices(min_characters=10))
    assert planned.sampled < planned.text_bytes == planned.bytes
    with pytest.raises(InputError, match="standard input"):
        plan("-")


def test_a_plan_without_stages_reads_and_tokenises(folder: Path) -> None:
    planned = plan(folder, stages=[])
    assert [stage.name for stage in planned.stages] == ["reading", "tokenizing"]
    assert planned.kept == 1
    assert planned.text_bytes == planned.sampled == plan(folder, stages=[Where(short)]).sampled


def test_every_stage_does_to_the_toy_corpus_what_it_should() -> None:
    checks = self_test()
    assert [(check.name, check.told) for check in checks if not check.ok] == []
    assert len(checks) > 10


def test_the_command_line_plans_and_checks(folder: Path) -> None:
    planned = shell("prepare", str(folder), "--plan", "--near", "--workers", "2")
    assert planned.code == 0, planned.err
    assert "near-duplicates" in planned.out
    assert "with 2 processes" in planned.out
    for arguments, phrase in (
        (["--plan"], "no input given"),
        ([str(folder)], "Missing option '--out'"),
        ([str(folder), "--out", "x", "--quality", "gofer"], "did you mean 'gopher'"),
        ([str(folder), "--out", "x", "--workers", "0"], "workers=0"),
    ):
        done = shell("prepare", *arguments)
        assert (done.code, done.out) == (2, "")
        assert phrase in done.err
