"""A tour goes through every chapter, leaves one page and models that work, and leaves nothing when it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sensorium as sm
from sensorium.errors import InputError
from sensorium.reports.blocks import Text
from sensorium.tour import tour as module
from sensorium.tour.chapters import CHAPTERS
from sensorium.tour.plan import SECONDS, Plan
from sensorium.tour.tour import Tour, TourInterruptedError, tour
from sensorium.tour.trip import Chapter
from sensorium.training.loop import TrainingInterruptedError
from tests.reports.test_page import Reader

LAST = ["How long it took", "Where to go on"]
PARTS = {"report.html", "corpus", "encoder", "decoder", "fused"}


@pytest.fixture(scope="session")
def page(toured: Tour) -> str:
    return toured.report.read_text(encoding="utf-8")


def headings(html: str) -> list[str]:
    return [part.split("</span>")[1].split("</h2>")[0] for part in html.split("<h2>")[1:]]


def test_the_page_holds_every_chapter_in_order(toured: Tour, page: str) -> None:
    assert headings(page) == [chapter.title for chapter in CHAPTERS] + LAST
    assert list(toured.seconds) == [chapter.title for chapter in CHAPTERS]
    assert {path.name for path in toured.folder.iterdir()} == PARTS


def test_the_page_shows_sources_samples_plots_and_the_attention_map(toured: Tour, page: str) -> None:
    reader = Reader(page)
    assert reader.tags.count("svg") == 5  # two loss curves, accuracy, bits per byte, senses
    assert "script" not in reader.tags
    for said in ("public domain <test>", "天气", "farm.jsonl.gz", "今天[MASK]气很好。"):
        assert said in reader.text
    assert "<b>The &lt;b&gt;cat&lt;/b&gt;</b>" in page
    assert page.count('class="heat"') == 6  # two texts, two layers; two directions
    for name in ("unigram", "bigram, left", "bigram, both", "encoder", "decoder"):
        assert name in reader.text


def test_the_numbers_of_the_page_are_those_that_are_returned(toured: Tour, page: str) -> None:
    text = Reader(page).text
    for name, value in toured.numbers.items():
        if name.startswith("masked_accuracy"):
            assert f"{value:.1%}" in text
        if name.startswith("bits_per_byte"):
            assert f"{value:.3f}" in text
    assert toured.verified
    assert "FAILED" not in text


def test_what_a_tour_leaves_can_be_used(toured: Tour) -> None:
    assert sm.load(toured.folder / "encoder", verify=True).fill_mask("The [MASK] sat.", top_k=1)
    assert sm.load(toured.folder / "decoder", verify=True).generate("The cat", max_new_tokens=2).token_ids
    assert len(sm.Corpus.open(toured.folder / "corpus").validation) > 5
    assert sm.load(toured.folder / "fused").classes == ("one", "two")


def one_chapter(monkeypatch: pytest.MonkeyPatch, run=lambda trip: [Text("said")]) -> None:
    monkeypatch.setattr(module, "CHAPTERS", [Chapter("Only this", run)])


def test_a_chapter_is_a_line_in_the_list(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    one_chapter(monkeypatch)
    done = tour(tmp_path / "out", plan=plan)
    html = done.report.read_text(encoding="utf-8")
    assert headings(html) == ["Only this", *LAST]
    assert "<p>said</p>" in html


def test_what_stands_there_is_kept_unless_forced(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    (out / "encoder").mkdir(parents=True)
    for name in ("mine.txt", "report.html", "encoder/old.txt"):
        (out / name).write_text("precious")

    def chapter(trip):
        (trip.folder / "encoder").mkdir()
        (trip.folder / "encoder" / "new.txt").write_text("new")
        return [Text("new")]

    one_chapter(monkeypatch, chapter)
    with pytest.raises(InputError, match="already exists"):
        tour(out, plan=plan)
    with pytest.raises(InputError, match=r"encoder: --force replaces only what Sensorium made"):
        tour(out, plan=plan, force=True)
    assert (out / "encoder" / "old.txt").read_text() == "precious"
    assert (out / "report.html").read_text() == "precious"
    (out / "encoder" / "sensorium.json").write_text("{}")
    tour(out, plan=plan, force=True)
    assert (out / "mine.txt").read_text() == "precious"
    assert "<p>new</p>" in (out / "report.html").read_text()
    assert [path.name for path in (out / "encoder").iterdir()] == ["new.txt"]
    assert {path.name for path in out.iterdir()} == {"mine.txt", "report.html", "encoder"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_is_no_place_for_a_tour(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "out").write_text("precious")
    for force in (False, True):
        with pytest.raises(InputError, match="already exists" if not force else "is a file"):
            tour(tmp_path / "out", plan=plan, force=force)
    assert (tmp_path / "out").read_text() == "precious"


@pytest.mark.parametrize("name", ["corpus", "encoder", "decoder"])
@pytest.mark.parametrize("content", ["mine.txt", "config.json", None])
def test_force_spares_what_no_tour_made(tmp_path: Path, plan: Plan, name: str, content: str | None) -> None:
    (tmp_path / name).mkdir()
    if content is None:
        (tmp_path / name).rmdir()
        (tmp_path / name).symlink_to("nowhere")
    else:
        (tmp_path / name / content).write_text("precious")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=f"{name}: --force replaces only"):
        tour(tmp_path, plan=plan, force=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_that_leads_nowhere_is_no_place_for_a_tour(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "out").symlink_to("nowhere")
    for force in (False, True):
        with pytest.raises(InputError, match="already exists" if not force else "is a file"):
            tour(tmp_path / "out", plan=plan, force=force)


@pytest.mark.parametrize(
    ("stopped", "raised"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (TrainingInterruptedError("stopped", fix="Go on with --resume"), TourInterruptedError),
        (ZeroDivisionError(), ZeroDivisionError),
    ],
)
def test_a_tour_that_stops_leaves_what_was_there_before(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch, stopped, raised
) -> None:
    def chapter(trip):
        (trip.folder / "corpus").mkdir()
        raise stopped

    one_chapter(monkeypatch, chapter)
    with pytest.raises(raised) as caught:
        tour(tmp_path / "new", plan=plan)
    assert "--resume" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "report.html").write_text("old")
    with pytest.raises(raised):
        tour(tmp_path / "old", plan=plan, force=True)
    assert (tmp_path / "old" / "report.html").read_text() == "old"
    assert [path.name for path in tmp_path.rglob("*")] == ["old", "report.html"]


STOPPABLE = """
import sys
from pathlib import Path
from sensorium.cli import app
from sensorium.tour import tour as module
from sensorium.tour.plan import Plan
text = Path(sys.argv.pop())
module.Plan = lambda: Plan(corpus=text, tokenizer="bpe:330", encoder=(
    "model.dim=32", "model.heads=2", "model.feedforward=64", "batch.tokens=256", "run.steps=1000000"))
