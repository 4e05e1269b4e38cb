"""A comparison as a value: rules, tasks, seeds, training and measurements."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tca.experiments.config.agent import REWARD_RULES, Agent
from tca.experiments.config.components import Optimizer, Seeds, plain
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.utils.checks import not_negative, settle, whole

__all__ = ["Comparison"]

MOST_RUNS = 100_000


@dataclass(frozen=True)
class Comparison:
    """Rules trained on the same trials from the same initial weights, once for every seed.

    For a given seed all rules have the same training and test set in the same order and the same initial weights. If
    the network has no form, a rule with a form is trained on cells of this form, with the same sizes and weights. Rules
    that learn from rewards are tested on the same trials; their updates are episodes, see `tca.Run`.

    Args:
        tasks: Names of tasks, see ``tca list``.
        rules: Names of rules, see ``tca list``.
        seeds: Number of seeds for each rule and task, default 3.
        task_options: Options of tasks, by name of the task, default none.
        net: Network.
        optimizer: Optimizer of every rule; default the one recommended for each rule.
        batch_size: Trials per batch, default 64.
        steps: Maximal number of updates, default 1000.
        stop_loss: Training loss at which to stop, to compare curvature at equal loss; default none.
        fresh: Whether to draw new trials for every batch; default no.
        rewards: Whether all rules learn from rewards, default only those published for rewards (reward_eprop).
        agent: Agent of the rules that learn from rewards.
        n_train: Size of the training set in trials, default 200.
        n_test: Size of the test set in trials, default 500.
        evaluate_every: Updates between two measurements, default 50.
        input_noise: Standard deviation of input noise in the noisy test, default none.
        curvature_trials: Maximal number of training trials for curvature, default 100.
        curvature_probes: Random vectors for the trace, default 16.
        device: Device to train on, default cpu.
        dtype: float32 (default) or float64.

    Raises:
        ValueError: A name is unknown or a number is not allowed.
        TypeError: A value is of the wrong type.

    >>> comparison = Comparison(tasks="delayed_xor", rules="bptt,rflo", seeds=2)
    >>> [(run.rule, run.net.form, run.seeds.net) for run in comparison.runs()]
    [('bptt', 'A', 0), ('rflo', 'B', 0), ('bptt', 'A', 1), ('rflo', 'B', 1)]
    """

    tasks: list[str] | str = field(default_factory=lambda: ["delayed_xor"], hash=False)
    rules: list[str] | str = field(
        default_factory=lambda: ["bptt", "eprop", "rflo", "eprop_random", "three_factor"], hash=False
    )
    seeds: int = 3
    task_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    net: NetworkConfig = field(default_factory=NetworkConfig)
    optimizer: Optimizer | None = None
    batch_size: int = 64
    steps: int = 1000
    stop_loss: float | None = None
    fresh: bool = False
    rewards: bool = False
    agent: Agent = field(default_factory=Agent)
    n_train: int = 200
    n_test: int = 500
    evaluate_every: int = 50
    input_noise: float | None = None
    curvature_trials: int = 100
    curvature_probes: int = 16
    device: str = "cpu"
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        """Check the fields, by making a run for each task and rule."""
        settle(self, tasks=_names("tasks", self.tasks), rules=_names("rules", self.rules))
        settle(self, task_options=plain("task_options", self.task_options))
        whole("seeds", self.seeds, 1)
        whole("curvature_trials", self.curvature_trials, 1)
        whole("curvature_probes", self.curvature_probes, 2)
        if self.input_noise is not None:
            not_negative("input_noise", self.input_noise)
        for name in self.task_options:
            if name not in self.tasks:
                raise ValueError(f"task_options are given for {name!r}, which is not one of the tasks {self.tasks}")
        if (count := len(self.tasks) * len(self.rules) * self.seeds) > MOST_RUNS:
            raise ValueError(f"tasks, rules and seeds must give at most {MOST_RUNS} runs, got {count}")
        for task in self.tasks:
            for rule in self.rules:
                self._run(task, rule, 0)

    def runs(self) -> list[Run]:
        """Return every run of the comparison: task by task, seed by seed, rule by rule."""
        return [self._run(task, rule, seed) for task in self.tasks for seed in range(self.seeds) for rule in self.rules]

    def _run(self, task: str, rule: str, seed: int) -> Run:
        shared = {name: getattr(self, name) for name in SHARED}
        return Run(
            task,
            rule,
            task_options=self.task_options.get(task, {}),
            agent=self.agent if self.rewards or rule in REWARD_RULES else None,
            seeds=Seeds(seed, seed, seed, seed),
            **shared,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as plain values that ``tca compare --config`` accepts."""
        values = dataclasses.asdict(self) | {"net": self.net.to_json()}
        if self.optimizer is None:
            del values["optimizer"]
        return plain("comparison", values)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Comparison:
        """Return the comparison of a value of ``to_json``.

        Args:
            values: Value of ``to_json``.

        Raises:
            ValueError: A key is missing or unknown, or a value is not allowed.
        """
        try:
            optimizer = Optimizer(**values["optimizer"]) if "optimizer" in values else None
            agent = Agent(**values.get("agent", {}))
            return cls(**{**values, "net": NetworkConfig(**values["net"]), "optimizer": optimizer, "agent": agent})
        except (KeyError, TypeError) as error:
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
