"""Who does the work: this process, or several that are started anew when they die.

Both answer to one small protocol, which a cluster can answer to as well: a function and the tasks that it is called
with go in, and results come out as they are made. A task whose process died comes back as `Lost`; what to do about it
is for the caller to say. An error that the function raises ends the run.

Unusual: processes are started afresh (`spawn`), because a fork of a process in which other threads run may hang, and
each watches the one that started it, so that `kill -9` of that one leaves none behind.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol, TypeVar, runtime_checkable

from sensorium.data.prepare.units import Task
from sensorium.errors import InputError, SensoriumError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Lost:
    """A task whose process died."""

    task: Task
    reason: str


@runtime_checkable
class Executor(Protocol):
    """Runs a function over tasks."""

    @property
    def isolated(self) -> bool:
        """Whether the function runs in other processes than this one."""

    def run(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result | Lost]:
        """The results, in any order."""

    def close(self) -> None:
        """Let go of all processes."""


class Here:
    """Runs everything in this process."""

    isolated = False

    def run(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result | Lost]:
        """The results, in the order of the tasks."""
        return map(function, tasks)

    def close(self) -> None:
        """There is nothing to let go of."""


class Processes:
    """Runs on processes of this machine.

    Args:
        count: how many.
    """

    isolated = True

    def __init__(self, count: int) -> None:
        self._count = count
        self._workers: list[_Worker] = []

    def run(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result | Lost]:
        """The results, as they are made.

        Raises:
            SensoriumError: the processes cannot be started; or what the function raises.
        """
        waiting = deque(tasks)
        for worker in self._workers:
            worker.learn(function)
        try:
            while waiting or any(worker.task for worker in self._workers):
                self._hand_out(function, waiting)
                ready = connection.wait([end for worker in self._workers for end in worker.ends])
                for worker in [worker for worker in self._workers if set(worker.ends) & set(ready)]:
                    answer = worker.answer()
                    if worker.died:
                        self._workers.remove(worker)
                    if answer is not None:
                        yield _raised(answer)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End all processes at once; what they have in hand is lost."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def _hand_out(self, function: Callable[[Task], Any], waiting: deque[Task]) -> None:
        idle = [worker for worker in self._workers if worker.task is None]
        while waiting and (idle or len(self._workers) < self._count):
            if not idle:
                self._workers.append(worker := _Worker())
                worker.learn(function)
                idle.append(worker)
            idle.pop().take(waiting.popleft())


@contextmanager
def hired(executor: Executor | None, workers: int, tasks: int, stages: Sequence[Any]) -> Iterator[Executor]:
    """Who works in a block: the one that is given, or processes of this machine, as many as are asked for and of use.
    Where several are asked for, even a single task runs in another process, which may die without this one.

    Raises:
        InputError: a stage cannot be sent to other processes.
    """
    workforce = executor or (Here() if workers < 2 else Processes(max(1, min(workers, tasks))))
    if workforce.isolated:
        for stage in stages:
            _refuse_unsendable(stage)
    try:
        yield workforce
    finally:
        if executor is None:
            workforce.close()


def _refuse_unsendable(stage: Any) -> None:
    try:
        ForkingPickler.dumps(stage)
    except Exception as error:
        raise InputError(
            f"the stage {stage.name!r} cannot be sent to other processes: {error}",
            fix="Use functions and classes that stand at the top level of a module, or one worker",
        ) from error


class _Worker:
    """A process, seen from the one that started it."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._ready = False
        self.died = False
        self.task: Task | None = None

    @property
    def ends(self) -> tuple[Connection, int]:
        """What becomes readable when it answers or dies."""
        return self._pipe, self._process.sentinel

    def learn(self, function: Callable[[Task], Any]) -> None:
        """Hand it the function that its next tasks are for."""
        with suppress(BrokenPipeError):
            self._pipe.send(function)

    def take(self, task: Task) -> None:
        """Hand it a task."""
        self.task = task
        with suppress(BrokenPipeError):
            self._pipe.send(task)

    def answer(self) -> Any:
        """A result, a failure, or that it died; None if it only said that it has started."""
        try:
            if self._pipe.poll():
                answer = self._pipe.recv()
                if answer == _READY:
                    self._ready = True
                    return None
                self.task = None
                return answer
        except (EOFError, OSError):
            pass
        self.died = True
        self._process.join(5)
        self._pipe.close()
        if not self._ready:
            raise SensoriumError(
                "the processes that share the work cannot start",
                fix='Put what your script does under `if __name__ == "__main__":`, or use one worker',
            )
        return None if self.task is None else Lost(self.task, _why(self._process.exitcode))

    def end(self) -> None:
        self._process.kill()
        self._process.join(5)
        self._pipe.close()


_READY = "ready"


@dataclass(frozen=True)
class _Failure:
    error: BaseException


def _raised(answer: Any) -> Any:
    if isinstance(answer, _Failure):
        raise answer.error
    return answer


def _why(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"its process was ended by {name}{', perhaps for want of memory' if name == 'SIGKILL' else ''}"
    return f"its process ended with code {code}"


def _serve(pipe: Connection) -> None:
    """Work on tasks until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that was started by hand says what Ctrl-C means
    threading.Thread(target=_follow_parent, daemon=True).start()
    # One thread each: there are as many processes as there are cores.
    os.environ.update({"RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
    import pyarrow as pa

    pa.set_cpu_count(1)
    pipe.send(_READY)
    function: Callable[[Task], Any] | None = None
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            message = pipe.recv()
            if not isinstance(message, Task):
                function = message
                continue
            assert function is not None
            try:
                pipe.send(function(message))
            except (BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:  # noqa: BLE001 - it is raised again where the work was asked for
                pipe.send(_Failure(_portable(error)))


def _portable(error: Exception) -> Exception:
    """An error that can be sent: one of ours or the system's as it is, another as its words."""
    if isinstance(error, SensoriumError | OSError):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")


def _follow_parent() -> None:
    """End when the process that started this one has ended, however it did."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
