"""The bundled pictures are what their SOURCES.md says."""

import hashlib
import io
import json
import re
import zipfile
from importlib import resources

from sensorium.modalities.image import read_image

FOLDER = resources.files("sensorium") / "assets" / "pictures"


def test_the_archive_has_the_hash_that_its_sources_name():
    digest, name = re.findall(r"([0-9a-f]{64})  (\S+)", (FOLDER / "SOURCES.md").read_text("utf-8"))[0]
    assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest


def test_every_picture_has_a_name_in_five_languages():
    with zipfile.ZipFile(io.BytesIO((FOLDER / "pictures.zip").read_bytes())) as packed:
        names = json.loads(packed.read("names.json"))
        assert {*names, "names.json"} == set(packed.namelist())
        assert all(set(told) == {"en", "fr", "de", "es", "zh"} for told in names.values())
        assert all(read_image(packed.read(name)).shape[0] == 3 for name in names)
