"""Networks trained by different rules, compared with each other and with recorded activity at equal error.

Shapes: T time, B batch, C conditions, I inputs, N units, O outputs, K repeats.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from analysis.generalization.matched_loss import at_loss
from analysis.representations.activity import rates
from analysis.representations.similarity import procrustes_distance
from analysis.representations.similarity_distances import Distance
from tca.batch import Batch
from tca.experiments.config.run import Run
from tca.experiments.records.files import explained, write_whole
from tca.experiments.records.result import Metrics
from tca.experiments.training.train import train
from tca.nets import Network

__all__ = [
    "PUBLISHED",
    "THRESHOLDS",
    "UNTRAINED",
    "Sample",
    "constant_loss",
    "distances_at",
    "sample",
]

THRESHOLDS = (0.5, 0.2, 0.1, 0.05)
UNTRAINED = math.inf  # the threshold that every network meets before training

PUBLISHED: Mapping[str, tuple[float, ...]] = {
    "bptt, lr 1e-3": (0.440, 0.420, 0.410, 0.362),
    "bptt, lr 3e-4": (0.432, 0.409, 0.401, 0.341),
    "eprop, lr 3e-4": (0.456, 0.434, 0.416, 0.407),
    "untrained": (0.5173,) * 4,
    "mean of conditions": (0.4838,) * 4,
}
"""Angular Procrustes distances at ``THRESHOLDS`` to 141 motor cortical cells in a centre-out reach (Hatsopoulos, Xu and
Amit 2007), of one seed, computed from the result files that were published with arXiv:2506.06904."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A network where its error crossed a threshold, to within 1 % of it.

    Attributes:
        rule: Name of the rule.
        seed: Seed of the network.
        threshold: The threshold; infinity for the untrained network.
        step: Update in whose course that was.
        error: Normalised error over the training set there.
        activity: Rates on the probing inputs, shape ``(T, C, N)``.
    """

    rule: str
    seed: int
    threshold: float
    step: int
    error: float
    activity: Tensor


def constant_loss(batch: Batch, outputs: int) -> float:
    """Return the loss of the best answer that is the same at all steps and in all trials.

    For the squared error that answer is the mean of the targets, for cross-entropy their frequencies.

    >>> from tca.losses import MSE
    >>> targets = torch.tensor([[[1.0]], [[3.0]]])
    >>> round(constant_loss(Batch(torch.zeros(2, 1, 1), targets, torch.full((2, 1), 0.5), MSE()), 1), 9)
    0.5
    """
    given = batch.to(dtype=torch.float64)
    answer = torch.zeros(outputs, dtype=torch.float64, device=given.inputs.device, requires_grad=True)
    search = torch.optim.LBFGS([answer], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        value = given.loss.mean(answer.expand(given.steps, given.trials, outputs), given.targets, given.weights)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    search.step(loss)  # type: ignore[no-untyped-call]
    return loss().item()


def sample(
    run: Run,
    probe: Tensor,
    thresholds: Sequence[float] = THRESHOLDS,
    folder: Path | None = None,
    *,
    progress: bool = True,
) -> list[Sample]:
    """Train a network and return it untrained and where its error crosses each threshold.

    The crossing is that of `tca.experiments.training.snapshots.cross`. Training ends below the smallest threshold.
    Thresholds that the run does not cross have no sample.

    Args:
        probe: The inputs on which activity is taken, shape ``(T, C, I)``.
        thresholds: Normalised errors over the training set, default those of the paper.
        folder: Where samples are kept; ones that are there are read instead of trained for. ``None`` (default) for not.
        progress: Whether to show a progress bar, default yes.

    Raises:
        ValueError: A threshold is not between 0 and 1, or the run or the probe does not fit the task.

    >>> one = sample(Run("delayed_xor", steps=1, n_train=8, n_test=8), torch.zeros(4, 2, 2), progress=False)
    >>> [(each.rule, each.threshold, each.step, each.activity.shape) for each in one]
    [('bptt', inf, 0, torch.Size([4, 2, 128]))]
    """
    if not thresholds or not all(0 < each < 1 for each in thresholds):
        raise ValueError(f"thresholds must lie between 0 and 1, got {tuple(thresholds)}")
    path = None if folder is None else folder / f"{run.name}.safetensors"
    if path is not None and path.exists() and (known := _read(path, run, probe, thresholds)) is not None:
        return known
    trials = run.make_task().split(run.n_train, run.n_test, seed=run.seeds.data)[0].batch()
    least = constant_loss(trials, run.make_task().n_out)
    losses = {threshold: threshold * least for threshold in sorted(thresholds, reverse=True)}
    until = dataclasses.replace(run, stop_loss=min(losses.values()), snapshot_losses=tuple(losses.values()))
    result = train(until, progress=progress)
    samples = [_sample(run, UNTRAINED, result.metrics[0], least, _untrained(run), probe)]
    for threshold, loss in losses.items():
        found = at_loss(result, loss)
        if found is not None:
            samples.append(_sample(run, threshold, found.metrics, least, found.net, probe))
    if path is not None:
        with explained(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, _written(samples, probe, thresholds, result.outcome))
    return samples


def distances_at(
    samples: Sequence[Sample],
    recorded: Tensor | None = None,
    reference: str = "bptt",
    distance: Distance = procrustes_distance,
) -> list[dict[str, float | str]]:
    """Return, for every sample, how far its activity is from recorded activity and from another rule's at equal error.

    Args:
        samples: Samples of several rules and seeds.
        recorded: Activity at the same times and conditions, shape ``(T, C, N)``; ``None`` (default) for none.
        reference: The rule that others are compared with, default bptt.
        distance: Distance of two activities, default the angular Procrustes distance.

    Returns:
        One row a sample: rule, seed, threshold, step, error; ``to_recorded``; ``to_reference``, the distance to the
        reference of the same seed, which began with the same weights; ``to_other_seeds``, the mean distance to the
        reference of other seeds, beside which the former is to be read. NaN without a pair to compare.
    """
    known = {(each.threshold, each.rule, each.seed): each.activity for each in samples}
    rows: list[dict[str, float | str]] = []
    for one in samples:
        same = known.get((one.threshold, reference, one.seed)) if one.rule != reference else None
        others = [
            activity
            for (threshold, rule, seed), activity in known.items()
            if (threshold, rule) == (one.threshold, reference) and seed != one.seed
        ]
        rows.append(
            {
                "rule": one.rule,
                "seed": one.seed,
                "threshold": one.threshold,
                "step": one.step,
                "error": one.error,
                "to_recorded": math.nan if recorded is None else distance(one.activity, recorded),
                "to_reference": math.nan if same is None else distance(one.activity, same),
                "to_other_seeds": _mean(distance(one.activity, each) for each in others),
            }
        )
    return rows


def _sample(run: Run, threshold: float, at: Metrics, least: float, net: Network, probe: Tensor) -> Sample:
    activity = rates(net, probe).cpu()
    return Sample(_name(run), run.seeds.net, threshold, at.step, at.train_loss / least, activity)


def _untrained(run: Run) -> Network:
    task = run.make_task()
    return run.net.build(
        task.n_in, task.n_out, dt=task.dt, seed=run.seeds.net, device=run.device, dtype=run.torch_dtype
    )


def _name(run: Run) -> str:
    return run.rule if isinstance(run.rule, str) else repr(run.rule)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else math.nan


def _written(samples: Sequence[Sample], probe: Tensor, thresholds: Sequence[float], outcome: str) -> bytes:
    facts = [[each.rule, each.seed, str(each.threshold), each.step, each.error] for each in samples]
    tensors = {str(place): each.activity.contiguous() for place, each in enumerate(samples)} | {"probe": probe.clone()}
    text = {"facts": json.dumps(facts), "thresholds": json.dumps(sorted(thresholds)), "outcome": outcome}
    return safetensors.torch.save(tensors, text)


def _read(path: Path, run: Run, probe: Tensor, thresholds: Sequence[float]) -> list[Sample] | None:
    """Return the samples of a file, ``None`` if they are of another probe or other thresholds."""
    with safetensors.safe_open(path, "pt") as file:
        text, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if not torch.equal(tensors["probe"], probe) or json.loads(text["thresholds"]) != sorted(thresholds):
        return None
    return [
        Sample(rule, seed, float(threshold), step, error, tensors[str(place)])
        for place, (rule, seed, threshold, step, error) in enumerate(json.loads(text["facts"]))
    ]
