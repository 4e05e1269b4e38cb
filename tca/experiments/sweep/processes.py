"""Worker processes on this machine: a pool of one process for each slot, so that a death breaks only its own pool."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from typing import Any

import torch

from tca.experiments.sweep.executors import Executor, ExecutorError, Job, WorkerDiedError

__all__ = ["Processes"]

PARENT_DIED = 255  # exit code in multiprocessing if the process that forks workers has died


class Processes(Executor):
    """Processes with one thread each, started on demand and replaced after a death.

    Args:
        workers: Number of processes.
    """

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self._idle: list[_Worker] = []
        self._busy: dict[Future[Any], _Worker] = {}

    def _start(self, job: Job) -> Future[Any]:
        while True:
            worker = self._idle.pop() if self._idle else _Worker()
            try:
                future = worker.pool.submit(job.function, *job.arguments)
            except BrokenProcessPool:  # it died while idle
                worker.death()
            else:
                self._busy[future] = worker
                return future

    def _value(self, future: Future[Any]) -> Any:
        worker = self._busy.pop(future)
        error = future.exception()
        if not isinstance(error, BrokenProcessPool):
            self._idle.append(worker)
        else:
            death = worker.death()
            if error.__cause__ is None:  # else its result could not be unpickled
                raise WorkerDiedError(death)
        return future.result()

    def close(self) -> None:
        """Kill the processes."""
        for worker in (*self._idle, *self._busy.values()):
            worker.stop()


class _Worker:
    """A pool of one process, forked from a server that has imported everything and started no thread."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tca.experiments.sweep.jobs"])
        with _without_interrupts():
            self.pool = ProcessPoolExecutor(1, context, _prepare_worker)
            self._started = self.pool.submit(os.getpid)
        (self._process,) = self.pool._processes.values()

    def stop(self) -> None:
        """Kill the process."""
        self._process.kill()
        self.pool.shutdown()

    def death(self) -> str:
        """Return the cause of death of the process.

        Raises:
            ExecutorError: It ended by itself before it was ready.
        """
        self.pool.shutdown()
        code = self._process.exitcode
        if self._started.exception() is not None and not _killed(code):
            raise ExecutorError(
                f"a worker process could not start: {_death(code)}; a script that starts workers must do so below "
                "if __name__ == '__main__'"
            )
        return _death(code)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block SIGINT while a process starts: processes inherit the mask, and Ctrl-C is for the parent alone."""
    sys.warnoptions.append("ignore:resource_tracker")  # of semaphores left by a killed parent, which it removes
    try:
        resource_tracker.ensure_running()  # here, as it unblocks SIGINT
    finally:
        sys.warnoptions.pop()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _killed(code: int | None) -> bool:
    """Return whether a signal ended a process or the server that it was forked from."""
    return code is None or code < 0 or code == PARENT_DIED


def _death(code: int | None) -> str:
    """Return the cause of death of a process.

    >>> _death(-9), _death(3)
    ('killed by SIGKILL', 'ended with status 3')
    """
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with status {code}"


def _prepare_worker() -> None:
    """Set up a worker process, which ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
