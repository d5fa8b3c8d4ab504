"""A folder is made whole, in place of nothing that is not ours; a refusal says whose it is."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sensorium.errors import InputError
from sensorium.files import DiskError, atomic_folder, disk_errors, read_json, refuse_unspeakable, write_text
from tests.cli.shell import tree


def make(out: Path, *, force: bool = False) -> None:
    with atomic_folder(out, ours=["manifest.json", "run/run.json"], force=force) as part:
        (part / "new").write_text("new")


def test_a_folder_is_made_and_an_empty_one_filled(tmp_path: Path) -> None:
    make(tmp_path / "a" / "b")
    (tmp_path / "empty").mkdir()
    make(tmp_path / "empty")
    assert tree(tmp_path).keys() == {"a", "a/b", "a/b/new", "empty", "empty/new"}


@pytest.mark.parametrize("name", ["manifest.json", "run/run.json"])
def test_force_replaces_a_folder_of_ours(tmp_path: Path, name: str) -> None:
    old = tmp_path / "out" / name
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    with pytest.raises(InputError, match="already exists"):
        make(tmp_path / "out")
    make(tmp_path / "out", force=True)
    assert tree(tmp_path).keys() == {"out", "out/new"}


@pytest.mark.parametrize("name", ["mine.txt", "manifest.json/mine.txt", "run/mine.txt"])
def test_force_spares_any_other_folder(tmp_path: Path, name: str) -> None:
    mine = tmp_path / "out" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"this holds no manifest\.json or run/run\.json\. Choose another --out"):
        make(tmp_path / "out", force=True)
    assert tree(tmp_path) == before


def test_a_link_stays_and_what_it_leads_to_is_made(tmp_path: Path) -> None:
    (tmp_path / "far" / "empty").mkdir(parents=True)
    (tmp_path / "link").symlink_to(Path("far") / "empty")
    make(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert tree(tmp_path / "far").keys() == {"empty", "empty/new"}
    assert {path.name for path in tmp_path.iterdir()} == {"far", "link"}


@pytest.mark.parametrize("target", ["nowhere", "link"])
def test_a_link_that_leads_nowhere_is_kept(tmp_path: Path, target: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(target)
    for force, phrase in ((False, "already exists"), (True, "--force replaces only")):
        with pytest.raises(InputError, match=phrase):
            make(link, force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["link"]
    assert str(link.readlink()) == target


def test_a_file_system_is_never_replaced(tmp_path: Path) -> None:
    for force in (False, True):
        with pytest.raises(InputError, match=r"/proc: a(lready exists| file system is mounted there)"):
            make(Path("/proc"), force=force)


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV])
def test_a_rename_across_file_systems_is_told(tmp_path: Path, number: int) -> None:
    with pytest.raises(DiskError, match="a file system is mounted there"), disk_errors(tmp_path):
        raise OSError(number, "cannot rename")


def test_a_refused_read_is_not_blamed_on_what_is_made(tmp_path: Path) -> None:
    out, far = tmp_path / "out", tmp_path / ("n" * 300)
    with pytest.raises(InputError, match=r"n{300}: File name too long\. Check the path"):  # noqa: SIM117
        with atomic_folder(out, ours=[]):
            far.read_text()
    with pytest.raises(InputError, match=r"out: the name is too long"), atomic_folder(out, ours=[]) as part:
        (part / far.name).write_text("")
    assert not list(tmp_path.iterdir())


def test_json_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name, phrase in (("", "Is a directory"), ("none", "No such file")):
        with pytest.raises(InputError, match=rf"{tmp_path / name}: {phrase}.*\. Check the path"):
            read_json(tmp_path / name)


def test_half_a_character_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\\ud800' is no path: it is not valid Unicode"):
        write_text(f"{tmp_path}/\ud800", "x")
    write_text(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"), "x")  # a name need not be UTF-8
    refuse_unspeakable("\U0001f600 a", where="here")
    with pytest.raises(InputError, match="here: the text is not valid Unicode at character 3"):
        refuse_unspeakable("a \ud800", where="here")


def test_a_name_with_a_zero_byte_is_refused_in_words(tmp_path: Path) -> None:
    for write in (lambda path: write_text(path, "x"), lambda path: atomic_folder(path, ours=[]).__enter__()):
        with pytest.raises(InputError, match=r"a\\x00b' is no path: it has a zero byte in it"):
            write(f"{tmp_path}/a\0b")
    assert not list(tmp_path.iterdir())
