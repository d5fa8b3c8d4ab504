"""A run that was cut off goes on and gives the same bytes; what another run left is not touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sensorium.data.prepare.prepare import prepare
from sensorium.data.prepare.work import place_of
from sensorium.errors import InputError
from tests.data.prepare.stages import Slow
from tests.data.prepare.texts import SPEC, TEXTS, USUAL, files, kept

RUN = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background of a shell ignores it
from sensorium.data.prepare import units
from sensorium.data.prepare.prepare import prepare
from tests.data.prepare.stages import Slow
from tests.data.prepare.texts import SPEC, USUAL
units.UNIT = 1
if __name__ == "__main__":
    inputs, out, gate, workers = sys.argv[1:]
    prepare(inputs, out=out, tokenizer=SPEC, workers=int(workers), stages=[USUAL[0], Slow(gate), *USUAL[1:]])
"""


@pytest.mark.parametrize(("workers", "number"), [(1, signal.SIGKILL), (2, signal.SIGKILL), (2, signal.SIGINT)])
def test_a_run_that_was_cut_off_goes_on_and_gives_the_same_bytes(
    folder: Path, tmp_path: Path, workers: int, number: int
) -> None:
    gate = tmp_path / "gate"
    (folder / "3.jsonl").rename(folder / "3-gate.jsonl")
    stages = [USUAL[0], Slow(str(gate)), *USUAL[1:]]
    prepare(folder, out=tmp_path / "whole", tokenizer=SPEC, stages=stages)
    gate.touch()
    place = place_of(tmp_path / "again")[0]
    command = [sys.executable, "-c", RUN, str(folder), str(tmp_path / "again"), str(gate), str(workers)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        finished = place / "s0" / "00002.json"
        until(lambda: finished.exists() and Path(f"{gate}.waiting").exists())
        process.send_signal(number)
        process.wait(timeout=30)
    until(lambda: not alive(process.pid))
    assert not (tmp_path / "again").exists()
    before = list((place / "s0").glob("*.json"))
    assert 2 <= len(before) <= 5  # the other process may have had an earlier unit in hand
    with pytest.raises(InputError, match=r"another run was begun here.*differs in tokenizer: 'bpe:300' then.*--force"):
        prepare(folder, out=tmp_path / "again", tokenizer="bpe:290", stages=stages)
    gate.unlink()
    prepare(folder, out=tmp_path / "again", tokenizer=SPEC, stages=stages, workers=workers)
    assert files(tmp_path / "whole") == files(tmp_path / "again")
    assert not place.exists()


def until(true) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(group: int) -> bool:
    """Whether any process of the group still runs."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_was_begun_is_begun_anew_if_forced(folder: Path, tmp_path: Path) -> None:
    place = place_of(tmp_path / "a")[0]
    (place / "s0").mkdir(parents=True)
    (place / "s0" / "00000.json").write_text("nonsense of another run")
    (place / "run.json").write_text('{"version": "0"}')
    with pytest.raises(InputError, match=r"another run was begun here.*version: '0' then"):
        prepare(folder, out=tmp_path / "a", tokenizer=SPEC)
    prepare(folder, out=tmp_path / "a", tokenizer=SPEC, force=True)
    prepare(folder, out=tmp_path / "b", tokenizer=SPEC)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_finished_units_are_not_read_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sensorium.data.prepare.prepare.finish", refuse)
        with pytest.raises(KeyboardInterrupt):
            prepare(folder, out=tmp_path / "a", tokenizer=SPEC)
    with monkeypatch.context() as patch:
        patch.setattr("sensorium.data.prepare.reading.read_file", refuse)
        corpus = prepare(folder, out=tmp_path / "a", tokenizer=SPEC)
    assert kept(corpus) == set(TEXTS)


def test_two_runs_do_not_share_a_folder(folder: Path, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    place = place_of(tmp_path / "a")[0]
    place.mkdir()
    with (place / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process is making this corpus"):
            prepare(folder, out=tmp_path / "a", tokenizer=SPEC)
    prepare(folder, out=tmp_path / "a", tokenizer=SPEC)
