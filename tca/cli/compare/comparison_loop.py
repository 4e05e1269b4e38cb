"""Training of a comparison in several processes: check, learning rates, runs, and networks at a common loss."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tca.cli.compare.combinations import misfits
from tca.cli.compare.common_loss import common_losses, crossings, with_matched
from tca.cli.compare.comparison import Comparison, Planned
from tca.cli.compare.comparison_result import OUTCOMES_FILE, RUNS, ComparisonResult, Key, Outcomes
from tca.cli.compare.learning_rates import Search, TriedRate
from tca.cli.compare.measured_runs import read_measured, train_and_measure
from tca.cli.compare.measurements import MeasurementSettings, RunMeasurements, observer
from tca.cli.compare.task_facts import task_facts
from tca.experiments import records
from tca.experiments.config.run import Run
from tca.experiments.loggers.logger import Logger, loggers_of
from tca.experiments.records.files import RecordError, explained, make_folder
from tca.experiments.records.sealed_json import read_json, write_json
from tca.experiments.sweep.executors import Executor, InProcess, Job, JobResult, WorkerDiedError
from tca.experiments.sweep.jobs import one_line, threads
from tca.experiments.sweep.processes import Processes
from tca.experiments.sweep.progress import say, shown
from tca.experiments.sweep.swept_run import DIED, FAILED, Swept
from tca.experiments.together.compatibility import groups, refusal
from tca.experiments.together.train_together import trained
from tca.experiments.training.train import train
from tca.utils.checks import whole
from tca.utils.text import in_a_line

__all__ = ["compare", "read_comparison", "read_result"]

TUNING, MATCHED_RUNS = "tuning", "matched"  # folders of records beside RUNS


def compare(
    comparison: Comparison,
    folder: Path,
    workers: int = 2,
    progress: bool = True,
    strict: bool = False,
    loggers: str | Sequence[str | Logger] = (),
    together: int = 1,
) -> ComparisonResult:
    """Train and measure the runs of a comparison; read finished records.

    Entries that do not fit a task are left out. A run that diverges, raises an error or kills its process is a row with
    this outcome.

    Args:
        comparison: Comparison to train.
        folder: Folder of ``comparison.json`` and of the records.
        workers: Processes that train at the same time, one thread each, default 2.
        progress: Whether to show a progress bar, default yes; each run prints a line in any case.
        strict: Whether to raise if an entry does not fit a task, default no.
        loggers: Loggers of the runs, see `tca.train`; those at a common loss and of a search are not logged.
        together: Most seeds of an entry that a process trains together, see `tca.train_together`; default 1.

    Raises:
        RecordError: The folder cannot be written.
        ValueError: ``workers`` is less than 1, no entry fits any task, or one does not fit and ``strict`` is given.
    """
    whole("workers", workers, 1)
    senders = loggers_of(loggers)
    whole("together", together, 1)
    left_out = list(misfits(comparison))
    if left_out and (strict or len(left_out) == len(comparison.combinations)):
        raise ValueError("; ".join(dict.fromkeys(map(str, left_out))))
    for each in left_out:
        say(f"left out: {each}")
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        make_folder(folder / RUNS)
        write_json(folder / "comparison.json", comparison.to_json())
        (folder / OUTCOMES_FILE).unlink(missing_ok=True)
    settings = _settings(comparison)
    without = {(each.task, each.entry) for each in left_out}
    with InProcess() if workers == 1 else Processes(workers) as executor, threads(1):
        rates = _tuned(comparison, without, folder / TUNING, executor, progress) if comparison.tune_lr else {}
        planned = comparison.runs(Outcomes(rates=rates).chosen, without)
        _train_together(planned, folder / RUNS, executor, together, senders)
        measured = _measured(planned, folder / RUNS, settings, executor, _line, progress, senders)
        losses = {} if comparison.match_loss is None else common_losses(measured, comparison.match_loss)
        pairs = crossings(measured, losses)
        again = [each for _, each in pairs]
        _train_together(again, folder / MATCHED_RUNS, executor, together)
        there = _measured(again, folder / MATCHED_RUNS, settings, executor, _matched_line, progress)
    failed = {one.run.name: (one.outcome, one.reason) for one in measured if not one.ended}
    outcomes = Outcomes(left_out, rates, losses, failed)
    outcomes.save(comparison, folder)
    return ComparisonResult(comparison, _joined(measured, [one for one, _ in pairs], there), outcomes)


def read_comparison(folder: Path, *, trusted: bool = False) -> Comparison:
    """Read a comparison from its folder, with names of modules as in `tca.Run.from_json`.

    Raises:
        RecordError: The folder has no comparison, or an invalid one.
    """
    path = folder / "comparison.json"
    try:
        return Comparison.from_json(read_json(path), trusted=trusted)
    except RecordError:
        raise
    except Exception as error:  # the file may have any content
        raise RecordError(f"{in_a_line(path)} cannot be read: {in_a_line(error)}") from error


def read_result(folder: Path, *, trusted: bool = False) -> ComparisonResult:
    """Read a finished comparison from its folder, without training; damaged records are failed runs.

    Names of modules are as in `tca.Run.from_json`.

    Raises:
        RecordError: The comparison is unfinished or damaged.
    """
    comparison = read_comparison(folder, trusted=trusted)
    again = f"resume with: tca resume {in_a_line(folder)}"
    if not os.path.lexists(folder / OUTCOMES_FILE):
        raise RecordError(f"the comparison in {in_a_line(folder)} is unfinished; {again}")
    outcomes = Outcomes.read(comparison, folder)
    planned = comparison.runs(outcomes.chosen, {(each.task, each.entry) for each in outcomes.left_out})
    missing = [
        each for each in planned
        if each.run.name not in outcomes.failed and not records.finished(each.run.folder(folder / RUNS))
    ]  # fmt: skip
    if missing:
        count = f"{len(missing)} of the {len(planned)} runs of the comparison"
        raise RecordError(f"{count} in {in_a_line(folder)} are unfinished; {again}")
    settings = _settings(comparison)

    def read(each: Planned, root: Path) -> RunMeasurements:
        if each.run.name in outcomes.failed:
            return RunMeasurements(each.entry, each.run, *outcomes.failed[each.run.name])
        try:
            return read_measured(each, each.run.folder(root), settings)
        except RecordError as error:
            return RunMeasurements(each.entry, each.run, FAILED, in_a_line(error))

    measured = [read(each, folder / RUNS) for each in planned]
    pairs = crossings([one for one in measured if one.ended], outcomes.losses)
    there = [read(each, folder / MATCHED_RUNS) for _, each in pairs]
    return ComparisonResult(comparison, _joined(measured, [one for one, _ in pairs], there), outcomes)


def _settings(comparison: Comparison) -> MeasurementSettings:
    return MeasurementSettings(comparison.input_noise, comparison.curvature_trials, comparison.curvature_probes)


def _joined(
    measured: Sequence[RunMeasurements], reached: Sequence[RunMeasurements], there: Sequence[RunMeasurements]
) -> list[RunMeasurements]:
    """Return runs with measurements of some of them at the common loss."""
    at = {id(one): each for one, each in zip(reached, there, strict=True)}
    return [with_matched(one, at[id(one)]) if id(one) in at else one for one in measured]


def _measured(
    planned: Sequence[Planned],
    root: Path,
    settings: MeasurementSettings,
    executor: Executor,
    line: Callable[[RunMeasurements], str],
    progress: bool,
    loggers: Sequence[Logger] = (),
) -> list[RunMeasurements]:
    """Return the measured runs in the order given; runs that fail have no measurements."""
    unique = {each.run.name: each for each in planned}  # entries may be equal but for their names

    def results() -> Iterator[tuple[str, RunMeasurements]]:
        for name, each in unique.items():
            executor.submit(Job(name, train_and_measure, (each, each.run.folder(root), settings, False, loggers)))
        for _ in unique:
            result = _next(executor)
            its = unique[result.key]
            if result.error is None:
                yield result.key, result.value
            else:
                yield result.key, RunMeasurements(its.entry, its.run, *_failure(result.error))

    found = dict(shown(results(), len(unique), lambda each: line(each[1]), bar=progress))
    return [_renamed(found[each.run.name], each.entry) for each in planned]


def _train_together(
    planned: Sequence[Planned], root: Path, executor: Executor, size: int, loggers: Sequence[Logger] = ()
) -> None:
    """Train runs together as far as it goes; what is left is trained, or its error found, when it is measured."""
    if size == 1:
        return
    runs = {each.run.name: each.run for each in planned if not records.finished(each.run.folder(root))}
    for reason, count in Counter(filter(None, map(refusal, runs.values()))).items():
        say(f"{count} {'run is' if count == 1 else 'runs are'} trained singly: {reason}")
    jobs = [each for each in groups(list(runs.values()), size) if len(each) > 1]
    for place, group in enumerate(jobs):
        executor.submit(
            Job(f"together {place}", _trained_together, (group, [each.folder(root) for each in group], loggers))
        )
    for _ in jobs:
        _next(executor)


def _trained_together(group: Sequence[Run], folders: Sequence[Path], loggers: Sequence[Logger]) -> None:
    trained(group, folders, observe=observer(group[0]), loggers=loggers)


def _renamed(one: RunMeasurements, entry: str) -> RunMeasurements:
    return one if one.entry == entry else RunMeasurements(**{**vars(one), "entry": entry})


def _next(executor: Executor) -> JobResult:
    result = executor.next_result()
    assert result is not None  # without a time limit
    return result


def _failure(error: BaseException) -> tuple[str, str]:
    """Return outcome and reason of a run that raised an error or killed its process."""
    died = isinstance(error, WorkerDiedError)
    plain = died or isinstance(error, RecordError | ValueError | TypeError)
    return (DIED if died else FAILED), (in_a_line(error) if plain else one_line(error))


def _tuned(
    comparison: Comparison, without: set[Key], root: Path, executor: Executor, progress: bool
) -> dict[Key, Sequence[TriedRate]]:
    """Return the learning rates tried, by task and entry; searches run side by side."""
    searches = {
        (task, entry.name): Search(comparison.run(task, entry, 0), comparison.tune_lr)
        for task, entry in comparison.combinations
        if (task, entry.name) not in without
    }
    keys = {str(number): key for number, key in enumerate(searches)}

    def submit(name: str) -> None:
        run = searches[keys[name]].next_run()
        executor.submit(Job(name, _trained, (run, run.folder(root))))

    def results() -> Iterator[tuple[Key, Swept]]:
        for name in keys:
            submit(name)
        for _ in range(len(searches) * comparison.tune_lr):
            result = _next(executor)
            search = searches[keys[result.key]]
            swept = result.value
            if result.error is not None:
                run = search.next_run()
                swept = Swept(run, run.folder(root), *_failure(result.error))
            search.add(swept)
            if not search.done:
                submit(result.key)
            yield keys[result.key], swept

    for _ in shown(results(), len(searches) * comparison.tune_lr, _tried_line, bar=progress):
        pass
    return {key: search.rates for key, search in searches.items()}


def _trained(run: Run, folder: Path) -> Swept:
    return Swept.of(train(run, folder, progress=False), folder)


def _tried_line(tried: tuple[Key, Swept]) -> str:
    (task, entry), swept = tried
    score = f"held-out score {swept.last.test_accuracy:.3f}" if swept.last is not None else swept.reason
    return f"{task}, {entry}, learning rate {swept.run.optimizer.lr:g}: {swept.outcome}, {score}"


def _line(one: RunMeasurements) -> str:
    who = f"{one.run.task}, {one.entry}, seed {one.run.seeds.net}: {one.outcome}"
    if not one.ended:
        return f"{who}: {one.reason}"
    if task_facts(one.run).measure == "return":
        return f"{who} after {one.steps} updates, return {one.value('return'):.1f}"
    return (
        f"{who} after {one.steps} updates, training loss {one.value('train_loss'):.4g}, test "
        f"{task_facts(one.run).measure} {one.value('test_accuracy'):.3f}"
    )


def _matched_line(one: RunMeasurements) -> str:
    if not one.ended:
        return _line(one)
    (loss,) = one.run.snapshot_losses
    return f"{one.run.task}, {one.entry}, seed {one.run.seeds.net}: measured at training loss {loss:g}"
