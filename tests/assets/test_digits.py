"""The bundled digits are what their SOURCES.md says."""

import csv
import hashlib
import io
import re
import zipfile
from collections import Counter
from importlib import resources

FOLDER = resources.files("sensorium") / "assets" / "digits"


def test_the_archive_has_the_hash_that_its_sources_name():
    digest, name = re.findall(r"([0-9a-f]{64})  (\S+)", (FOLDER / "SOURCES.md").read_text("utf-8"))[0]
    assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest


def test_every_row_names_files_that_are_there():
    with zipfile.ZipFile(io.BytesIO((FOLDER / "digits.zip").read_bytes())) as packed:
        rows = list(csv.DictReader(io.StringIO(packed.read("digits.csv").decode())))
        assert {row[key] for row in rows for key in ("image", "sound")} | {"digits.csv"} == set(packed.namelist())
    assert set(Counter(row["digit"] for row in rows).values()) == {60}
    assert len({row["voice"] for row in rows}) == 30
