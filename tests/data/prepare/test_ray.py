"""`prepare` on a real cluster of two nodes gives the bytes of a local run, whatever dies."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sensorium.data.dedup.near import NearDuplicates
from sensorium.data.prepare import ray as on_ray
from sensorium.data.prepare import units
from sensorium.data.prepare.chain import StageError
from sensorium.data.prepare.executor import Lost, Processes
from sensorium.data.prepare.prepare import prepare
from sensorium.data.prepare.ray import NODES, ClusterError, Ray, Site, problem, why_lost
from sensorium.data.prepare.units import Task, Unit
from sensorium.data.prepare.work import place_of
from sensorium.data.stages import Each
from sensorium.errors import CapabilityError, InputError
from tests.data.prepare.stages import Deadly, fussy
from tests.data.prepare.test_prepare import TEXTS, files, jsonl
from tests.data.prepare.test_runs import SPEC, USUAL, kept


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(CapabilityError, match=r"a cluster needs the package 'ray'.*pip install 'sensorium\[ray\]'"):
        Ray("auto")


def test_an_address_at_which_nothing_listens_is_told_at_once() -> None:
    import ray

    with pytest.raises(InputError, match=r"^127\.0\.0\.1:1: no Ray cluster can be used there: .*ray start"):
        on_ray._connect(ray, "127.0.0.1:1", None)


def test_a_clients_connection_is_refused() -> None:
    import ray

    with pytest.raises(InputError, match="client's connection"):
        on_ray._connect(ray, "ray://head:10001", None)


@pytest.mark.parametrize(
    ("attempts", "alive", "told"),
    [
        ([], True, None),
        ([("a", "one")], True, "its process on one died, perhaps for want of memory"),
        ([("a", "one")], False, None),
        ([("a", "one"), ("b", "two")], True, "its process on two died, perhaps for want of memory"),
        ([("a", "one")] * (NODES - 1), False, None),
        ([("a", "one")] * NODES, False, f"{NODES} nodes died while they worked on it"),
    ],
)
def test_what_died_on_a_living_node_is_lost_and_what_died_with_its_node_is_not(
    attempts: list[tuple[str, str]], alive: bool, told: str | None
) -> None:
    assert why_lost(attempts, lambda node: alive) == told


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Seen as a node sees it that has everything."""
    monkeypatch.setattr(on_ray, "PATIENCE", 0.0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = pa.cpu_count()
    marks = tmp_path / "work" / "ray-1"
    marks.mkdir(parents=True)
    (marks / "name").write_text("ray-1")
    (tmp_path / "a.txt").touch()
    yield Site(str(marks), str(tmp_path), on_ray.__version__, ("a.txt",))
    pa.set_cpu_count(threads)


def test_a_node_that_sees_all_has_no_problem(site: Site) -> None:
    assert problem(site) is None


def test_a_node_without_the_work_folder_or_with_one_of_its_own_is_told(site: Site, tmp_path: Path) -> None:
    (Path(site.folder) / "name").write_text("ray-2")
    told = rf"node .* does not see the folder {tmp_path / 'work'}"
    assert_told(site, told)
    assert_told(replace(site, folder=str(tmp_path / "work" / "ray-3")), told)


def test_a_node_without_the_input_is_told(site: Site) -> None:
    assert_told(replace(site, files=("a.txt", "b.txt")), "node .* does not see the input b.txt")


def test_a_node_with_another_version_is_told(site: Site) -> None:
    assert_told(replace(site, version="0.0.0"), "node .* has Sensorium .*, and the run was begun with 0.0.0")


def assert_told(site: Site, told: str) -> None:
    assert re.search(told, problem(site) or "nothing")


# On a cluster, which needs a minute to start.

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Held:
    """While a file is there: keeps a node at its first unit for good, and the others until it has one."""

    gate: str
    name: str = "held"

    def judge(self, batch: pa.RecordBatch) -> pa.Array:
        gate, holding = Path(self.gate), Path(f"{self.gate}.holding")
        if gate.exists():
            import ray

            here = ray.get_runtime_context().get_node_id() == gate.read_text()
            if here:
                holding.touch()
            while here or not holding.exists():
                time.sleep(0.05)
        return pa.nulls(batch.num_rows, pa.string())


@dataclass(frozen=True)
class Fatal:
    """Ends its process at a unit."""

    folder: str
    number: int

    def __call__(self, task: Task) -> int:
        if task.unit.number == self.number:
            os._exit(3)
        return task.unit.number


NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    import ray.data  # noqa: F401
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_DISABLE_METRICS_COLLECTION", "1")
        cluster = Cluster(initialize_head=True, head_node_args=NODE)
        try:
            cluster.add_node(**NODE)
            cluster.wait_for_nodes(timeout=120)
            yield cluster
        finally:
            cluster.shutdown()


@pytest.fixture(scope="module")
def executor(cluster: Any) -> Iterator[Ray]:
    with Ray(cluster.address) as executor:
        yield executor


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four files, each a unit of its own; some documents stand in two of them, and some nearly."""
    monkeypatch.setattr(units, "UNIT", 1)
    (tmp_path / "in").mkdir()
    nearly = [" ".join(TEXTS[i : i + 8]) for i in range(0, 40, 8)]
    for i in range(4):
        more = [f"{text} And that was all of story {i}." for text in nearly]
        jsonl(tmp_path / "in" / f"{i}.jsonl", [*TEXTS[i * 60 : i * 60 + 80], " ", *more])
    return tmp_path / "in"


@pytest.mark.slow
def test_a_cluster_gives_the_bytes_of_one_machine_near_duplicates_included(
    folder: Path, tmp_path: Path, executor: Ray
) -> None:
    options: dict[str, Any] = {"stages": [*USUAL, NearDuplicates()], "tokenizer": SPEC, "keep_text": True}
    alone = prepare(folder, out=tmp_path / "one", **options)
    prepare(folder, out=tmp_path / "many", executor=executor, **options)
    assert alone.manifest["dropped"].keys() == {"duplicate", "near-duplicate", "empty"}
    assert files(tmp_path / "one") == files(tmp_path / "many")
    assert not place_of(tmp_path / "many")[0].exists()


@pytest.mark.slow
def test_a_process_that_dies_of_its_unit_comes_back_as_lost(tmp_path: Path, executor: Ray) -> None:
    tasks = [Task(Unit(number, ())) for number in range(4)]
    found = list(executor.run(Fatal(str(tmp_path), 2), tasks))
    (lost,) = [one for one in found if isinstance(one, Lost)]
    assert lost.task == tasks[2]
    assert "died, perhaps for want of memory" in lost.reason
    assert {one for one in found if not isinstance(one, Lost)} == {0, 1, 3}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_file_that_kills_twice_is_left_out_as_it_is_on_one_machine(
    folder: Path, tmp_path: Path, executor: Ray
) -> None:
    jsonl(folder / "4.jsonl", ["poison"])
    options: dict[str, Any] = {"stages": [*USUAL[:2], Deadly("poison"), USUAL[2]], "tokenizer": SPEC}
    here = Processes(1)
    alone = prepare(folder, out=tmp_path / "one", executor=here, **options)
    here.close()
    shared = prepare(folder, out=tmp_path / "many", executor=executor, **options)
    (problem,) = shared.manifest["input"]["unreadable"]
    assert problem["where"] == str(folder / "4.jsonl")
    assert "working on it failed twice: its process on" in problem["reason"]
    assert kept(shared) == kept(alone)


@pytest.mark.slow
def test_what_a_stage_raises_is_told_as_on_one_machine(folder: Path, tmp_path: Path, executor: Ray) -> None:
    told = r"0\.jsonl:8: the stage 'each' failed with ValueError: no seven, please\. Mend the stage"
    with pytest.raises(StageError, match=told):
        prepare(folder, out=tmp_path / "a", stages=[Each(fussy)], executor=executor)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


@pytest.mark.slow
def test_a_node_that_does_not_see_the_input_ends_the_run_before_it_begins(
    folder: Path, tmp_path: Path, executor: Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(*given: Any) -> Site:
        return replace(real(*given), files=("/nowhere/at/all.txt",))

    real = on_ray._site
    monkeypatch.setattr(on_ray, "_site", blind)
    with pytest.raises(ClusterError, match=r"node .* does not see the input /nowhere/at/all.txt\. All nodes need"):
        prepare(folder, out=tmp_path / "a", executor=executor)


@pytest.mark.slow
def test_a_function_that_works_in_no_folder_is_refused(executor: Ray) -> None:
    with pytest.raises(InputError, match="tells the folder it works in"):
        list(executor.run(len, [Task(Unit(0, ()))]))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_node_that_dies_in_the_middle_changes_no_byte(
    folder: Path, tmp_path: Path, cluster: Any, executor: Ray
) -> None:
    gate = tmp_path / "gate"
    options: dict[str, Any] = {
        "stages": [*USUAL[:2], Held(str(gate)), USUAL[2], NearDuplicates()],
        "tokenizer": SPEC,
        "keep_text": True,
    }
    prepare(folder, out=tmp_path / "one", **options)
    (victim,) = cluster.worker_nodes
    gate.write_text(other_node())
    killer = threading.Thread(target=_kill_once, args=(cluster, victim, Path(f"{gate}.holding")))
    killer.start()
    prepare(folder, out=tmp_path / "many", executor=executor, **options)
    killer.join()
    assert not list(cluster.worker_nodes)
    assert files(tmp_path / "one") == files(tmp_path / "many")


def other_node() -> str:
    """Of the two nodes the one that this process is not on."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    (other,) = {node["NodeID"] for node in ray.nodes() if node["Alive"]} - {here}
    return other


def _kill_once(cluster: Any, node: Any, holding: Path) -> None:
    deadline = time.monotonic() + 240
    while not holding.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    cluster.remove_node(node, allow_graceful=False)
