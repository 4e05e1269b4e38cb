"""A minimum without error, by damped Gauss-Newton steps.

Shapes: N outputs that have a weight, P parameters.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch

from analysis.curvature.problem import problem_of
from analysis.fixed_data import Trials
from analysis.stability.jacobians import output_jacobian, scores
from tca.batch import Batch
from tca.losses import MSE
from tca.nets import Network
from tca.utils.checks import Count, checked

__all__ = ["minimum"]


@checked
@torch.inference_mode(False)
def minimum(
    net: Network,
    trials: Trials | Batch,
    parameters: str | Sequence[str] | None = None,
    *,
    factor: float = 0.5,
    tolerance: float = 1e-16,
    steps: Count = 200,
) -> Network:
    """Return a float64 copy of a network that makes no error, near where the network is.

    ``theta <- theta - factor J^+ (y - target)``, of all steps that remove the error to first order the shortest. It
    needs at least as many parameters as there are outputs with a weight, and reaches a place where the Hessian is
    exactly ``J^T J`` (weights included) and where every rule rests.

    Args:
        net: The network; it is not changed.
        trials: A fixed set of trials, or a batch, with squared error.
        parameters: A name, a prefix such as ``"layers.0"``, several of them, or ``"all"``; default see ``choose``.
        factor: Part of the step to take, in (0, 1], default 0.5.
        tolerance: Largest derivative of the loss by an output at which to stop, default 1e-16.
        steps: Most steps, default 200.

    Raises:
        ValueError: A name is unknown, a number is out of range, the loss is not the squared error, or no such place is
            found.
        TypeError: The trials are no fixed set.

    >>> from tca.nets import LeakyRNN
    >>> batch = Batch(torch.ones(4, 1, 1), torch.full((4, 1, 1), 0.25), torch.eye(4)[3:].t(), MSE())
    >>> result = minimum(LeakyRNN(1, 4, 1), batch)
    >>> round(result(batch.inputs.double())[-1].item(), 15)
    0.25
    """
    if not 0 < factor <= 1:
        raise ValueError(f"factor must be above 0 and at most 1, got {factor!r}")
    problem = problem_of(net, trials, parameters)
    if not isinstance(problem.batch.loss, MSE):
        raise ValueError(f"the loss must be MSE to vanish at a finite place, got {problem.batch.loss!r}")
    share = torch.cat([(part.weights / problem.batch.trials).flatten() for part in problem.batches])
    share = share[share > 0].repeat_interleave(problem.network.n_out)
    theta = problem.theta
    for _ in range(steps):
        score = scores(problem, theta)
        if score.abs().max() <= tolerance:
            break
        jacobian = output_jacobian(replace(problem, theta=theta))
        theta = theta - factor * torch.linalg.pinv(jacobian) @ (score / share)
    worst = scores(problem, theta).abs().max().item()
    if not worst <= tolerance:
        raise ValueError(
            f"no minimum without error was found: the largest error after {steps} steps is {worst:.1e}; "
            "it needs more parameters than outputs that have a weight, or a larger tolerance"
        )
    found = copy.deepcopy(net).to(torch.float64)
    with torch.no_grad():
        for name, value in problem.parameters.unflatten(theta).items():
            found.get_parameter(name).copy_(value)
    return found
