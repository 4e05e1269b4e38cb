"""A group of runs that make their updates together, with measurements, records and outcomes of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence

from tca.experiments.loggers.logger import Writer
from tca.experiments.records.record import Record
from tca.experiments.records.result import Result
from tca.experiments.together.joint_updates import JointUpdates
from tca.experiments.together.learner_ensemble import LearnerEnsemble
from tca.experiments.training.outcome import course
from tca.experiments.training.training_loop import TrainingLoop
from tca.utils.checks import DivergenceError
from tca.utils.deferred_checks import deferred

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
        chosen = [each.run.optimizer for each in self.loops]
        self._order = sorted(
            range(len(self.loops)), key=lambda place: chosen.index(chosen[place])
        )  # equal ones together
        self._members: tuple[TrainingLoop, ...] = ()
        self._held: tuple[LearnerEnsemble, JointUpdates] | None = None

    def results(self) -> dict[int, Result | Exception]:
        """Train all runs to their end and return the result of each by its place, or the error that it raised."""
        courses: dict[int, Generator[int, str, Result]] = {}
        wanted: dict[int, int] = {}
        ended: dict[int, Result | Exception] = {}

        def go_on(place: int, trouble: str | DivergenceError | None) -> None:
            """Let a run measure and record; note how many updates it wants, or how it ended."""
            going = courses[place]
            try:
                if isinstance(trouble, DivergenceError):
                    wanted[place] = going.throw(trouble)
                else:
                    wanted[place] = next(going) if trouble is None else going.send(trouble)
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
            now = {
                place: self.loops[place] for place in self._order if place in wanted and self.loops[place].step == least
            }
            troubles = self._block(now, min(wanted[place] for place in now))
            for place in now:
                go_on(place, troubles.get(place, ""))
        self._hold(())
        return ended

    def _block(self, loops: dict[int, TrainingLoop], updates: int) -> dict[int, str | DivergenceError]:
        """Make the updates of runs up to their next measurement; return the reasons of those that diverged."""
        troubles: dict[int, str | DivergenceError] = {}
        if self._held is not None:
            self._held[0].checked = False  # callbacks of the last measurement may have changed a network
        for _ in range(updates):
            going = {place: each for place, each in loops.items() if place not in troubles}
            found = self.update(tuple(going.values()))
            troubles |= {place: trouble for place, trouble in zip(going, found, strict=True) if trouble}
            self.made(len(going))
        return troubles

    def update(self, loops: tuple[TrainingLoop, ...]) -> list[str | DivergenceError]:
        """Make an update of each run; return the reasons of those whose numbers are not finite, else ``""``.

        The reason is an error where the rule has noticed that its numbers would not be.

        Args:
            loops: Runs that have made the same number of updates.
        """
        held = self._hold(loops if len(loops) > 1 else ())
        if held is None:
            return [_updated(each) for each in loops]
        ensemble, joint = held
        batches = [next(each.batches) for each in loops]
        begun = time.perf_counter()
        with deferred() as checks:
            gradients, infos = ensemble.gradients(batches)  # type: ignore[arg-type]
        taken_up = joint.take(gradients, infos, ensemble.witnesses(infos), checks, loops[0].step)
        found = [ensemble.errors.get(place, trouble) for place, trouble in enumerate(taken_up)]
        for loop, trouble in zip(loops, found, strict=True):
            loop.step += not trouble
        taken = (time.perf_counter() - begun) / len(loops)
        for loop, trouble in zip(loops, found, strict=True):
            loop.elapsed += 0.0 if trouble else taken
        return found

    def _hold(self, loops: tuple[TrainingLoop, ...]) -> tuple[LearnerEnsemble, JointUpdates] | None:
        """Return the learners and the updates of runs together, the same as long as the runs are the same."""
        if loops != self._members:
            for each in self._held or ():
                each.release()
            self._members, self._held = loops, None
            if loops:
                ensemble = LearnerEnsemble([each.learner for each in loops])
                self._held = ensemble, JointUpdates([each.updates for each in loops], ensemble.nets.parameters)
        return self._held


def _updated(loop: TrainingLoop) -> str | DivergenceError:
    """Make an update of one run; return the reason if its numbers are not finite, else ``""``."""
    try:
        return loop.update()
    except DivergenceError as error:
        return error
