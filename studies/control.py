"""Which returns do rules reach as the gradient of proximal policy optimisation?

Backpropagation, direct feedback alignment, e-prop in a recurrent network, and error diffusion in two streams, without
and with centring of its errors over the minibatch, in environments of gymnasium; backpropagation in the two streams
parts the rule from its network. A rule gets, in every environment, the one of three rates of Adam that was best on
seeds that are not reported; every rule has the same rates, relative to that of its network, and the same number of
steps.

    python -m studies.control --out runs/control
    python -m studies.control --out runs/control --cases CartPole-v1 Pendulum-v1 --seeds 5

Records are kept: a study that was stopped goes on where it was. ``--full`` runs HalfCheetah-v4 as well, with three
seeds.

Paper: Yamada et al. (2026), arXiv:2606.31700, whose settings are not known; those below are the library's own.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.figures.plots import Series, curves, legend, panels, save, summary
from analysis.statistics.intervals import paired_difference
from studies.claims import Claim, claims
from studies.tables import COMPARED, Table, differences, mean_and_spread
from studies.workloads import Learned, command, learn, options_of
from tca.eligibilities import Instant
from tca.experiments.config.agent import Agent
from tca.experiments.config.components import Optimizer, Seeds
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.rule import Rule
from tca.signals.error_diffusion import BatchCentre, ErrorDiffusion, NoCentre, PolicyRouting
from tca.utils.checks import whole

__all__ = ["CASES", "Case", "claims_table", "main", "returns_table"]

SEEDS = 10
TUNED = (1000, 1001)  # seeds on which rates are chosen
FACTORS = (1 / 3, 1.0, 3.0)  # of the rate of a network
BASELINE, CONTROL = "backprop", "backprop, two streams"
CLAIMED = (
    (BASELINE, "DFA"),
    (BASELINE, "e-prop"),
    (BASELINE, "ED"),
    (CONTROL, "ED"),
    ("DFA", "ED"),
    ("ED", "ED, centred"),
)
Runs = Mapping[tuple[str, ...], Mapping[int, float]]
SIDE, BLOCK = 8, 64  # environments side by side, and steps of a block in each
AGENT = Agent(
    steps=BLOCK,
    trace_decay=0.95,
    entropy=0.0,
    clip=0.2,
    epochs=8,
    minibatches=4,
    standardize_advantages=True,
    normalize_observations=True,
    normalize_rewards=True,
    test_episodes=10,
)


@dataclass(frozen=True)
class Case:
    """An environment.

    Args:
        name: Its id.
        components: Actions, or components of an action.
        steps: Steps of all environments together, a multiple of the measurements times those of a block.
        discount: Discount per step.
        measurements: Number of measurements after the first.
        seeds: Largest number of seeds, default that of the study.
        tuned: Seeds on which rates are chosen, default two.
    """

    name: str
    components: int
    steps: int
    discount: float = 0.99
    measurements: int = 8
    seeds: int = SEEDS
    tuned: tuple[int, ...] = TUNED

    @property
    def arms(self) -> dict[str, tuple[str | Rule, NetworkConfig, float]]:
        """Rule, network and rate by label."""
        return {
            "backprop": ("backprop", PERCEPTRON, 3e-3),
            "DFA": ("dfa", PERCEPTRON, 3e-3),
            "e-prop": ("eprop", RECURRENT, 3e-3),
            CONTROL: ("backprop", STREAMS, 1e-2),
            "ED": (diffusion(self.components), STREAMS, 1e-2),
            "ED, centred": (diffusion(self.components, centred=True), STREAMS, 1e-2),
        }

    def run(self, label: str, factor: float, seed: int) -> Run:
        """Return a run.

        Args:
            label: Label of the rule.
            factor: Factor of the rate.
            seed: The seed.
        """
        rule, net, rate = self.arms[label]
        blocks = self.steps // (SIDE * BLOCK)
        return Run(
            self.name,
            rule,
            net=net,
            optimizer=Optimizer(lr=float(f"{rate * factor:.1g}"), clip=0.5),
            batch_size=SIDE,
            steps=blocks,
            evaluate_every=blocks // self.measurements,
            agent=dataclasses.replace(AGENT, discount=self.discount),
            seeds=Seeds(seed, seed, seed, seed),
        )


PERCEPTRON = NetworkConfig("mlp", sizes=[64, 64], activation="tanh")
RECURRENT = NetworkConfig(size=64)
STREAMS = NetworkConfig("dual_stream_mlp", sizes=[64], activation="relu", then=["rms_norm"])
CASES = (
    Case("CartPole-v1", 2, 20_480),
    Case("Pendulum-v1", 1, 40_960, discount=0.95),
    Case("InvertedPendulum-v4", 1, 40_960),
    Case("HalfCheetah-v4", 6, 102_400, seeds=3, tuned=TUNED[:1]),
)
SHORT = [each.name for each in CASES[:3]]


def diffusion(components: int, *, centred: bool = False) -> Rule:
    """Return error diffusion of a policy.

    Args:
        components: Actions, or components of an action.
        centred: Whether errors are centred over the minibatch, default no.
    """
    return Rule(ErrorDiffusion(PolicyRouting(components), BatchCentre() if centred else NoCentre()), Instant())


def score(one: Learned) -> float:
    """Return the mean of the test returns after the first measurement: high for what learns early."""
    return fmean(each.test_accuracy for each in one.metrics[1:])


def chosen(case: Case, folder: Path, workers: int) -> tuple[dict[str, float], list[tuple[str, ...]]]:
    """Return the factor of the rate of every rule, and rows of what was tried.

    Args:
        case: The environment.
        folder: Where the records are kept.
        workers: Processes that train at the same time.
    """
    tried = [(label, factor, case.run(label, factor, seed))
             for seed in case.tuned for label in case.arms for factor in FACTORS]  # fmt: skip
    found: dict[str, dict[float, list[float]]] = {}
    for (label, factor, _), one in zip(tried, learn([run for *_, run in tried], folder, workers), strict=True):
        found.setdefault(label, {}).setdefault(factor, []).append(score(one))
    best = {label: max(means, key=lambda factor: fmean(means[factor])) for label, means in found.items()}
    rows: list[tuple[str, ...]] = [
        (case.name, label, f"{case.run(label, factor, 0).optimizer.lr:g}", str(len(scores)), f"{fmean(scores):.1f}",
         "best" if factor == best[label] else "")
        for label, means in found.items() for factor, scores in means.items()
    ]  # fmt: skip
    return best, rows


def series_of(case: Case, learned: Iterable[tuple[str, Learned]]) -> list[Series]:
    """Return the test returns of every run against steps of all environments.

    Args:
        case: The environment.
        learned: Labels and runs.
    """
    return [
        Series(case.name, label, one.run.seeds.net, [each.step * SIDE * BLOCK for each in one.metrics],
               [each.test_accuracy for each in one.metrics])
        for label, one in learned
    ]  # fmt: skip


def figure(series: Sequence[Series]) -> Figure:
    """Return test returns against steps, an environment a panel.

    Args:
        series: The runs.
    """
    made, axes = panels(series, "steps of all environments", "test return", shared=False, size=(1.6, 0.4, 3.4, 3.0))
    for name, each in axes.items():
        curves(each, series, name, bounded=True)
        each.xaxis.set_major_locator(MaxNLocator(4))
    legend(made, summary(series, bounded=True))
    return made


def runs_table(series: Sequence[Series], rates: Mapping[tuple[str, str], float]) -> Table:
    """Return a row for every run: its rate, its return at the end and over training.

    Args:
        series: The runs.
        rates: Rates by environment and label.
    """
    rows: list[tuple[str, ...]] = [
        (each.panel, each.label, f"{rates[each.panel, each.label]:g}", str(each.seed), f"{each.y[-1]:.3f}",
         f"{fmean(each.y[1:]):.3f}")
        for each in series
    ]  # fmt: skip
    return Table(("environment", "rule", "rate", "seed", "return_at_the_end", "return_over_training"), tuple(rows))


def returns_table(training: Runs, end: Runs) -> Table:
    """Return mean and spread of the returns of every rule, and how far they are above those of backpropagation.

    Args:
        training: Returns over training by seed, of every environment, rule and its rate.
        end: Returns at the end.
    """
    base = {environment: runs for (environment, rule, _), runs in training.items() if rule == BASELINE}
    above = differences([
        None if rule == BASELINE else paired_difference(runs, base[environment])
        for (environment, rule, _), runs in training.items()
    ])  # fmt: skip
    rows = [
        (
            *key,
            str(len(runs)),
            mean_and_spread(list(runs.values()), 1),
            mean_and_spread(list(end[key].values()), 1),
            text,
        )
        for (key, runs), text in zip(training.items(), above, strict=True)
    ]
    head = ("environment", "rule", "rate", "seeds", "return over training", "return at the end")
    return Table((*head, f"over training, minus {BASELINE}, {COMPARED}"), tuple(rows))


def claims_table(training: Runs) -> Table:
    """Return the claims about returns over training, one family of tests over all environments and their rules.

    Args:
        training: Returns over training by seed, of every environment, rule and its rate.
    """
    found = {(environment, rule): runs for (environment, rule, _), runs in training.items()}
    return claims([
        Claim(f"{environment}: {first} above {second}", found[environment, first], found[environment, second])
        for environment in dict.fromkeys(environment for environment, _ in found)
        for first, second in CLAIMED if {(environment, first), (environment, second)} <= found.keys()
    ], 1)  # fmt: skip


def main(words: Sequence[str] | None = None, cases: Sequence[Case] = CASES) -> int:
    """Run the study.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        cases: The environments.
    """
    parser = command("control", "Which returns do rules reach as the gradient of PPO?",
                     f"{', '.join(SHORT)}, {SEEDS} seeds", "all environments")  # fmt: skip
    names = [case.name for case in cases]
    parser.add_argument("--cases", nargs="+", choices=names, metavar="ID", help=f"of {', '.join(names)}")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="so many seeds at most, default %(default)s")
    options = options_of(parser, words)
    seeds, folder = whole("--seeds", options.seeds, 1), options.out / "runs"
    asked = options.cases or (names if options.full else [name for name in names if name in SHORT] or names)
    series: list[Series] = []
    rates: dict[tuple[str, str], float] = {}
    searched: list[tuple[str, ...]] = []
    for case in (each for each in cases if each.name in asked):
        best, rows = chosen(case, folder, options.workers)
        searched += rows
        runs = [(label, case.run(label, factor, seed))
                for seed in range(min(seeds, case.seeds)) for label, factor in best.items()]  # fmt: skip
        found = learn([run for _, run in runs], folder, options.workers)
        rates |= {(case.name, label): run.optimizer.lr for label, run in runs}
        series += series_of(case, zip((label for label, _ in runs), found, strict=True))
    head = ("environment", "rule", "rate", "seeds", "return_over_training", "chosen")
    Table(head, tuple(searched)).write_csv(options.out / "control_search")
    runs_table(series, rates).write_csv(options.out / "control_runs")
    save(figure(series), series, options.out / "control_returns", "steps", "test_return")
    print(runs_table(series, rates))
    return 0


if __name__ == "__main__":
    sys.exit(main())
