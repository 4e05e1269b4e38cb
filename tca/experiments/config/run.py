"""A training run as a value, whose hash identifies its record; equal runs give the same bits on the same CPU."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch

import tasks
from tasks.own.other_loss import with_loss
from tasks.own.registry import path_of, registered_as
from tca.experiments.config.agent import REWARD_RULES, Agent
from tca.experiments.config.callbacks import Callback
from tca.experiments.config.components import Optimizer, Seeds, plain
from tca.experiments.config.control_settings import agent_for, network_for, optimizer_for, rule_for
from tca.experiments.config.loss_config import loss_of, loss_values
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.own_parts import import_parts
from tca.experiments.config.recipes import fitted_network, recommended
from tca.experiments.config.rule_config import rule_of, rule_values
from tca.experiments.config.run_name import label_of, name_of
from tca.rule import Rule
from tca.rules import RULES
from tca.utils.checks import DEVICE, Count, Folder, Made, Named, Whole, checked, settle
from tca.utils.names import lookup

__all__ = ["Callback", "NetworkConfig", "Optimizer", "Run", "Seeds"]

DTYPES = {"float32": torch.float32, "float64": torch.float64}
# Fields, by part, that are written only if used, so that other runs keep their names.
ADDED = {
    "": ("held_out", "snapshot_losses", "callbacks", "agent", "loss"),
    "optimizer": ("schedule", "matched", "sam", "reset_momentum_on_projection", "lr_multipliers"),
}


@checked
@dataclass(frozen=True)
class Run:
    """A training run: task, network, learning rule, optimizer and seeds.

    Args:
        task: Name of the task, see ``tasks.list()``; the import path of one, ``"my_module:MyTask"``; or an object that
            `tasks.make` takes, such as a set of trials, of which no record can be written.
        rule: Name of a rule in ``tca.RULES``, or a `tca.Rule`; default bptt.
        task_options: Options of the task, default none.
        net: The network; in the form of the rule if its own is not given. Default a leaky network of 128 cells; for a
            task of one step, such as images at once, and a rule without a form a perceptron with 128 hidden cells.
        optimizer: The optimizer; ``None`` (default) for the one recommended for the rule in this network, see
            `tca.experiments.config.recipes.recommended`.
        batch_size: Trials per batch, default 64.
        steps: Maximal number of updates, default 1000.
        stop_loss: Training loss, measured every ``evaluate_every`` steps, at which to stop; default none.
        fresh: Whether every batch has new trials and the training set serves measurements only; default no.
        n_train: Size of the training set in trials, default 500.
        n_test: Size of the test set in trials, default 500.
        held_out: Number of the last training trials to hold out: they are tested on instead of the test set, for
            choices that must not depend on test trials; default 0.
        evaluate_every: Steps between two measurements, each followed by a checkpoint, default 50.
        snapshot_losses: Training losses at which network and learner are saved, within 1 %, to compare runs at equal
            loss (`tca.experiments.training.snapshots.cross`); default none.
        callbacks: Further measurements during training, default none.
        agent: How the network learns from rewards; ``None`` (default) to learn from targets, with a rule published for
            rewards (reward_eprop) the defaults of `tca.Agent`. ``batch_size`` then counts environments side by side and
            ``steps`` episodes, one update each; the network has an output for every action and one for the value.
            Loss and accuracy are those of the policy on the trials of the task. Where a task gives rewards only, an
            agent, network and optimizer that are not given are those of `tca.experiments.config.control_settings`, the
            score is the return, and the loss minus that: of training while acting, of the test of the most probable
            actions in ``agent.test_episodes`` episodes.
        seeds: The seeds.
        device: Device to train on, default cpu.
        dtype: float32 (default) or float64.
        loss: The loss, instead of that of the task (default): a `tca.losses.Loss`, a name in ``tca.losses.LOSSES``, an
            import path or a class with its options, see `tca.experiments.config.loss_config.loss_of`. Classes become
            ones and zeros for a loss of real targets; the score stays that of the task. A loss of the user's own is
            checked on the first trials, see `tca.check_loss`. Not for runs that learn from rewards.

    Raises:
        ValueError: A name is unknown, a number is not allowed, the rule is of another form than the network, or the
            task gives no rewards to an agent.
        TypeError: A value is of the wrong type.

    >>> run = Run("delayed_xor", rule="eprop", steps=10)
    >>> run == Run.from_json(run.to_json()), len(run.name)
    (True, 16)
    """

    task: Any
    rule: Annotated[str, Named(RULES)] | Rule = "bptt"
    task_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    net: Annotated[NetworkConfig, Made(NetworkConfig, spread=True)] = None  # type: ignore[assignment]
    optimizer: Any = None  # an Optimizer, or None for the recommended one: never None once the run is made
    batch_size: Count = 64
    steps: Count = 1000
    stop_loss: float | None = None
    fresh: bool = False
    n_train: Count = 500
    n_test: Count = 500
    held_out: Whole = 0
    evaluate_every: Count = 50
    snapshot_losses: tuple[float, ...] = ()
    callbacks: tuple[Callback, ...] = ()
    agent: Annotated[Agent, Made(Agent, spread=True)] | None = None
    seeds: Seeds = field(default_factory=Seeds)
    device: Annotated[str, DEVICE] = "cpu"
    dtype: Literal["float32", "float64"] = "float32"
    loss: Any = None

    def __post_init__(self) -> None:
        """Check every value; no trial is drawn."""
        object.__setattr__(self, "task_options", plain("task_options", self.task_options))
        settle(self, snapshot_losses=tuple(dict.fromkeys(self.snapshot_losses)))
        if self.held_out >= self.n_train:
            raise ValueError(f"held_out must be less than n_train = {self.n_train}, got {self.held_out}")
        if isinstance(self.rule, Rule) and RULES.get(self.rule.name) == self.rule:
            settle(self, rule=self.rule.name)
        task = tasks.make(self.task, **self.task_options)
        if task.rewards_only:
            self._settle_control(task)
        elif self.agent is None and self.rule in REWARD_RULES:
            settle(self, agent=Agent())
        if self.loss is not None:
            self._settle_loss(task)
        self._check_rewards(task)
        if self.net is None:
            settle(self, net=fitted_network(NetworkConfig(), task, self.rule))
        settle(self, net=self.net.in_form(self.the_rule.form or "A", anew=False))
        for form in self.net.forms:
            self.the_rule.check_form(form, "the network")
        if self.optimizer is None:
            settle(self, optimizer=self.recommended)
        if not isinstance(self.optimizer, Optimizer):
            raise TypeError(f"optimizer must be an Optimizer, or None for the recommended one, got {self.optimizer!r}")

    def _settle_loss(self, task: tasks.Task) -> None:
        """Leave out a loss that the task has anyway."""
        if self.agent is not None:
            raise ValueError(f"loss must be None where a network learns from rewards, got {self.loss!r}")
        settle(self, loss=loss_of(self.loss))
        if task.loss == self.loss:
            settle(self, loss=None)

    def _settle_control(self, task: tasks.Task) -> None:
        """Choose agent, rule and network of a task that gives rewards only, where they are not given."""
        settle(self, agent=agent_for(self.rule, task=task) if self.agent is None else self.agent)
        settle(self, rule=rule_for(self.rule, task))
        settle(self, net=network_for(self.rule, task) if self.net is None else self.net)
        if self.snapshot_losses:
            raise ValueError(
                f"snapshot_losses must be empty in {self.task}, which gives rewards only, got {self.snapshot_losses}"
            )

    def _check_rewards(self, task: tasks.Task) -> None:
        """Raise if the run has an agent and cannot learn from rewards."""
        if self.agent is None:
            return
        if not task.gives_rewards:
            rule = f"rule {self.rule!r}" if self.rule in REWARD_RULES else "an agent"
            raise ValueError(
                f"task {self.task!r} gives no rewards for actions, which {rule} learns from: take an environment of "
                "neurogym with discrete actions, such as 'PerceptualDecisionMaking-v0', or another rule, such as "
                "'eprop', without an agent"
            )
        if self.callbacks:
            raise ValueError(
                "callbacks must be empty where a network learns from rewards: there are no training trials"
            )
        if self.fresh:
            raise ValueError("fresh must be False where a network learns from rewards: its trials are always new")

    @property
    def torch_dtype(self) -> torch.dtype:
        """The floating-point type, as torch calls it."""
        return DTYPES[self.dtype]

    @property
    def the_rule(self) -> Rule:
        """The rule, also if its name is given."""
        return self.rule if isinstance(self.rule, Rule) else RULES[self.rule]

    @property
    def rule_title(self) -> str:
        """The name of the rule, or its parts."""
        return self.rule.title if isinstance(self.rule, Rule) else self.rule

    @property
    def recommended(self) -> Optimizer:
        """The optimizer recommended for the rule in this network and with this loss."""
        task = self.make_task()
        if task.rewards_only:
            assert self.agent is not None
            return optimizer_for(self.the_rule, self.net, self.agent)
        return recommended(self.the_rule, self.net, task.loss)

    @functools.cached_property
    def name(self) -> str:
        """Hash of all values of the run, 16 hexadecimal digits."""
        return name_of(self.to_json())

    @checked
    def with_rule(self, rule: str | Rule) -> Run:
        """Return the same run with another rule, its network in the form of that rule.

        The optimizer stays, unless it is the one recommended for the present rule; an agent stays.

        Args:
            rule: Name of the rule, or the rule.

        Raises:
            ValueError: The name is unknown.

        >>> Run("delayed_xor").with_rule("rflo").net.form
        'B'
        """
        form = (rule if isinstance(rule, Rule) else lookup(RULES, rule, "rule")).form
        changes: dict[str, Any] = {"rule": rule, "net": self.net.in_form(form)}
        if self.optimizer == self.recommended:
            changes["optimizer"] = None
        task = self.make_task()
        if task.rewards_only and self.net == network_for(self.rule, task):
            changes["net"] = network_for(rule, task)
        return dataclasses.replace(self, **changes)

    @checked
    def folder(self, root: Folder) -> Path:
        """Return the folder of the record, named after task, rule, seed and ``name``; an older one by ``name`` alone.

        Args:
            root: Folder of all records.

        >>> Run("delayed_xor", "eprop").folder("runs").name.rpartition("_")[0]
        'delayed_xor_eprop_s0'
        """
        there, older = Path(root) / f"{self._label(self.to_json()['task'])}_{self.name}", Path(root) / self.name
        return older if os.path.lexists(older) and not os.path.lexists(there) else there

    @property
    def label(self) -> str:
        """Task, rule and seed of the network, such as ``"delayed_match_eprop_s0"``, the same for all other values."""
        return self._label(str(self.task))

    def _label(self, task: str) -> str:
        rule = self.the_rule
        parts = f"{type(rule.signal).__name__}-{type(rule.eligibility).__name__}"
        return label_of(task, self.rule if isinstance(self.rule, str) else rule.name or parts, self.seeds.net)

    def make_task(self) -> tasks.Task:
        """Return the task.

        Raises:
            ValueError: An option of the task is not allowed.
        """
        task = tasks.make(self.task, **self.task_options)
        return task if self.loss is None else with_loss(task, self.loss)

    def to_json(self) -> dict[str, Any]:
        """Return the run as numbers, strings, lists and dictionaries."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        values |= {name: dataclasses.asdict(values[name]) for name in ("optimizer", "seeds")}
        values["net"], values["callbacks"] = self.net.to_json(), [dataclasses.asdict(each) for each in self.callbacks]
        values["agent"] = None if self.agent is None else self.agent.to_json()
        values["loss"] = None if self.loss is None else loss_values(self.loss)
        for part, names in ADDED.items():
            holder = values[part] if part else values
            for name in [name for name in names if not holder[name]]:
                del holder[name]
        values["task"], values["rule"] = path_of(self.task), rule_values(self.rule)
        return plain("run", values)

    @classmethod
    @checked
    def from_json(cls, values: Mapping[str, Any], *, trusted: bool = False) -> Run:
        """Return the run of a value of ``to_json``.

        Args:
            values: Value of ``to_json``.
            trusted: Whether modules outside of the library that it names may be imported; by default only classes of
                modules that are imported already are used.

        Raises:
            ValueError: A key is missing or unknown, a value is not allowed, or a class may not be imported.
        """
        given = dict(values)
        try:
            given["task"] = registered_as(given["task"])
            import_parts(given, trusted=trusted)
            given["net"] = NetworkConfig(**given["net"])
            for name, part in (("optimizer", Optimizer), ("seeds", Seeds)):
                given[name] = part(**given[name])
            given["callbacks"] = tuple(Callback(**each) for each in given.get("callbacks", ()))
            given["rule"] = rule_of(given["rule"], trusted=trusted)
            return cls(**given)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this does not describe a run: {error}") from error
