"""The bundled text is what its SOURCES.md says."""

import gzip
import hashlib
import json
import re
from importlib import resources

import pytest

FOLDER = resources.files("sensorium") / "assets" / "corpus"
HASHES = {
    name: digest for digest, name in re.findall(r"([0-9a-f]{64})  (\S+)", (FOLDER / "SOURCES.md").read_text("utf-8"))
}


@pytest.mark.parametrize("name", ["austen.jsonl.gz", "poetry.jsonl.gz"])
def test_file_has_the_hash_that_its_sources_name(name):
    assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == HASHES[name]


@pytest.mark.parametrize(("name", "lang"), [("austen.jsonl.gz", "en"), ("poetry.jsonl.gz", "zh")])
def test_every_row_holds_text_of_its_language_and_a_source(name, lang):
    rows = [json.loads(line) for line in gzip.decompress((FOLDER / name).read_bytes()).decode().splitlines()]
    assert all(row["lang"] == lang and row["source"] and len(row["text"]) >= 16 for row in rows)
    assert len({row["text"] for row in rows}) == len(rows)


def test_bundled_text_stays_small():
    assert sum(len((FOLDER / name).read_bytes()) for name in HASHES) < 4_000_000