app.main()
"""


def test_ctrl_c_ends_a_tour_with_one_line_and_leaves_nothing(tmp_path: Path, plan: Plan) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPABLE, "tour", "--out", str(tmp_path / "out"), str(plan.corpus)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size for path in tmp_path.rglob("metrics.jsonl")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert errors == "error: the tour was stopped, and nothing was kept. Start it again\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("first", ["import sensorium.tour.tour", "import sensorium.tour", "pass"])
def test_the_name_tour_is_the_verb_whatever_was_imported_before(first: str) -> None:
    code = f"{first}\nimport sensorium as sm, sensorium.tour.plan\nprint(sm.tour.__qualname__, callable(sm.tour))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "tour True\n"


def test_the_verb_refuses_a_folder_that_exists(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    done = subprocess.run(
        [sys.executable, "-m", "sensorium.cli.app", "tour", "--out", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"error: {tmp_path}: already exists. Choose another --out, or pass --force to replace it\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.slow
@pytest.mark.timeout(2 * SECONDS)
def test_the_whole_tour_learns_and_tells_of_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sensorium.cli.app", "tour", "--out", str(tmp_path / "out"), "--json"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    numbers = found["numbers"]
    assert list(found["seconds"]) == [chapter.title for chapter in CHAPTERS]
    assert numbers["verified"] == 1
    # Training follows the clock: how far it comes depends on the machine, that it beats the unigram does not.
    assert numbers["pair_accuracy"] > 0.55
    assert numbers["masked_accuracy_encoder"] > numbers["masked_accuracy_unigram"]
    assert numbers["bits_per_byte_decoder"] < numbers["bits_per_byte_unigram"]
    html = Path(found["report"]).read_text(encoding="utf-8")
    assert headings(html) == [chapter.title for chapter in CHAPTERS] + LAST
    for said in ("austen.jsonl.gz", "poetry.jsonl.gz", "public domain", "English", "Chinese", "床前明[MASK]光。"):
        assert said in Reader(html).text
