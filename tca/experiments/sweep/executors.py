"""Executors: jobs run in this process, in other processes on this machine or on a Dask cluster.

An executor starts jobs in backends with the interface of `concurrent.futures` and returns their results in the order
of completion. The death of a worker is distinguished from an error of the job; resubmission is left to the caller.
"""

from __future__ import annotations

import queue
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["Executor", "ExecutorError", "InProcess", "Job", "JobResult", "WorkerDiedError"]


class ExecutorError(RuntimeError):
    """Workers cannot be started or reached; the message is one line."""


class WorkerDiedError(RuntimeError):
    """The worker died while it ran the job; the message is the cause of death."""


@dataclass(frozen=True)
class Job:
    """A function call for a worker; function and arguments can be pickled.

    Args:
        key: Identifier of the job, unique among the jobs of an executor.
        function: The function, importable by a worker.
        arguments: Positional arguments.
    """

    key: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class JobResult:
    """The result of a job.

    Args:
        key: Key of the job.
        value: Return value of the function.
        error: Exception of the function, or `WorkerDiedError`; ``None`` (default) after success.
    """

    key: str
    value: Any = None
    error: BaseException | None = None


class Executor(ABC):
    """Workers that run jobs; a context manager that stops them on exit.

    Args:
        slots: Maximal number of jobs that run at the same time, default 1.
    """

    def __init__(self, slots: float = 1) -> None:
        self._slots = slots
        self._waiting: deque[Job] = deque()
        self._running: dict[Future[Any], Job] = {}
        self._done: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()

    def submit(self, job: Job) -> None:
        """Queue a job."""
        self._waiting.append(job)

    def next_result(self, seconds: float | None = None) -> JobResult | None:
        """Start as many jobs as there are free slots and return the next result.

        Args:
            seconds: Maximal waiting time; ``None`` (default) for no limit.

        Returns:
            The result, or ``None`` if no job ended within the time.

        Raises:
            ExecutorError: Workers cannot be started or reached.
        """
        while self._waiting and len(self._running) < self._slots:
            job = self._waiting.popleft()
            future = self._start(job)
            self._running[future] = job
            future.add_done_callback(self._done.put)
        try:
            future = self._done.get(timeout=seconds)
        except queue.Empty:
            return None
        key = self._running.pop(future).key
        try:
            return JobResult(key, self._value(future))
        except ExecutorError:
            raise
        except (Exception, SystemExit) as error:
            return JobResult(key, error=error)

    @property
    def running(self) -> list[str]:
        """Keys of the jobs that have been started and have not ended."""
        return [job.key for job in self._running.values()]

    @abstractmethod
    def _start(self, job: Job) -> Future[Any]:
        """Start a job in a free slot."""

    @abstractmethod
    def _value(self, future: Future[Any]) -> Any:
        """Return the value of a finished job, or raise its error or `WorkerDiedError`."""

    def obstacle(self) -> str:
        """Return the reason why no job can run at present, empty if there is none."""
        return ""

    @abstractmethod
    def close(self) -> None:
        """Stop the workers at once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class InProcess(Executor):
    """An executor without workers: jobs run one by one in the calling process."""

    def _start(self, job: Job) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(job.function(*job.arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def _value(self, future: Future[Any]) -> Any:
        return future.result()

    def close(self) -> None:
        """Return at once."""
