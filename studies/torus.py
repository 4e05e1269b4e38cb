"""Networks whose cells lie on a torus, and their training with few feedback weights: one value, one record.

Shapes: T time, B batch, N cells, O outputs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import analysis
import tasks
from tasks.trials import FixedTrials
from tca.experiments.config.components import Optimizer
from tca.experiments.records.files import write_whole
from tca.experiments.training.train import evaluate
from tca.learner import Learner
from tca.nets import LeakyRNN
from tca.nets.masks import torus_chance
from tca.rule import Rule
from tca.utils.checks import positive, whole

__all__ = ["Measured", "Setting", "Torus", "Trial", "covered", "train"]

COVERED = 0.05  # of the best-informed cell's signal: above it, a cell counts as covered
WIRING, FEEDBACK = 1_000_003, 2_000_003  # added to a seed, so that weights, wiring and feedback are drawn apart


@dataclass(frozen=True)
class Torus:
    """A leaky tanh network on a periodic square, wired locally, of which few readout synapses exist.

    Cell j lies on site j. A synapse between two cells at distance d exists with probability
    ``1 / (1 + exp(d^2 / (4 sigma)))``, the side of the square being 1. Half of the cells, drawn at random, are slow.

    Args:
        side: Cells along a side, default 8.
        fast: Time constant of one half in ms, default 100.
        slow: Time constant of the other half in ms, default 1500.
        sigma: Width of the wiring, default 0.012: a tenth of all synapses exist.
        readout: Fraction of the readout's synapses that exist, default 0.03; rounded down, at least one.

    Paper: Barretto-Bittar et al. (2026), arXiv:2603.08949 (wiring and readout), for rate cells.

    >>> net = Torus().build(3, 3, dt=100.0, seed=0)
    >>> int(net.mask_out.sum()), int(net.mask_rec.diagonal().sum()), net.leak.unique().numel()
    (5, 0, 2)
    """

    side: int = 8
    fast: float = 100.0
    slow: float = 1500.0
    sigma: float = 0.012
    readout: float = 0.03

    def __post_init__(self) -> None:
        """Check every number."""
        whole("side", self.side, 2)
        for name in ("fast", "slow", "sigma", "readout"):
            positive(name, getattr(self, name))

    def build(self, n_in: int, n_out: int, *, dt: float, seed: int) -> LeakyRNN:
        """Return the network.

        Args:
            n_in: Number of input channels.
            n_out: Number of outputs.
            dt: Duration of a step in ms.
            seed: Seed of wiring, time constants and weights.
        """
        cells = self.side**2
        generator = torch.Generator().manual_seed(seed + WIRING)
        synapses = torch.rand(cells, cells, generator=generator, dtype=torch.float64, device="cpu") < self.probability()
        mask_out = torch.zeros(n_out * cells, dtype=torch.float64, device="cpu")
        order = torch.randperm(n_out * cells, generator=generator, device="cpu")
        mask_out[order[: max(1, int(self.readout * n_out * cells))]] = 1
        slow = torch.randperm(cells, generator=generator, device="cpu") < cells // 2
        return LeakyRNN(
            n_in,
            cells,
            n_out,
            tau=torch.where(slow, torch.tensor(self.slow, dtype=torch.float64, device="cpu"), self.fast),
            dt=dt,
            autapses=False,
            mask_rec=synapses.double(),
            mask_out=mask_out.view(n_out, cells),
            seed=seed,
        )

    def probability(self) -> Tensor:
        """Return the probability of every synapse, shape ``(N, N)``."""
        return torus_chance(self.side, self.sigma)


@dataclass(frozen=True)
class Setting:
    """Everything that rules have in common when they are compared.

    Args:
        net: The network.
        task: Name of the task, default delayed match to sample of neurogym.
        task_options: Its options, default steps of 100 ms.
        optimizer: The optimizer, default Adam with a rate of 5e-3 and gradients that are not clipped.
        batch_size: Trials a batch, default 32.
        steps: Batches trained on, default 1000.
        n_train: Trials to draw batches from, default 3000.
        n_test: Trials of the test set, default 400.
        evaluate_every: Steps between two measurements, default 100.
    """

    net: Torus = field(default_factory=Torus)
    task: str = "DelayMatchSample-v0"
    task_options: Mapping[str, Any] = field(default_factory=lambda: {"dt": 100}, hash=False)
    optimizer: Optimizer = field(default_factory=lambda: Optimizer(lr=5e-3, clip=None))
    batch_size: int = 32
    steps: int = 1000
    n_train: int = 3000
    n_test: int = 400
    evaluate_every: int = 100

    def __post_init__(self) -> None:
        """Check the sizes."""
        for name in ("batch_size", "steps", "n_train", "n_test", "evaluate_every"):
            whole(name, getattr(self, name), 1)


@dataclass(frozen=True)
class Trial:
    """A rule, trained in a setting, from weights and on trials that its seed decides.

    Args:
        setting: The setting.
        label: What the rule is called.
        rule: The rule.
        seed: Seed of everything that is drawn.
    """

    setting: Setting
    label: str
    rule: Rule
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return the trial as numbers, strings, lists and dictionaries; what the rule is called does not count."""
        return {"setting": dataclasses.asdict(self.setting), "rule": repr(self.rule), "seed": self.seed}

    def path(self, folder: Path) -> Path:
        """Return the file of its record, whose name depends on every value.

        Args:
            folder: Where records are kept.
        """
        canonical = json.dumps(self.to_json(), sort_keys=True)
        return folder / f"{hashlib.sha256(canonical.encode()).hexdigest()[:16]}.json"


