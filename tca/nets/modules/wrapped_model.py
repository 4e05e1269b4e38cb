"""A user's whole model as a network, trained by backpropagation.

Shapes: T time, B batch, I inputs, O outputs.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tca.connections.connection import Connection, ConnectionInput
from tca.connections.module_parameter import ModuleParameter
from tca.nets.modules.probes import check_function, copied, draws, first_line, numbers_of
from tca.nets.network import Network
from tca.nets.options import drawing
from tca.tape.model_tape import ModelTape
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.tape.weight_estimates import Recurrence
from tca.utils.checks import Count, Seed, checked, quick_counts
from tca.utils.module_contexts import differentiable, evaluating, seeded, twice_differentiable
from tca.utils.numerics import Workspace

__all__ = ["WrappedModel", "wrap"]

STEPS, TRIALS = 5, 2  # sizes of the example that a model without one is tried on
SEEDS = 2**24  # integers that float32 holds exactly


class WrappedModel(Network):
    """A user's model as a network: its outputs, and their derivatives by autograd; see `wrap`.

    Attributes:
        model: The model itself, not a copy.
        shape: Shape of the inputs of one step of one trial, if the model maps each by itself; ``None`` if it maps
            whole trials.
        random: Whether the model draws random numbers in training mode.
    """

    noise_state: Tensor

    def __init__(self, model: nn.Module, n_in: int, n_out: int, shape: tuple[int, ...] | None, seed: int) -> None:
        """Store the model; `wrap` checks it."""
        super().__init__()
        self.model, self.n_in, self.n_out, self.shape, self.random = model, n_in, n_out, shape, False
        self.register_buffer("noise_state", torch.Generator().manual_seed(seed).get_state())
        self.check_numbers()

    def hidden_connections(self) -> tuple[Connection, ...]:
        """Return one connection for each parameter of the model."""
        return tuple(ModuleParameter(name, each) for name, each in self.named_parameters())

    def readout_connections(self) -> tuple[Connection, ...]:
        """Return none: the readout is part of the model."""
        return ()

    def populations(self) -> tuple[Population, ...]:
        """Return the outputs as the only population."""
        like = next(self.parameters()).detach()
        return (Population("", (self.n_out,), self.n_out, like, alone=True, n_in=self.n_in, module="model"),)

    def outputs(self, use: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None) -> Tensor:
        """Return the outputs, shape ``(T, B, O)``, differentiable as often as the model is."""
        with twice_differentiable(self.model):
            return self._computed(use, inputs, noise)

    @torch.no_grad()
    def run(self, inputs: Tensor, noise: Tensor | None = None, workspace: Workspace | None = None) -> Tape:
        """Run the model without a graph and return the tape, whose outputs count."""
        self.check(inputs, noise)
        return self._taped(self._computed(dict(self.named_parameters()), inputs, noise), None)

    def record(self, inputs: Tensor, noise: Tensor | None, space: Workspace) -> Tape:
        """Return the tape with the graph of the pass, which its gradient needs."""
        use = {name: each.detach().requires_grad_() for name, each in self.named_parameters()}
        with torch.enable_grad():
            outputs = self._computed(use, inputs, noise)

        def backward(error: Tensor) -> dict[str, Tensor]:
            found = torch.autograd.grad(
                outputs, list(use.values()), error, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            return dict(zip(use, found, strict=True))

        return self._taped(outputs.detach(), backward)

    @property
    def n_noise(self) -> int:
        """One number, the seed of a pass, if the model draws random numbers in training mode; else none."""
        return int(self.random)

    def draw_noise(self, steps: Count, trials: Count) -> Tensor | None:
        """Draw the seed of the model's random numbers, ``(T, B, 1)``; ``None`` in evaluation mode or without any.

        Args:
            steps: Number of steps T.
            trials: Number of trials B.
        """
        quick_counts(steps=steps, trials=trials)
        if not (self.random and self.model.training):
            return None
        with drawing(self.noise_state) as generator:
            seed = torch.randint(SEEDS, (), generator=generator, device="cpu")
        return next(self.parameters()).detach().new_full((steps, trials, 1), float(seed))

    def project_(self) -> None:
        """Leave the parameters as they are: a model has no constraints."""

    def extra_repr(self) -> str:
        return f"{self.n_in}, {self.n_out}" + (f", shape={self.shape}" if self.shape is not None else "")

    def _computed(self, use: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None) -> Tensor:
        own = {name.removeprefix("model."): each for name, each in use.items()}
        steps, trials = inputs.shape[:2]
        given = inputs if self.shape is None else inputs.reshape(steps * trials, *self.shape)
        with self._mode(noise), differentiable(self.model):
            outputs: Tensor = functional_call(self.model, own, (given,))
        return outputs.reshape(steps, trials, self.n_out)

    @contextlib.contextmanager
    def _mode(self, noise: Tensor | None) -> Iterator[None]:
        """Set evaluation mode, or with noise the model's own mode and its seed."""
        if noise is None:
            with evaluating(self.model):
                yield
            return
        if any(each.training for each in self.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)):
            raise ValueError(
                "the model must not normalize over the batch, which couples trials: set its batch normalization to "
                "evaluation mode with .eval()"
            )
        with seeded(int(noise[0, 0, 0]), noise.device):
            yield

    def _taped(self, outputs: Tensor, backward: Callable[[Tensor], dict[str, Tensor]] | None) -> ModelTape:
        rate = torch.cat([torch.zeros_like(outputs[:1]), outputs])
        one = outputs.new_ones(1, 1, 1)
        return ModelTape(
            population=self.populations()[0],
            rate=rate,
            leak=0.0,
            gain=1.0,
            links=tuple(ConnectionInput(each, one) for each in self.hidden_connections()),
            recurrence=Recurrence.none(outputs),
            outputs=outputs,
            backward=backward,
        )


