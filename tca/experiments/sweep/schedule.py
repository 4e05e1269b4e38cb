"""The schedule of a sweep: which runs are open, restarted after a death, or in use by another process."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tca.experiments import records
from tca.experiments.config.run import Run
from tca.experiments.loggers.logger import Logger
from tca.experiments.records.files import RecordError
from tca.experiments.sweep.executors import Executor, Job, JobResult, WorkerDiedError
from tca.experiments.sweep.jobs import Attempts, ending, one_line, perform, perform_together
from tca.experiments.sweep.swept_run import DIED, FAILED, IN_USE, Swept
from tca.experiments.together.compatibility import groups, refusal

__all__ = ["Schedule"]

SECONDS_TO_LOOK_AGAIN = 1.0  # between two attempts at a run in use by another process
MOST_LOST = 20  # workers that may die with a run in their queue


class Schedule:
    """The runs of a sweep, ended and open.

    Args:
        runs: The runs, without duplicates.
        root: Folder of their records.
        say: Function that shows a line to the user.
        threads: See `tca.experiments.sweep.sweep`, like all that follow.
        retries: Number of restarts of a run after its worker died.
        wait: Whether to wait for runs in use by another process.
        source: Python file that workers load first, empty for none.
        loggers: Receivers of the measurements, default none.
        together: Most runs that a worker trains together, default 1.

    Attributes:
        ended: Runs with a finished or unreadable record.
        open: The other runs, by name.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        root: Path,
        say: Callable[[str], None],
        *,
        threads: int,
        retries: int,
        wait: bool,
        source: str,
        loggers: Sequence[Logger] = (),
        together: int = 1,
    ) -> None:
        self._root, self._say, self._retries, self._wait = root, say, retries, wait
        self._sweep = uuid.uuid4().hex[:12]
        self._options = (self._sweep, threads, retries, source, tuple(loggers))
        self._of_groups = (threads, source, tuple(loggers))
        self._lost: Counter[str] = Counter()
        self._due: dict[str, float] = {}
        self._said: set[str] = set()
        self.ended = [_before(run, run.folder(root)) for run in runs if records.finished(run.folder(root))]
        known = {each.run.name for each in self.ended}
        self.open = {run.name: run for run in runs if run.name not in known}
        self._groups = self._grouped(together) if together > 1 else {}

    def _grouped(self, size: int) -> dict[str, list[Run]]:
        """Return the open runs that are trained together by a key of their job; say why others are not."""
        for reason, count in Counter(filter(None, map(refusal, self.open.values()))).items():
            self._once(f"{count} {'run is' if count == 1 else 'runs are'} trained singly: {reason}")
        found = groups(list(self.open.values()), size)
        return {f"together {place}": group for place, group in enumerate(found) if len(group) > 1}

    def trained(self, executor: Executor, look: Callable[[list[str]], None]) -> Iterator[Swept]:
        """Train the open runs and yield each when it ends.

        Args:
            executor: The workers.
            look: Callback with the names of the runs in training, about once a second.
        """
        grouped = {run.name for group in self._groups.values() for run in group}
        for key, group in self._groups.items():
            arguments = [run.to_json() for run in group], [run.folder(self._root) for run in group]
            executor.submit(Job(key, perform_together, (*arguments, *self._of_groups)))
        for name in [each for each in self.open if each not in grouped]:
            executor.submit(self._job(name))
        while self.open:
            for name in [each for each, due in self._due.items() if due <= time.monotonic()]:
                del self._due[name]
                executor.submit(self._job(name))
            result = executor.next_result(SECONDS_TO_LOOK_AGAIN)
            if result is None:
                self._once(executor.obstacle())
                look([name for key in executor.running for name in self._names(key)])
            elif result.key in self._groups:  # finished or not: what is left is a job for each run
                for run in self._groups.pop(result.key):
                    executor.submit(self._job(run.name))
            elif swept := self._ending(result, executor):
                del self.open[result.key]
                yield swept

    def _names(self, key: str) -> list[str]:
        """Return the names of the runs of a job."""
        return [run.name for run in self._groups[key]] if key in self._groups else [key]

    def _job(self, name: str) -> Job:
        run = self.open[name]
        return Job(name, perform, (run.to_json(), run.folder(self._root), *self._options))

    def _ending(self, result: JobResult, executor: Executor) -> Swept | None:
        """Return how a run ended, ``None`` if it has to run again."""
        run = self.open[result.key]
        folder = run.folder(self._root)
        if isinstance(result.error, WorkerDiedError):
            return self._restarted(run, folder, str(result.error), executor)
        values = result.value if result.error is None else ending(FAILED, one_line(result.error))
        if values["outcome"] == IN_USE and self._wait:
            self._once(f"waiting: {values['reason']}")
            self._due[run.name] = time.monotonic() + SECONDS_TO_LOOK_AGAIN
            return None
        if values["outcome"] == DIED:
            Attempts(folder, self._sweep).forget()
        return Swept.from_json(run, folder, values)

    def _restarted(self, run: Run, folder: Path, death: str, executor: Executor) -> Swept | None:
        """Restart a run after the death of its worker, or return that too many died."""
        attempts = Attempts(folder, self._sweep)
        self._lost[run.name] += 1
        if attempts.begun <= self._retries and self._lost[run.name] < MOST_LOST:
            self._say(f"{death} while it trained {folder.name}, which another worker resumes")
            executor.submit(self._job(run.name))
            return None
        reason = attempts.reason(death)
        attempts.forget()
        return Swept(run, folder, DIED, reason)

    def _once(self, text: str) -> None:
        if text and text not in self._said:
            self._said.add(text)
            self._say(text)


def _before(run: Run, folder: Path) -> Swept:
    try:
        return Swept.of(records.reread(folder, run), folder)
    except RecordError as error:
        return Swept(run, folder, FAILED, str(error))
