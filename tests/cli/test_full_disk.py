"""A full disk, a limit on files, a closed pipe, a signal: the work fails in one line and leaves no half of a file."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import SETS
from tests.cli.shell import Done, apart, shell, tree


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A small file system of its own; called with a size, it is made or becomes as large as that."""
    place = tmp_path / "disk"
    place.mkdir()

    def of_size(size: str) -> Path:
        options = f"remount,size={size}" if os.path.ismount(place) else f"size={size}"
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=False, capture_output=True, text=True
        )
        if made.returncode:
            pytest.skip(f"a file system of a given size needs the right to mount one: {made.stderr.strip()}")
        return place

    yield of_size
    if os.path.ismount(place):
        subprocess.run(["umount", str(place)], check=True)


def failed(done: Done, phrase: str) -> None:
    assert (done.code, done.out) == (1, ""), done
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1, done.err
    assert "internal error" not in done.err
    assert phrase in done.err


def limited(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", ["4k", "12k", "40k"])
def test_prepare_on_a_full_disk_leaves_nothing(home: Path, disk: Callable[[str], Path], size: str) -> None:
    place = disk(size)
    failed(shell("prepare", str(home / "texts"), "--out", str(place / "new")), "no space left on the device. Free some")
    assert tree(place) == {}


def test_prepare_on_a_full_disk_keeps_what_it_was_to_replace(home: Path, disk: Callable[[str], Path]) -> None:
    place = disk("200k")
    arguments = ["prepare", str(home / "texts"), "--out", str(place / "new"), "--force"]
    assert shell(*arguments).code == 0
    before = tree(place)
    (place / "filler").write_bytes(bytes(90_000))
    failed(shell(*arguments), "no space left")
    (place / "filler").unlink()
    assert tree(place) == before


def test_train_on_a_full_disk_goes_on_when_there_is_room(home: Path, disk: Callable[[str], Path]) -> None:
    place = disk("24k")
    arguments = ["train", str(home / "corpus"), "--recipe", "bert-tiny", "--out", str(place / "new"), *SETS]
    failed(shell(*arguments), "no space left")
    for size in ("64k", "300k", "400k"):
        disk(size)
        failed(shell(*arguments, "--resume"), "no space left")
        assert not (place / "new" / "config.json").exists()
        assert not list(place.rglob("*.part"))
    disk("4m")
    assert shell(*arguments, "--resume").code == 0
    assert shell("verify", str(place / "new")).code == 0
    assert not list(place.rglob("*.part"))


@pytest.mark.parametrize("size", [2_000, 9_000])
def test_prepare_under_a_limit_on_files_leaves_nothing(home: Path, tmp_path: Path, size: int) -> None:
    done = apart("prepare", str(home / "texts"), "--out", str(tmp_path / "new"), preexec_fn=limited(size))
    failed(done, "Raise the limit (ulimit -f)")
    assert tree(tmp_path) == {}


def test_train_under_a_limit_on_files_leaves_no_half_of_a_file(home: Path, tmp_path: Path) -> None:
    arguments = ["train", str(home / "corpus"), "--recipe", "bert-tiny", "--out", str(tmp_path / "new"), *SETS]
    failed(apart(*arguments, preexec_fn=limited(60_000)), "Raise the limit (ulimit -f)")
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.rglob("state-*"))
    assert not (tmp_path / "new" / "config.json").exists()


def test_a_mount_point_is_refused_before_any_work(home: Path, disk: Callable[[str], Path], tmp_path: Path) -> None:
    place = disk("4m")
    (tmp_path / "link").symlink_to(place)
    for out in (place, tmp_path / "link"):
        done = shell("prepare", str(home / "texts"), "--out", str(out))
        assert (done.code, done.out) == (2, "")
        assert done.err == f"error: {out}: a file system is mounted there. Choose a folder inside it\n"
    assert tree(tmp_path).keys() == {"disk", "link"}
    assert shell("train", str(home / "corpus"), "--recipe", "bert-tiny", "--out", str(place), *SETS).code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_standard_output_on_a_full_disk_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = apart("recipes", stdout=full)
    failed(done, "standard output: no space left on the device")


def test_a_reader_that_has_gone_is_no_error_of_ours() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = apart("recipes", stdout=writing)
    os.close(writing)
    assert (done.code, done.err) == (1, "")


@pytest.mark.parametrize(
    ("number", "code", "message"), [(signal.SIGINT, 130, "error: interrupted\n"), (signal.SIGTERM, 143, "")]
)
def test_a_signal_clears_away_what_is_half_written(tmp_path: Path, number: int, code: int, message: str) -> None:
    command = [sys.executable, "-m", "sensorium.cli.app", "prepare", "-", "--out", str(tmp_path / "new")]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts behind its back ignores it
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.rglob("*.arrow")):  # it waits for text, in the middle of its work
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(timeout=60) == code
        assert process.stderr is not None
        assert process.stderr.read() == message
    assert tree(tmp_path) == {}