@dataclass(frozen=True)
class Measured:
    """What was measured after some steps.

    Attributes:
        step: Updates made.
        loss: Cross-entropy at the decision steps of the test set.
        accuracy: Accuracy there.
        cosine: Cosine of the rule's gradient of the recurrent weights with that of BPTT.
        covered: Fraction of the cells with a signal, see `covered`.
    """

    step: int
    loss: float
    accuracy: float
    cosine: float
    covered: float


def train(trial: Trial, folder: Path) -> tuple[Measured, ...]:
    """Train and return what was measured; a record that is there is read instead. A training takes seconds.

    Args:
        trial: What to train.
        folder: Where records are kept.
    """
    path = trial.path(folder)
    if path.exists():
        return tuple(Measured(**each) for each in json.loads(path.read_text())["measured"])
    measured = _train(trial)
    folder.mkdir(parents=True, exist_ok=True)
    values = {**trial.to_json(), "measured": [dataclasses.asdict(each) for each in measured]}
    write_whole(path, json.dumps(values, indent=1).encode())
    return measured


def _train(trial: Trial) -> tuple[Measured, ...]:
    setting, seed = trial.setting, trial.seed
    task = tasks.make(setting.task, **setting.task_options)
    train_set, test_set = task.split(setting.n_train, setting.n_test, seed=seed)
    decisive = _decisions_only(test_set)
    net = setting.net.build(task.n_in, task.n_out, dt=task.dt, seed=seed)
    learner = Learner(net, trial.rule, seed=seed + FEEDBACK)
    optimizer = setting.optimizer.build(net)
    few = test_set.subset(min(setting.batch_size, len(test_set))).batch()
    measured = []
    for step, batch in zip(range(setting.steps + 1), train_set.batches(setting.batch_size, seed), strict=False):
        if step % setting.evaluate_every == 0 or step == setting.steps:
            loss, accuracy = evaluate(net, task, decisive)
            cosine = analysis.alignment(net, few, [learner]).rules[0].parameters["w_rec"].cosine
            measured.append(Measured(step, loss, accuracy, cosine, covered(learner.signal(few))))
        optimizer.zero_grad()
        learner.backward(batch)
        if setting.optimizer.clip is not None:
            nn.utils.clip_grad_norm_(net.parameters(), setting.optimizer.clip)
        optimizer.step()
        net.project_()
        learner.follow_weights_()
    return tuple(measured)


def _decisions_only(trials: FixedTrials) -> tasks.TrialSet:
    """Return the same trials, with a loss that counts at the decisions only."""
    batch = trials.batch()
    steps = batch.decision_steps.to(batch.weights)
    return tasks.TrialSet(dataclasses.replace(batch, weights=steps / steps.sum(0).clamp(min=1)))


def covered(signal: Tensor) -> float:
    """Return the fraction of the cells whose signal has at least 5 % of the size of the largest one.

    Args:
        signal: State signal, shape ``(T + 1, B, N)``; its size is the root of its mean square over steps and trials.

    >>> covered(torch.tensor([[[1.0, 0.5, 0.01, 0.0]]]))
    0.5
    """
    size = signal.double().square().mean((0, 1)).sqrt()
    return float((size > COVERED * size.max()).double().mean()) if size.max() > 0 else math.nan
