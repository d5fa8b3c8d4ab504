"""Text in one language becomes a table of pairs that `prepare_parallel` reads, sources written by a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sensorium.data.parallel.prepare import prepare_parallel
from sensorium.errors import CapabilityError, InputError
from sensorium.tasks.backtranslate import GROUP, backtranslate
from sensorium.tasks.model import load
from sensorium.training.train import train
from tests.training.pairs import pairs, rows
from tests.training.test_seq2seq import SMALL


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Out of the invented English."""
    folder = tmp_path_factory.mktemp("back")
    more = ["run.steps=120", "run.eval_every=120", "run.save_every=500", "model.dropout=0.0"]
    train(pairs(folder), recipe="translate-tiny", out=folder / "model", overrides=[*SMALL, *more])
    return folder / "model"


def lines(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_text_stands_behind_its_translation(translator: Path, tmp_path: Path) -> None:
    texts = [source for source, _ in rows()[:12]]
    given = [texts[0], "", "  \n", "very " * 80, *texts[1:5], f"  {texts[5]}\t", *texts[6:]]
    done = backtranslate(translator, given, out=tmp_path / "out.tsv", show_progress=False)
    header, *found = lines(tmp_path / "out.tsv")
    assert header == ["group", "fr", "en"]
    assert [row[2] for row in found] == texts
    assert {row[0] for row in found} == {GROUP}
    expected = [one.text for one in load(translator).translate(texts, beam=1)]
    assert [row[1] for row in found] == expected
    assert (done.pairs, done.left_out) == (12, 3)


def test_the_table_is_prepared_with_real_pairs(translator: Path, tmp_path: Path) -> None:
    table = tmp_path / "synthetic.tsv"
    backtranslate(translator, [source for source, _ in rows()[:40]], out=table, show_progress=False)
    real = tmp_path / "real.tsv"
    real.write_text("fr\ten\n" + "".join(f"{b}\t{a}\n" for a, b in rows()[40:]), encoding="utf-8")
    corpus = prepare_parallel(
        [real, table], out=tmp_path / "corpus", source="fr", target="en", tokenizer="bpe:300", validation=0.2,
        show_progress=False,
    )  # fmt: skip
    assert len(corpus.train) + len(corpus.validation) > 150
    by_people = {a for a, _ in rows()[40:]}
    texts = {
        split: {corpus.tokenizer.decode(shards.pair(i)[1]) for i in range(len(shards))}
        for split, shards in (("train", corpus.train), ("validation", corpus.validation))
    }
    assert texts["validation"]
    assert texts["validation"] <= by_people
    assert texts["train"] - by_people
    assert corpus.languages == {"source": "fr", "target": "en"}


def test_what_cannot_be_done_is_said(translator: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tsv"
    out.write_text("mine")
    with pytest.raises(InputError, match="already exists"):
        backtranslate(translator, ["a"], out=out)
    assert out.read_text() == "mine"
    with pytest.raises(InputError, match="language"):
        backtranslate(translator, ["a"], out=tmp_path / "x.tsv", source="xx-unknown")
    with pytest.raises(CapabilityError):
        backtranslate("default:encoder", ["a"], out=tmp_path / "y.tsv")
    assert not list(tmp_path.glob("*x.tsv*"))


def test_the_command_line_does_the_same(translator: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n".join(source for source, _ in rows()[:5]), encoding="utf-8")
    command = [sys.executable, "-c", "from sensorium.cli.app import main; main()", "backtranslate", str(translator)]
    done = subprocess.run(
        [*command, str(text), "--out", str(tmp_path / "a.tsv")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "5 pairs in" in done.stdout
    backtranslate(translator, text.read_text().splitlines(), out=tmp_path / "b.tsv", show_progress=False)
    assert (tmp_path / "a.tsv").read_text() == (tmp_path / "b.tsv").read_text()
