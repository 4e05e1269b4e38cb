"""What a sweep knows of its runs: which are open, how often a worker died over one, which are in use elsewhere."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tca.experiments import records
from tca.experiments.config.run import Run
from tca.experiments.records.files import RecordError
from tca.experiments.sweep.executors import Answer, Call, Crew
from tca.experiments.sweep.jobs import Attempts, Job, ending, one_line, perform
from tca.experiments.sweep.swept_run import DIED, FAILED, IN_USE, Swept

__all__ = ["Ledger", "Terms"]

SECONDS_TO_LOOK_AGAIN = 1.0  # after which a run that is in use elsewhere is tried anew
MOST_LOST = 20  # workers that may die, for other reasons, before a run has been begun at all


@dataclass(frozen=True)
class Terms:
    """On what terms runs are trained; see `tca.experiments.sweep.sweep`.

    Args:
        threads: Threads of torch in each worker.
        retries: How often a run is begun anew after its worker has died.
        wait: Whether to wait for runs that another process is training.
        source: A Python file that workers load first, empty for none.
    """

    threads: int
    retries: int
    wait: bool
    source: str


class Ledger:
    """The runs of a sweep, ended and open.

    Args:
        runs: The runs, each once.
        root: Where their records are.
        terms: On what terms they are trained.
        say: Told in a line what a user may wonder at.

    Attributes:
        ended: Runs that had a finished record at the start, or one that cannot be read.
        open: The others, by name.
    """

    def __init__(self, runs: Sequence[Run], root: Path, terms: Terms, say: Callable[[str], None]) -> None:
        """Look through the records."""
        self._root, self._terms, self._say = root, terms, say
        self._sweep = uuid.uuid4().hex[:12]
        self._lost: Counter[str] = Counter()
        self._due: dict[str, float] = {}
        self._said: set[str] = set()
        self.ended = [_before(run, run.folder(root)) for run in runs if records.finished(run.folder(root))]
        known = {each.run.name for each in self.ended}
        self.open = {run.name: run for run in runs if run.name not in known}

    def trained(self, crew: Crew) -> Iterator[Swept]:
        """Have all open runs trained and yield how each ended.

        Args:
            crew: Who trains them.
        """
        for name in self.open:
            crew.submit(self._call(name))
        while self.open:
            for name in [each for each, due in self._due.items() if due <= time.monotonic()]:
                del self._due[name]
                crew.submit(self._call(name))
            answer = crew.answer(SECONDS_TO_LOOK_AGAIN)
            if answer is None:
                self._once(crew.trouble())
            elif swept := self._judged(answer, crew):
                del self.open[answer.key]
                yield swept

    def _call(self, name: str) -> Call:
        run, terms = self.open[name], self._terms
        folder = str(run.folder(self._root))
        return Call(
            name, perform, (Job(run.to_json(), folder, self._sweep, terms.threads, terms.retries, terms.source),)
        )

    def _judged(self, answer: Answer, crew: Crew) -> Swept | None:
        """Return how a run ended, or ``None`` if it has not."""
        run = self.open[answer.key]
        folder = run.folder(self._root)
        if answer.lost:
            return self._mourned(run, folder, answer, crew)
        values = answer.value if answer.error is None else ending(FAILED, one_line(answer.error))
        if values["outcome"] == IN_USE and self._terms.wait:
            self._once(f"waiting: {values['reason']}")
            self._due[run.name] = time.monotonic() + SECONDS_TO_LOOK_AGAIN
            return None
        if values["outcome"] == DIED:
            self._attempts(folder).forget()
        return Swept.from_json(run, folder, values)

    def _mourned(self, run: Run, folder: Path, answer: Answer, crew: Crew) -> Swept | None:
        """Begin a run anew whose worker has died, or return that it has died too often."""
        attempts = self._attempts(folder)
        self._lost[run.name] += 1
        if attempts.begun <= self._terms.retries and self._lost[run.name] < MOST_LOST:
            self._say(f"{answer.lost} while it had {folder.name}, which another goes on with")
            crew.submit(self._call(run.name))
            return None
        reason = attempts.reason(answer.lost)
        attempts.forget()
        return Swept(run, folder, DIED, reason)

    def _attempts(self, folder: Path) -> Attempts:
        return Attempts(folder, self._sweep)

    def _once(self, text: str) -> None:
        if text and text not in self._said:
            self._said.add(text)
            self._say(text)


def _before(run: Run, folder: Path) -> Swept:
    try:
        return Swept.of(records.reread(folder, run), folder)
    except RecordError as error:
        return Swept(run, folder, FAILED, str(error))
