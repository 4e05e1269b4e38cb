"""Workers of Dask: a temporary cluster on this machine, or the scheduler of a cluster elsewhere."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import math
from concurrent.futures import CancelledError, Future
from typing import Any

from tca.experiments.sweep.executors import Executor, ExecutorError, Job, WorkerDiedError

__all__ = ["Cluster", "installed", "require"]

SECONDS_TO_CONNECT = 10
TIME_TO_RESTART = "10 minutes"  # of a worker on this machine; the default of 15 s is too short on a busy one


def installed() -> bool:
    """Return whether Dask is installed."""
    return importlib.util.find_spec("distributed") is not None


def require() -> None:
    """Raise unless Dask is installed.

    Raises:
        ExecutorError: Dask is not installed.
    """
    if not installed():
        raise ExecutorError(
            "a Dask scheduler needs the extra `scale`: pip install 'temporal-credit-assignment[scale]'; "
            "without it a sweep runs in processes on this machine"
        )


class Cluster(Executor):
    """Workers of Dask; its scheduler distributes the jobs.

    Args:
        address: Address of the scheduler, such as ``tcp://10.0.0.1:8786``; ``None`` (default) for a cluster on this
            machine that ends with the executor: processes with one thread, no dashboard, no memory limit.
        workers: Number of processes of the cluster on this machine, default 1.

    Raises:
        ExecutorError: Dask is not installed, or no scheduler responds.
    """

    def __init__(self, address: str | None = None, workers: int = 1) -> None:
        super().__init__(math.inf)
        require()
        self._distributed: Any = importlib.import_module("distributed")  # half a second, so not before it is needed
        self._where = "on this machine" if address is None else f"at {address}"
        self._cluster: Any = None
        try:
            self._open = self._opened(address, workers)
        except (OSError, ValueError, RuntimeError) as error:
            raise ExecutorError(
                f"no Dask scheduler can be used {self._where}: {' '.join(str(error).split())}"
            ) from error

    def _opened(self, address: str | None, workers: int) -> contextlib.ExitStack:
        """Connect; return the stack that closes the connection and the cluster."""
        logger = logging.getLogger("distributed.client")
        with contextlib.ExitStack() as stack:
            # Dask logs stack traces of errors that are reported here in a line: dead workers, a lost scheduler.
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
            self._jobs = self._client.get_executor(pure=False)
            return stack.pop_all()

    def _start(self, job: Job) -> Future[Any]:
        future: Future[Any] = self._jobs.submit(job.function, *job.arguments)
        return future

    def _value(self, future: Future[Any]) -> Any:
        try:
            return future.result()
        except CancelledError:
            raise ExecutorError(f"the Dask scheduler {self._where} is gone") from None
        except self._distributed.scheduler.KilledWorker as error:
            raise WorkerDiedError(f"Dask lost the worker {error.last_worker.address}") from None

    def obstacle(self) -> str:
        """Return that there are no workers, if so.

        Raises:
            ExecutorError: All workers on this machine have died and could not be restarted.
        """
        if self._client.scheduler_info()["workers"]:
            return ""
        if self._cluster is None:
            return f"waiting: the Dask scheduler {self._where} has no workers"
        status = self._distributed.core.Status
        gone = (status.closing, status.closed, status.failed)
        if all(nanny.status in gone for nanny in list(self._cluster.workers.values())):
            raise ExecutorError(
                "the workers of the Dask cluster on this machine have died and could not be started again"
            )
        return ""

    def close(self) -> None:
        """Disconnect, drop the jobs, and stop the workers of a cluster on this machine."""
        self._open.close()
