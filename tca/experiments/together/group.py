"""A group of runs that make their updates together, with measurements, records and outcomes of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence

import torch

from tca.experiments.loggers.logger import Writer
from tca.experiments.records.record import Record
from tca.experiments.records.result import Result
from tca.experiments.together.learner_ensemble import LearnerEnsemble
from tca.experiments.training.outcome import course
from tca.experiments.training.training_loop import TrainingLoop

__all__ = ["Group"]


class Group:
    """Runs in training, those that have made the fewest updates first, so that the others can go on together with them.

    Args:
        loops: Training loops of runs that are alike, see `tca.experiments.together.compatibility`.
        records: Their records, open.
        writers: Callbacks with every new measurement of a run, one for each.
        made: Callback with the number of updates that were just made, default none.
    """

    def __init__(
        self,
        loops: Sequence[TrainingLoop],
        records: Sequence[Record],
        writers: Sequence[Writer],
        made: Callable[[int], object] = lambda _: None,
    ) -> None:
        self.loops, self.records, self.writers, self.made = tuple(loops), tuple(records), tuple(writers), made
        self._members: tuple[TrainingLoop, ...] = ()
        self._ensemble: LearnerEnsemble | None = None

    def results(self) -> dict[int, Result | Exception]:
        """Train all runs to their end and return the result of each by its place, or the error that it raised."""
        courses: dict[int, Generator[int, str, Result]] = {}
        wanted: dict[int, int] = {}
        ended: dict[int, Result | Exception] = {}

        def go_on(place: int, trouble: str | None) -> None:
            """Let a run measure and record; note how many updates it wants, or how it ended."""
            try:
                wanted[place] = next(courses[place]) if trouble is None else courses[place].send(trouble)
            except StopIteration as end:
                ended[place] = end.value
            except Exception as error:
                ended[place] = error
            if place in ended:
                wanted.pop(place, None)

        for place, (loop, record, write) in enumerate(zip(self.loops, self.records, self.writers, strict=True)):
            courses[place] = course(loop, record, write)
            go_on(place, None)
        while wanted:
            least = min(self.loops[place].step for place in wanted)
            now = {place: self.loops[place] for place in wanted if self.loops[place].step == least}
            troubles = self._block(now, min(wanted[place] for place in now))
            for place in now:
                go_on(place, troubles.get(place, ""))
        self._hold(())
        return ended

    def _block(self, loops: dict[int, TrainingLoop], updates: int) -> dict[int, str]:
        """Make the updates of runs up to their next measurement; return the reasons of those that diverged."""
        troubles: dict[int, str] = {}
        for _ in range(updates):
            going = {place: each for place, each in loops.items() if place not in troubles}
            found = self.update(tuple(going.values())) if len(going) > 1 else [each.update() for each in going.values()]
            troubles |= {place: trouble for place, trouble in zip(going, found, strict=True) if trouble}
            self.made(len(going))
        return troubles

    def update(self, loops: tuple[TrainingLoop, ...]) -> list[str]:
        """Make an update of each run; return the reasons of those whose numbers are not finite, else ``""``.

        Args:
            loops: Runs that have made the same number of updates.
        """
        ensemble = self._hold(loops if len(loops) > 1 else ())
        if ensemble is None:
            return [each.update() for each in loops]
        batches = [next(each.batches) for each in loops]
        begun = time.perf_counter()
        infos = ensemble.backward(batches)  # type: ignore[arg-type]
        witnesses = [each.witness for each in infos]
        norms = torch._foreach_norm([gradient for each in loops for gradient in each.updates.gradients])
        sizes = torch.stack([*witnesses, *norms]).tolist()  # the only wait
        each_has, found = len(norms) // len(loops), []
        for place, (loop, info) in enumerate(zip(loops, infos, strict=True)):
            first = len(loops) + place * each_has
            found.append(loop.updates.take(info, [sizes[place], *sizes[first : first + each_has]], loop.step))
            loop.step += not found[-1]
        taken = (time.perf_counter() - begun) / len(loops)
        for loop, trouble in zip(loops, found, strict=True):
            loop.elapsed += 0.0 if trouble else taken
        return found

    def _hold(self, loops: tuple[TrainingLoop, ...]) -> LearnerEnsemble | None:
        """Return the learners of runs as an ensemble, the same as long as the runs are the same."""
        if loops != self._members:
            if self._ensemble is not None:
                self._ensemble.release()
            self._members = loops
            self._ensemble = LearnerEnsemble([each.learner for each in loops]) if loops else None
        return self._ensemble
