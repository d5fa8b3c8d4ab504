"""What may stand in a list of stages, and what is told of a stage that raises."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path

import pytest

from sensorium.data.cleaning.text import Clean
from sensorium.data.prepare.chain import Books, Named, StageError, decided_by, named, through
from sensorium.data.stages import Each, Where, documents
from sensorium.errors import InputError
from tests.data.prepare.stages import Undecided, short, unreadable

BATCH = documents(["One fish.", "二鱼"], ["a.txt:1", "a.txt:2"])


def longer(least: int, text: str) -> bool:
    return len(text) > least


class Longer:
    def __call__(self, text: str) -> bool:
        return len(text) > 5


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        (short, r"stage 2 of the list, 'short', is a plain function\. Wrap it in Where.*or in Each"),
        (partial(longer, 3), "stage 2 of the list, 'partial', is a plain function"),
        (Clean, r"stage 2 of the list is the class Clean\. Write Clean\(\.\.\.\)"),
        ("clean", "stage 2 of the list is no stage: str"),
    ],
)
def test_what_is_no_stage_is_refused_with_what_to_write(stage: object, told: str) -> None:
    with pytest.raises(InputError, match=told):
        named([Clean(), stage])


@pytest.mark.parametrize(
    ("keeps", "called"), [(partial(longer, 5), "longer"), (Longer(), "Longer"), (partial(Longer()), "Longer")]
)
def test_a_condition_without_a_name_is_called_the_same_in_every_process(keeps: object, called: str) -> None:
    stage = Where(keeps)  # type: ignore[arg-type]
    assert stage.judge(BATCH).to_pylist() == [None, f"not {called}"]


def test_a_file_that_a_stage_does_not_find_is_told_as_the_fault_of_the_stage() -> None:
    told = r"a\.txt:1: the stage 'each' failed with FileNotFoundError: .*words\.txt"
    with pytest.raises(StageError, match=told):
        through(BATCH, named([Each(unreadable)]), Books())


@pytest.mark.parametrize("error", [ValueError("no"), FileNotFoundError(errno.ENOENT, "no", "x")])
def test_a_comparer_that_fails_to_decide_is_named(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(StageError, match=f"the stage 'second' failed with {type(error).__name__}"):
        decided_by(Named("second", Undecided(error)), [], [], tmp_path)


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOSPC, "full"), InputError("wrong")])
def test_what_is_no_fault_of_a_stage_is_told_as_it_is(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        decided_by(Named("second", Undecided(error)), [], [], tmp_path)
    assert raised.value is error
