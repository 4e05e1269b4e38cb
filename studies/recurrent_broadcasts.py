"""Broadcast rules in the recurrent networks that they were made for, beside BPTT, e-prop and random broadcast.

Handwritten digits are shown by rows and classified after a time without input. Every rule has the rate of Adam that was
best for it on held-out images of the training split; in one network all rules begin with the same weights.

    python -m studies.recurrent_broadcasts --out runs/recurrent_broadcasts
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from analysis.statistics.intervals import paired_difference
from studies.broadcast.grid import renewing
from studies.tables import COMPARED, Table, differences, mean_and_spread
from studies.workloads import Learned, command, learn, options_of
from tca.experiments.config.components import Optimizer, Seeds
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.rules import RULES

__all__ = ["NETWORKS", "Setting", "main"]

SEEDS, FULL_SEEDS = 5, 20
HELD_OUT, TRIED = 302, 2  # images of the 1198, and seeds, on which rates are chosen
RATES = (1e-3, 3e-3, 1e-2)
EXACT, RANDOM = "bptt", "eprop_random"
COMMON = (EXACT, "eprop", RANDOM, "global_broadcast")
LEAK = 0.7  # per step, the same in all networks
Networks = Mapping[str, tuple[NetworkConfig, tuple[str, ...]]]
NETWORKS: Networks = {
    "64 leaky cells": (NetworkConfig(size=64, tau=56.0), (*COMMON, "sbd", "sbd_filtered", "sbd_lagged")),
    "32 vectors": (
        NetworkConfig("vector_rnn", {"n_rec": 32, "integration_rate": 1 - LEAK}),
        (*COMMON, "gevb_local", "gevb_network"),
    ),
    "two streams of 60 cells": (
        NetworkConfig("dual_stream_rnn", {"n_rec": 60, "tau": 56.0}),
        (*COMMON, "error_diffusion", "error_diffusion_online"),
    ),
}


@dataclass(frozen=True)
class Setting:
    """What all runs have in common.

    Args:
        n_train: Training images.
        n_test: Test images.
        batch_size: Images a batch.
        epochs: How often all training images are shown.
        blank: Time without input before the answer in ms, four steps.
    """

    n_train: int = 1198
    n_test: int = 599
    batch_size: int = 32
    epochs: int = 12
    blank: float = 80.0

    def run(self, net: NetworkConfig, rule: str, rate: float, seed: int) -> Run:
        """Return a run.

        Args:
            net: The network.
            rule: Name of the rule.
            rate: Learning rate of Adam.
            seed: The seed.
        """
        batches = -(-self.n_train // self.batch_size)
        return Run(
            "sequential_images",
            renewing(RULES[rule], self.epochs * batches),
            task_options={"name": "digits", "blank": self.blank},
            net=net,
            optimizer=Optimizer(lr=rate),
            batch_size=self.batch_size,
            steps=self.epochs * batches,
            n_train=self.n_train,
            n_test=self.n_test,
            evaluate_every=2 * batches,
            seeds=Seeds(seed, seed, seed, seed),
        )

    def held_out(self, run: Run) -> Run:
        """Return a run that is tested on images held out from the training split.

        Args:
            run: The run.
        """
        kept = min(HELD_OUT, self.n_train // 4)
        options: dict[str, Any] = {**run.task_options, "validation": kept, "test_on": "validation"}
        return replace(run, task_options=options, n_train=self.n_train - kept, n_test=kept, evaluate_every=run.steps)


def chosen(setting: Setting, networks: Networks, folder: Path, workers: int) -> dict[tuple[str, str], float]:
    """Return the rate of every rule in every network, by their names: the best on held-out images.

    Args:
        setting: What runs have in common.
        networks: The networks and their rules.
        folder: Where records are kept.
        workers: Processes that train at the same time.
    """
    asked = [
        ((where, rule), rate, setting.held_out(setting.run(net, rule, rate, seed)))
        for where, (net, rules) in networks.items()
        for rule in rules
        for rate in RATES
        for seed in range(TRIED)
    ]
    reached: dict[tuple[str, str], dict[float, list[float]]] = {}
    for (key, rate, _), one in zip(asked, learn([run for *_, run in asked], folder, workers), strict=True):
        reached.setdefault(key, {}).setdefault(rate, []).append(_accuracy(one))
    return {key: max(rates, key=lambda rate: fmean(rates[rate])) for key, rates in reached.items()}


def study(
    setting: Setting, networks: Networks, seeds: int, folder: Path, workers: int
) -> dict[tuple[str, ...], dict[int, float]]:
    """Train everything and return the accuracy at the end by seed, of every network, rule and its rate.

    Args:
        setting: What runs have in common.
        networks: The networks and their rules.
        seeds: How many seeds.
        folder: Where records are kept.
        workers: Processes that train at the same time.
    """
    rates = chosen(setting, networks, folder / "held_out", workers)
    runs = [
        setting.run(networks[where][0], rule, rate, seed)
        for (where, rule), rate in rates.items()
        for seed in range(seeds)
    ]
    found = iter(learn(runs, folder / "runs", workers))
    return {
        (*key, f"{rate:g}"): dict(enumerate(_accuracy(next(found)) for _ in range(seeds)))
        for key, rate in rates.items()
    }


def table(reached: Mapping[tuple[str, ...], Mapping[int, float]]) -> Table:
    """Return accuracy at the end, and how far above random broadcast, paired by seed.

    Args:
        reached: The accuracies by seed, of every network, rule and its rate.
    """
    base = {network: runs for (network, rule, _), runs in reached.items() if rule == RANDOM}
    upper = differences([
        None if rule == RANDOM else paired_difference(runs, base[network])
        for (network, rule, _), runs in reached.items()
    ])  # fmt: skip
    rows = [
        (*key, str(len(runs)), mean_and_spread(list(runs.values())), text)
        for (key, runs), text in zip(reached.items(), upper, strict=True)
    ]
    return Table(("network", "rule", "rate", "seeds", "test accuracy", f"above {RANDOM}, {COMPARED}"), tuple(rows))


def _accuracy(one: Learned) -> float:
    return one.metrics[-1].test_accuracy


def main(words: Sequence[str] | None = None, setting: Setting | None = None, networks: Networks = NETWORKS) -> int:
    """Run the study; finished runs are read from their records.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        setting: What runs have in common, ``None`` (default) for those of the study.
        networks: The networks and their rules, default those of the study.
    """
    question = "What do broadcast rules reach in recurrent networks?"
    parser = command("recurrent_broadcasts", question, f"{SEEDS} seeds", f"{FULL_SEEDS} seeds, five times as long")
    options = options_of(parser, words)
    setting = setting or Setting()
    if options.full:
        setting = replace(setting, epochs=5 * setting.epochs)
    reached = study(setting, networks, FULL_SEEDS if options.full else SEEDS, options.out, options.workers)
    made = table(reached)
    made.write(options.out / "recurrent_broadcasts")
    runs = [(*key, str(seed), repr(value)) for key, each in reached.items() for seed, value in each.items()]
    Table(("network", "rule", "rate", "seed", "test_accuracy"), tuple(runs)).write_csv(
        options.out / "recurrent_broadcasts_runs"
    )
    print(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