@checked
def wrap(model: nn.Module, inputs: Tensor | None = None, *, seed: Seed = 0) -> WrappedModel:
    """Return a network made of any model, trained by ``bptt`` or ``backprop``.

    A model maps whole trials, ``(T, B, I)`` to ``(T, B, O)``, or items, ``(B, ...)`` to ``(B, O)``; the result for
    ``inputs`` decides. Items are the steps of a `Batch`, each by itself: inputs of shape ``(...)`` are flattened
    to I channels, so that B items make a batch of one step, ``items.flatten(1).unsqueeze(0)``.

    The network shares the model's parameters, named ``model.`` and their own name. Its gradient is that of autograd,
    and every measurement that needs a differentiable forward pass accepts it. Other rules read populations, synapses
    and states that a model does not show: see `from_module` for cells.

    A pass without noise is in evaluation mode. `Learner.backward` draws noise while the network is in training mode:
    one seed for the random numbers (dropout) of the pass. Batch normalization couples trials and is therefore accepted
    in evaluation mode alone. Padding is part of a trial: a model that reads later steps, or is not causal, sees it.

    Args:
        inputs: An example batch, in the shape that the model accepts, two trials or more; only shape and type count.
            By default random trials of five steps with as many channels as the first linear or recurrent layer has.
        seed: Seed of the random numbers that the model draws in training, default 0.

    Raises:
        TypeError: ``model`` is no module.
        ValueError: The model has no parameters, its sizes cannot be inferred, or it is no differentiable function of
            each trial; the reason is given.

    >>> import tca
    >>> net = wrap(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)))
    >>> net.n_in, net.n_out, net.populations()[0].module
    (3, 2, 'model')
    >>> image_net = wrap(nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), torch.zeros(2, 3, 2, 2))
    >>> image_net.n_in, image_net(torch.zeros(1, 5, 12)).shape
    (12, torch.Size([1, 5, 4]))
    """
    like = numbers_of("model", model)
    given = (_example(model) if inputs is None else inputs).to(like)
    if given.ndim < 2 or 0 in given.shape:
        raise ValueError(f"inputs must have shape (T, B, I) or (B, ...), none of them 0, got {tuple(given.shape)}")
    if not given.any() or not given.isfinite().all():  # zeros say too little about a model
        given = torch.linspace(-1, 1, given.numel(), dtype=like.dtype, device=like.device).view(given.shape)
    probed = copied("model", model).eval()
    with torch.no_grad(), seeded(0, like.device):
        try:
            outputs = probed(given)
        except Exception as error:  # a module of the user may raise any
            raise ValueError(
                f"model must accept inputs of shape {tuple(given.shape)}: give an example batch, wrap(model, inputs); "
                f"it raised: {first_line(error)}"
            ) from error
    if not isinstance(outputs, Tensor):
        raise ValueError(
            f"model must return one tensor, got {type(outputs).__name__}: wrap a module whose forward "
            "returns the outputs"
        )
    items = outputs.ndim == 2 and len(outputs) == len(given)
    if not items and (given.ndim != 3 or outputs.ndim != 3 or outputs.shape[:2] != given.shape[:2]):
        raise ValueError(
            f"model must return (T, B, O) for (T, B, I) or (B, O) for (B, ...), got {tuple(outputs.shape)} for "
            f"{tuple(given.shape)}"
        )
    axis = 0 if items else 1
    given = torch.cat([given, given], axis) if given.shape[axis] < TRIALS else given

    def call(probed: nn.Module, x: tuple[Tensor, ...]) -> Tensor:
        results: Tensor = probed(x[0].movedim(0, axis))
        return results.movedim(axis, 0)

    check_function("model", model, call, (given.movedim(axis, 0),), "inputs")
    shape = tuple(given.shape[1:]) if items else None
    net = WrappedModel(model, math.prod(given.shape[1:]) if items else given.shape[2], outputs.shape[-1], shape, seed)
    net.random = draws(probed.train(), call, (given.movedim(axis, 0),))
    return net


def _example(model: nn.Module) -> Tensor:
    """Return random trials with the channels of the first layer that states its number.

    Raises:
        ValueError: No layer does.
    """
    for each in model.modules():
        channels = getattr(each, "in_features", getattr(each, "input_size", None))
        if isinstance(channels, int):
            source = torch.Generator().manual_seed(0)
            return torch.randn(STEPS, TRIALS, channels, generator=source, dtype=torch.float64, device="cpu")
    raise ValueError("the number of inputs of model cannot be inferred: give an example batch, wrap(model, inputs)")
