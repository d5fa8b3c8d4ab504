"""`prepare` on a Ray cluster: the same functions over the same units, handed out by Ray Data (Moritz et al. 2018).

Only units and words about them travel through Ray, between processes of this very run, as everything that Ray sends:
pickle can run code, so that a cluster is to be trusted like the machine itself. Texts are read from, and left in,
folders that all nodes see under one path; every node is asked whether it does before anything begins.

Unusual: Ray Data runs a task whose process died again, without end, wherever there is room. That is right where a node
died, and wrong where the unit kills. So each attempt leaves a mark in the work folder, and one that finds the mark of
an earlier attempt asks whether that one's node still answers. If it does, the process died of its unit, which comes
back as `Lost`; if not, the unit is worked on as if for the first time, so that a dead node does not change a byte.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import shutil
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from uuid import uuid4

from sensorium import __version__
from sensorium.data.prepare.executor import Lost
from sensorium.data.prepare.units import Task
from sensorium.errors import InputError, SensoriumError, require
from sensorium.files import DiskError

Result = TypeVar("Result")

NODES = 5
"""Nodes that may die of a unit, or beside it, before it counts as lost."""
PATIENCE = 30.0
"""Seconds that a node may take to answer, or a folder to come into sight."""
_FILES = 64
"""Input files that every node is asked for."""


class ClusterError(DiskError):
    """The cluster failed, or a node of it does not see what it must. What is finished is kept as on a full disk."""


class Ray:
    """Runs on a Ray cluster. Holds the connection until it is closed.

    Args:
        address: "auto" for the cluster that this machine is a node of, "local" for one that lives as long as this
            object on this machine alone, or HOST:PORT. If this process has a connection already, that one is used, and
            left open.
        workers: units in hand at most; as many as the cluster has cores if left out.

    Raises:
        CapabilityError: Ray is not installed.
        InputError: there is no cluster at the address, or it cannot be used from here.
    """

    isolated = True

    def __init__(self, address: str = "auto", *, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise InputError(f"workers={workers} is not a number from 1", fix="Leave it out to use all cores")
        self._workers = workers
        self._seen: set[str] = set()
        self._ray = _ray()
        self._ours = not self._ray.is_initialized()
        if self._ours:
            _connect(self._ray, address, workers)

    def run(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result | Lost]:
        """The results, as they are made.

        Args:
            function: of the steps of a run; `folder` is the one that it works in.
            tasks: what it is called with.

        Raises:
            ClusterError: a node does not see the folder or the input, or the cluster failed.
            InputError: the function has no folder.
            SensoriumError: what the function raises.
        """
        place = getattr(function, "folder", None)
        if not isinstance(place, str):
            raise InputError("a cluster runs only what tells the folder it works in", fix="Give it a `folder`")
        site = _site(Path(place), tasks)
        try:
            if place not in self._seen:
                self._ask_nodes(site)
                self._seen.add(place)
            count = 0
            with closing(self._results(_Attempt(function, site), tasks)) as answers:
                for answer in answers:
                    if isinstance(answer, _Blind):
                        raise answer.error()
                    if isinstance(answer, _Failed):
                        raise answer.error
                    count += 1
                    yield answer
            if count != len(tasks):
                raise ClusterError(f"Ray answered for {count} of {len(tasks)} units", fix="Repeat the command")
        finally:
            _end(site)
            _look_again(Path(place))

    def close(self) -> None:
        """Leave the cluster, if this object has joined it."""
        if self._ours:
            self._ray.shutdown()

    def __enter__(self) -> Ray:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def _results(self, attempt: _Attempt, tasks: Sequence[Task]) -> Generator[Any, None, None]:
        """What becomes of each task, by Ray Data: a block of one row each."""
        data = self._ray.data
        rows = [{"task": pickle.dumps(task)} for task in tasks]
        with _quiet():
            try:
                units = data.from_items(rows, override_num_blocks=len(rows))
                units.context.enable_progress_bars = False
                # Room for what tasks may answer is set aside before they start: by default 128 MB for each.
                units.context.target_max_block_size = 1 << 20
                answers = units.map(attempt.of_row, num_cpus=1, concurrency=self._workers)
                for batch in answers.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                    for answer in batch.column("answer"):
                        yield pickle.loads(answer.as_py())
            except self._ray.exceptions.RayError as error:
                raise ClusterError(f"the cluster failed: {_line(error)}", fix="Repeat the command to go on") from error

    def _ask_nodes(self, site: Site) -> None:
        """Ask every node that may be given work whether it sees the folder and the input."""
        asked = {
            node["NodeID"]: _on(self._ray, node["NodeID"], problem).remote(site)
            for node in self._ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
        }
        for node, answer in asked.items():
            try:
                unseen = self._ray.get(answer)
            except self._ray.exceptions.RayError as error:
                if _listed(self._ray, node):
                    raise _Blind(f"node {node[:8]} cannot run Sensorium: {_line(error)}").error() from error
                continue  # it has died meanwhile
            if unseen is not None:
                raise _Blind(unseen).error()


@dataclass(frozen=True)
class Site:
    """What a node must see.

    Args:
        folder: of this run's marks, within the work folder.
        current: the folder that relative paths begin at.
        version: of Sensorium.
        files: some of the input.
    """

    folder: str
    current: str
    version: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class _Blind:
    """A node that does not see what it must."""

    problem: str

    def error(self) -> ClusterError:
        return ClusterError(
            self.problem,
            fix="All nodes need the same Sensorium, and the input and --out under the same paths, on a shared disk",
        )


@dataclass(frozen=True)
class _Failed:
    error: BaseException


@dataclass(frozen=True)
class _Attempt:
    """What a node does with a task."""

    function: Callable[[Task], Any]
    site: Site

    def of_row(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"answer": pickle.dumps(self._answer(pickle.loads(row["task"])))}

    def _answer(self, task: Task) -> Any:
        if (unseen := problem(self.site)) is not None:
            return _Blind(unseen)
        if not _reads(self.site):
            return _Blind("the run has ended")  # nobody waits for an answer
        mark = Path(self.site.folder, f"{task.unit.number:05}")
        if (reason := why_lost(_nodes_of(mark), _answers)) is not None:
            mark.unlink(missing_ok=True)
            return Lost(task, reason)
        with mark.open("a", encoding="ascii") as file:
            file.write(f"{_ray().get_runtime_context().get_node_id()} {socket.gethostname()}\n")
        try:
            return self.function(task)
        except Exception as error:  # noqa: BLE001 - it is raised again where the work was asked for
            # Ray's own words for an error are long, and it may hold what cannot be sent.
            known = isinstance(error, SensoriumError | OSError)
            return _Failed(error if known else RuntimeError(f"{type(error).__name__}: {error}"))
        finally:
            mark.unlink(missing_ok=True)


def why_lost(attempts: Sequence[tuple[str, str]], answers: Callable[[str], bool]) -> str | None:
    """Why a task that was begun before is not begun again; None if it is to be.

    Args:
        attempts: node and host of each earlier attempt, of which none has come to an end.
        answers: tells of a node whether it is alive.
    """
    if not attempts:
        return None
    node, host = attempts[-1]
    if answers(node):
        return f"its process on {host} died, perhaps for want of memory"
    return f"{len(attempts)} nodes died while they worked on it" if len(attempts) >= NODES else None


def _nodes_of(mark: Path) -> list[tuple[str, str]]:
    if not mark.exists():
        return []
    lines = mark.read_text(encoding="ascii", errors="replace").splitlines()
    return [(node, host) for node, _, host in (line.partition(" ") for line in lines)]


def _answers(node: str) -> bool:
    """Whether a node is alive. The head's word for it may be late, so it is given a task."""
    ray = _ray()
    if node == ray.get_runtime_context().get_node_id():
        return True
    if not _listed(ray, node):
        return False
    try:
        ray.get(_on(ray, node, _nothing).remote(), timeout=PATIENCE)
    except ray.exceptions.RayError:
        return False
    return True


