"""A comparison as a value: entries, tasks, seeds, training and measurements."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import tasks
from tasks.task import Task
from tca.cli.compare.entry import RuleEntry, entries_of
from tca.experiments.config.agent import REWARD_RULES, Agent
from tca.experiments.config.components import Optimizer, Seeds, plain
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.own_parts import import_parts
from tca.experiments.config.recipes import fitted_network
from tca.experiments.config.run import Run
from tca.utils.checks import check, not_negative, settle, whole
from tca.utils.names import lookup

__all__ = ["Comparison", "Planned"]

MOST_RUNS = 100_000


def _default_rules() -> list[str | dict[str, Any]]:
    return ["bptt", "eprop", "rflo", "eprop_random", "three_factor"]


@dataclass(frozen=True)
class Planned:
    """A run of a comparison and its place in it.

    Args:
        entry: Name of the entry.
        run: The run.
    """

    entry: str
    run: Run


@dataclass(frozen=True)
class Comparison:
    """Rules trained on the same trials from the same initial weights, once for every seed.

    For a given seed all entries have the same training and test set of a task in the same order, and entries with the
    same network the same initial weights. If the network has no form, a rule with a form is trained on cells of this
    form, with the same sizes and weights. Rules that learn from rewards are tested on the same trials; their updates
    are episodes, see `tca.Run`. In an environment that gives rewards only all rules learn from rewards, and are tested
    in the same episodes; network, agent and optimizer are by default those of `tca.Run`.

    Args:
        tasks: Names of tasks, see ``tca list``.
        rules: Entries: names of rules, see ``tca list``, or mappings with a rule and its settings, see
            `tca.cli.compare.entry.RuleEntry`.
        reference: Name of the entry that the others are compared with, default the first of each task.
        seeds: Number of seeds for each entry and task, default 3.
        task_options: Options of tasks, by name of the task, default none.
        net: Network of entries without one of their own, by default a leaky network of 128 cells; images at once have a
            perceptron where no other option than ``size`` is given, as in `tca.Run`.
        optimizer: Optimizer of entries without one of their own; default the one recommended for each rule.
        tune_lr: Number of learning rates to try for each entry and task on held-out training trials; 0 (default) to
            take the rates as they are, see `tca.cli.compare.learning_rates`.
        match_loss: Training loss at which runs are measured in addition; ``"auto"`` for the lowest that every run
            reaches, default none, see `tca.cli.compare.common_loss`.
        batch_size: Trials per batch, default 64.
        steps: Maximal number of updates, default 1000.
        stop_loss: Training loss at which to stop, default none.
        fresh: Whether to draw new trials for every batch; default no.
        rewards: Whether all rules learn from rewards, default only those published for rewards (reward_eprop).
        agent: Agent of the rules that learn from rewards, default that of the run.
        n_train: Size of the training set in trials, default 200.
        n_test: Size of the test set in trials, default 500.
        evaluate_every: Updates between two measurements, default 50.
        input_noise: Standard deviation of input noise in the noisy test, default 0.2; none for no noisy test.
        curvature_trials: Maximal number of training trials for curvature, default 100.
        curvature_probes: Random vectors for the trace, default 16.
        device: Device to train on, default cpu.
        dtype: float32 (default) or float64.

    Raises:
        ValueError: A name is unknown or a number is not allowed.
        TypeError: A value is of the wrong type.

    >>> comparison = Comparison(tasks="delayed_xor", rules="bptt,rflo", seeds=2)
    >>> [(each.run.rule, each.run.net.form, each.run.seeds.net) for each in comparison.runs()]
    [('bptt', 'A', 0), ('rflo', 'B', 0), ('bptt', 'A', 1), ('rflo', 'B', 1)]
    """

    tasks: list[str] | str = field(default_factory=lambda: ["delayed_xor"], hash=False)
    rules: list[str | dict[str, Any]] | str = field(default_factory=_default_rules, hash=False)
    reference: str | None = None
    seeds: int = 3
    task_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    net: NetworkConfig = field(default_factory=NetworkConfig)
    optimizer: Optimizer | None = None
    tune_lr: int = 0
    match_loss: float | Literal["auto"] | None = None
    batch_size: int = 64
    steps: int = 1000
    stop_loss: float | None = None
    fresh: bool = False
    rewards: bool = False
    agent: Agent | None = None
    n_train: int = 200
    n_test: int = 500
    evaluate_every: int = 50
    input_noise: float | None = 0.2
    curvature_trials: int = 100
    curvature_probes: int = 16
    device: str = "cpu"
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        """Check the fields by themselves; whether entries fit tasks is checked before the training."""
        entries = entries_of(self.rules)
        settle(self, tasks=_names("tasks", self.tasks), rules=[each.to_json() for each in entries], _entries=entries)
        settle(self, task_options=plain("task_options", self.task_options))
        whole("seeds", self.seeds, 1)
        whole("tune_lr", self.tune_lr, 0)
        whole("curvature_trials", self.curvature_trials, 1)
        whole("curvature_probes", self.curvature_probes, 2)
        if self.input_noise is not None:
            not_negative("input_noise", self.input_noise)
        if self.match_loss != "auto":
            check("match_loss", self.match_loss, float | None)
        if self.reference is not None:
            lookup({each.name: each for each in entries}, self.reference, "entry")
        for name in self.task_options:
            if name not in self.tasks:
                raise ValueError(f"task_options are given for {name!r}, which is not one of the tasks {self.tasks}")
        for task in self.tasks:
            self.task(task)
        acting = [name for name in self.tasks if self.task(name).rewards_only]
        if acting and self.match_loss is not None:
            raise ValueError(f"match_loss must be none with {', '.join(acting)}, which give rewards only")
        for each in entries:
            for name in each.tasks or ():
                lookup(dict.fromkeys(self.tasks), name, f"task of the entry {each.name!r}, of those compared")
        if (count := len(self.tasks) * len(entries) * self.seeds) > MOST_RUNS:
            raise ValueError(f"tasks, rules and seeds must give at most {MOST_RUNS} runs, got {count}")

    @property
    def entries(self) -> tuple[RuleEntry, ...]:
        """The entries of ``rules``."""
        entries: tuple[RuleEntry, ...] = vars(self)["_entries"]
        return entries

    def task(self, name: str) -> Task:
        """Return a task of the comparison with its options."""
        return tasks.make(name, **self.task_options.get(name, {}))

    @property
    def combinations(self) -> list[tuple[str, RuleEntry]]:
        """Tasks with the entries that are trained on them, task by task."""
        entries = {task: [each for each in self.entries if task in (each.tasks or self.tasks)] for task in self.tasks}
        return [(task, each) for task, its in entries.items() for each in its]

    def runs(
        self, lrs: Mapping[tuple[str, str], float] | None = None, without: Collection[tuple[str, str]] = ()
    ) -> list[Planned]:
        """Return every run of the comparison: task by task, seed by seed, entry by entry.

        Args:
            lrs: Tuned learning rates by task and name of the entry, default none.
            without: Tasks and names of entries to leave out, default none.

        Raises:
            ValueError: An entry does not fit a task.
            TypeError: A value is of the wrong type.
        """
        return [
            Planned(entry.name, self.run(task, entry, seed, (lrs or {}).get((task, entry.name))))
            for task in self.tasks
            for seed in range(self.seeds)
            for its, entry in self.combinations
            if its == task and seed < (entry.seeds or self.seeds) and (task, entry.name) not in without
        ]

    def run(self, task: str, entry: RuleEntry, seed: int, lr: float | None = None) -> Run:
        """Return the run of an entry.

        Args:
            task: Name of the task.
            lr: Learning rate, ``None`` (default) for that of the entry.

        Raises:
            ValueError: The entry does not fit the task.
            TypeError: A value is of the wrong type.
        """
        made = self.task(task)
        control = made.rewards_only
        acts = control or self.rewards or entry.rule in REWARD_RULES
        fitting = fitted_network(self.net, made, entry.rule)
        net = entry.net or (None if control and self.net == NetworkConfig() else fitting)
        run = Run(
            task,
            entry.rule,
            task_options={**self.task_options.get(task, {}), **entry.task_options},
            agent=(self.agent or (None if control else Agent())) if acts else None,
            seeds=Seeds(seed, seed, seed, seed),
            loss=entry.loss,
            **{name: getattr(self, name) for name in SHARED if name != "net"}
            | ({} if net is None else {"net": net})
            | {"optimizer": entry.optimizer or self.optimizer},
        )
        chosen = lr or entry.lr
        if chosen is None:
            return run
        return dataclasses.replace(run, optimizer=dataclasses.replace(run.optimizer, lr=chosen))

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as plain values that ``tca compare --config`` accepts."""
        values = dataclasses.asdict(self) | {"net": self.net.to_json()}
        for name in ("optimizer", "agent"):
            if values[name] is None:
                del values[name]
        return plain("comparison", values)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, trusted: bool = False) -> Comparison:
        """Return the comparison of a value of ``to_json``.

        Args:
            values: Value of ``to_json``.
            trusted: Whether modules outside of the library that it names may be imported, default no.

        Raises:
            ValueError: A key is missing or unknown, or a value is not allowed.
        """
        try:
            for part in (values, *({"task": name} for name in values["tasks"])):
                import_parts(part, trusted=trusted)
            optimizer = Optimizer(**values["optimizer"]) if "optimizer" in values else None
            agent = Agent(**values["agent"]) if "agent" in values else None
            parts = {"net": NetworkConfig(**values["net"]), "optimizer": optimizer, "agent": agent}
            return cls(**{**values, **parts, "rules": list(entries_of(values["rules"], trusted=trusted))})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this does not describe a comparison: {error}") from error


# Fields that every run of a comparison shares.
SHARED = tuple(
    sorted(
        {each.name for each in dataclasses.fields(Run)}
        & {each.name for each in dataclasses.fields(Comparison)} - {"seeds", "task_options", "agent"}
    )
)


def _names(what: str, given: list[str] | str) -> list[str]:
    """Return unique names from a list or a comma-separated string."""
    names = given.replace(",", " ").split() if isinstance(given, str) else list(given)
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{what} must hold at least one name, got {given!r}")
    return list(dict.fromkeys(names))
