"""Workers of Dask: a cluster made for the occasion on this machine, or one that runs somewhere else."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import importlib
import importlib.util
import logging
import queue
import uuid
from typing import Any

from tca.experiments.sweep.executors import Answer, Call, Crew, CrewError

__all__ = ["Cluster", "installed", "require"]

SECONDS_TO_CONNECT = 10
TIME_TO_RESTART = "10 minutes"  # of a worker on this machine; Dask gives one up after 15 s, too few on a busy one
SECONDS_TO_FETCH = 10  # the few numbers that a worker holds after a run


def installed() -> bool:
    """Return whether Dask is there."""
    return importlib.util.find_spec("distributed") is not None


def require() -> None:
    """Raise unless Dask is there.

    Raises:
        CrewError: It is not.
    """
    if not installed():
        raise CrewError(
            "a Dask scheduler needs the extra `scale`: pip install 'temporal-credit-assignment[scale]'; "
            "without it a sweep runs in processes on this machine"
        )


class Cluster(Crew):
    """Workers of Dask, which take the calls from its scheduler.

    Args:
        address: Of the scheduler, such as ``tcp://10.0.0.1:8786``; ``None`` (default) makes a cluster on this machine:
            processes with one thread, without a dashboard and without a limit to memory, which ends with the crew.
        workers: Processes of the cluster on this machine, default 1.

    Raises:
        CrewError: Dask is not installed, or no scheduler answers.
    """

    def __init__(self, address: str | None = None, workers: int = 1) -> None:
        """Connect."""
        require()
        self._distributed: Any = importlib.import_module("distributed")  # half a second, so not before it is needed
        status = self._distributed.core.Status
        self._gone = (status.closing, status.closed, status.failed)
        self._where = "on this machine" if address is None else f"at {address}"
        self._done: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._futures: dict[str, Any] = {}
        self._cluster: Any = None
        try:
            self._open = self._opened(address, workers)
        except (OSError, ValueError, RuntimeError) as error:
            raise CrewError(f"no Dask scheduler can be used {self._where}: {' '.join(str(error).split())}") from error

    def _opened(self, address: str | None, workers: int) -> contextlib.ExitStack:
        """Connect, and return what closes everything again."""
        logger = logging.getLogger("distributed.client")
        with contextlib.ExitStack() as stack:
            # It logs with stack traces what is said here in a line: a worker that died, a scheduler that is gone.
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
            if address is None:
                config = importlib.import_module("dask.config")
                stack.enter_context(config.set({"distributed.deploy.lost-worker-timeout": TIME_TO_RESTART}))
                self._cluster = stack.enter_context(
                    self._distributed.LocalCluster(
                        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None,
                        memory_limit=None, silence_logs=logging.CRITICAL,
                    )
                )  # fmt: skip
            self._client = stack.enter_context(
                self._distributed.Client(self._cluster or address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
            )
            return stack.pop_all()

    def submit(self, call: Call) -> None:
        """Hand a call to the scheduler.

        Args:
            call: What to call.
        """
        name = f"tca-{call.key}-{uuid.uuid4().hex}"  # nobody else's answer will do
        future = self._client.submit(call.function, *call.arguments, key=name, pure=False)
        self._futures[call.key] = future
        self._watch(call.key)

    def answer(self, seconds: float | None = None) -> Answer | None:
        """Return the next answer, or ``None`` if there is none within the time.

        Args:
            seconds: How long to wait.
        """
        try:
            key = self._done.get(timeout=seconds)
        except queue.Empty:
            return None
        found = self._found(key)
        if found is None:
            self._watch(key)
        else:
            del self._futures[key]  # so that the scheduler can forget it
        return found

    def _watch(self, key: str) -> None:
        self._futures[key].add_done_callback(lambda _: self._done.put(key))

    def _found(self, key: str) -> Answer | None:
        """Return the answer to a call, or ``None`` if it has got lost with a worker and is done once more."""
        future = self._futures[key]
        if future.status in ("pending", "lost"):
            return None
        try:
            return Answer(key, future.result(timeout=SECONDS_TO_FETCH))
        except TimeoutError:
            return None
        except (asyncio.CancelledError, concurrent.futures.CancelledError):
            raise CrewError(f"the Dask scheduler {self._where} is gone") from None
        except self._distributed.scheduler.KilledWorker as error:
            return Answer(key, lost=f"Dask lost the worker {error.last_worker.address}")
        except Exception as error:
            return Answer(key, error=error)

    def trouble(self) -> str:
        """Return that there are no workers, if there are none.

        Raises:
            CrewError: Those on this machine could not be started again after they had died.
        """
        if self._client.scheduler_info()["workers"]:
            return ""
        if self._cluster is None:
            return f"waiting: the Dask scheduler {self._where} has no workers"
        if all(nanny.status in self._gone for nanny in list(self._cluster.workers.values())):
            raise CrewError("the workers of the Dask cluster on this machine have died and could not be started again")
        return ""

    def close(self) -> None:
        """Drop what has not been begun, and stop the workers if they were started here."""
        self._futures.clear()
        self._open.close()