def _nothing() -> None:
    """What a node is asked to do that is to show that it lives."""


def _listed(ray: ModuleType, node: str) -> bool:
    return any(one["NodeID"] == node and one["Alive"] for one in ray.nodes())


def _on(ray: ModuleType, node: str, function: Callable[..., Any]) -> Any:
    """A function as a task for one node and no other, which waits for no core."""
    affinity = require("ray.util.scheduling_strategies", extra="ray", purpose="working on a cluster")
    strategy = affinity.NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    return ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=strategy)(function)


def _site(folder: Path, tasks: Sequence[Task]) -> Site:
    """What nodes are asked for in a run of tasks."""
    marks = folder / f"ray-{uuid4().hex}"
    marks.mkdir()
    # A node may have a folder of its own under the same path; only this one holds the name of the marks.
    (marks / _NAME).write_text(marks.name, encoding="ascii")
    files = sorted({part.path for task in tasks for part in task.unit.parts if part.stamp is not None})
    some = [path for path in files[:: len(files) // _FILES + 1] if Path(path).exists()]
    return Site(str(marks), str(Path.cwd()), __version__, tuple(some))


_NAME = "name"


def problem(site: Site) -> str | None:
    """What this node does not see of what it must, or None. The first time, it sets up the process for the work."""
    return _problem(site)


@lru_cache(maxsize=4)
def _problem(site: Site) -> str | None:
    # One thread each: Ray starts as many processes as there are cores.
    os.environ.update({"RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
    import pyarrow as pa

    pa.set_cpu_count(1)
    host = socket.gethostname()
    if site.version != __version__:
        return f"node {host} has Sensorium {__version__}, and the run was begun with {site.version}"
    with suppress(OSError):
        os.chdir(site.current)  # relative paths begin where the command was given
    end = time.monotonic() + PATIENCE / 3
    while not (there := _reads(site)) and time.monotonic() < end:
        time.sleep(0.5)
    if not there:
        return f"node {host} does not see the folder {Path(site.folder).parent}"
    unseen = next((path for path in site.files if not Path(path).exists()), None)
    return None if unseen is None else f"node {host} does not see the input {unseen}"


def _reads(site: Site) -> bool:
    with suppress(OSError):
        return Path(site.folder, _NAME).read_text(encoding="ascii") == Path(site.folder).name
    return False


def _end(site: Site) -> None:
    """Let no further attempt begin, and wait for those that were cut off, which may still write."""
    marks, end = Path(site.folder), time.monotonic() + PATIENCE / 6
    with suppress(OSError):
        (marks / _NAME).unlink()
        while next(marks.iterdir(), None) is not None and time.monotonic() < end:
            time.sleep(0.05)
    shutil.rmtree(marks, ignore_errors=True)


def _look_again(folder: Path) -> None:
    """Have the system ask for what others wrote: a network file system may remember that a file was not there."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir():
                next(path.iterdir(), None)


def _ray() -> ModuleType:
    ray = require("ray", extra="ray", purpose="working on a cluster")
    require("ray.data", extra="ray", purpose="working on a cluster")
    return ray


def _connect(ray: ModuleType, address: str, workers: int | None) -> None:
    if "://" in address:
        raise InputError(
            "Ray Data does not run through a client's connection",
            where=address,
            fix="Give the command on a node of the cluster, with --ray auto",
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    local = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
    try:
        _refuse_silent(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except (RuntimeError, ValueError, OverflowError, OSError) as error:
        raise InputError(
            f"no Ray cluster can be used there: {_line(error)}",
            where=address,
            fix="Start one on this machine with `ray start --head`, or join it with `ray start --address=HOST:PORT`",
        ) from error


def _refuse_silent(address: str) -> None:
    """Raise if nothing listens at HOST:PORT, of which Ray would make sure for many minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE / 6).close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Ray Data says of its runs out of the way of what this package says."""
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


_TOLD = re.compile(r"[\w.]*(?:Error|Exception): .*")


def _line(error: BaseException) -> str:
    """The line of an error that tells: Ray's are as long as the way that they came."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if _TOLD.fullmatch(line)), lines[-1] if lines else type(error).__name__)
