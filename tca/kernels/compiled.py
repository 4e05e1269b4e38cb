"""The compiled passes on tensors: forward, reverse filter and adjoint of leaky networks.

Shapes: S networks, T time, B batch, J inputs, N cells, C consecutive steps.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tca.cells.activations import Activation, Linear, RectifiedTanh, ReLU, Softplus, Tanh
from tca.kernels.build import Built

__all__ = ["FORMATS", "FUNCTIONS", "INPUTS", "WEIGHTS", "Call", "Library", "Passes", "Return"]

FUNCTIONS: dict[type[Activation], int] = {Tanh: 0, ReLU: 1, Softplus: 2, RectifiedTanh: 3, Linear: 4}
FORMATS = {torch.float32: "float32", torch.float64: "float64"}
SIZE, FLAG, DATA = ctypes.c_int64, ctypes.c_int, ctypes.c_void_p
SIGNATURES = {
    "forward": [*[SIZE] * 6, FLAG, FLAG, *[DATA] * 12, SIZE],
    "adjoint": [*[SIZE] * 4, FLAG, FLAG, *[DATA] * 4, SIZE, DATA, DATA, SIZE],
    "filter": [*[SIZE] * 4, *[DATA] * 3],
    "gradients": [*[SIZE] * 6, FLAG, FLAG, SIZE, FLAG, *[DATA] * 15, SIZE],
    "gated_advance": [FLAG, SIZE, SIZE, *[DATA] * 3],
    "gated_back": [FLAG, SIZE, SIZE, *[DATA] * 6],
    "gated_filter_leak": [FLAG, SIZE, SIZE, SIZE, *[DATA] * 5],
    "class_error": [*[SIZE] * 3, *[DATA] * 4],
    "activate": [FLAG, DATA, SIZE],
    "times_slope": [FLAG, DATA, DATA, SIZE],
}
WEIGHTS, INPUTS = slice(10, 14), 14  # places among the arguments of a forward pass
ELEMENTWISE = ("gated_advance", "gated_back", "gated_filter_leak", "activate", "times_slope")
FAILED: dict[int, tuple[type[Exception], str]] = {
    1: (MemoryError, "no memory for the weights of a compiled pass"),
    2: (ValueError, "targets must be classes of the outputs, got others"),  # written in place since they were checked
}
CLASSES = 64  # at most, since PyTorch's softmax over more is as fast
SENT = ("driven", "direct", "filtered")  # signals, as in gradient.h


@dataclass(frozen=True, eq=False)
class Return:
    """The signals that return from the next step, through synapses or through sums by cell type.

    Attributes:
        sent: ``"driven"`` for driven signals, those of the Jacobian; ``"direct"`` for driven signals of the step's own
            error, over one synapse; ``"filtered"`` for state signals, at a constant slope.
        weights: Weights from postsynaptic to presynaptic cells, shape ``(S, N, N)``, or from types of postsynaptic
            cells, ``(S, A, N)``, A types; without the gain.
        types: One where a cell has a type and zero elsewhere, shape ``(S, A, N)``; ``None`` (default) without types.
    """

    sent: str
    weights: Tensor
    types: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Library:
    """The functions of the library, on tensors.

    Attributes:
        built: The library.
    """

    built: Built

    @cached_property
    def _functions(self) -> dict[tuple[str, torch.dtype], Any]:
        functions = {}
        for name, arguments in SIGNATURES.items():
            for dtype, number_format in FORMATS.items():
                function = getattr(self.built.library, f"{name}_{number_format}")
                function.argtypes, function.restype = arguments, None if name in ELEMENTWISE else FLAG
                functions[name, dtype] = function
        return functions

    def call(self, name: str, dtype: torch.dtype, *arguments: Any) -> Call:
        """Call a function and return the call.

        Args:
            arguments: Numbers and tensors, which must be contiguous.

        Raises:
            MemoryError: There is no memory for the weights.
        """
        values = [each.data_ptr() if isinstance(each, Tensor) else each for each in arguments]
        made = Call(self._functions[name, dtype], values, arguments)
        made()
        return made

    def activate_(self, activation: Activation, values: Tensor) -> None:
        """Replace values by ``f(u)`` in place.

        Args:
            values: Any contiguous tensor.
        """
        self.call("activate", values.dtype, FUNCTIONS[type(activation)], values, values.numel())

    def class_error(self, outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return the output error of softmax cross-entropy, ``w_tb / B (softmax(y) - onehot(target))``.

        Args:
            outputs: Logits of at most `CLASSES` classes, shape ``(T, B, O)``.
            targets: Classes, int64, shape ``(T, B)``.
            weights: Weights, same shape, of the type of the outputs.

        Returns:
            Errors from time zero, where they are zero, shape ``(T + 1, B, O)``.

        Raises:
            ValueError: A target is no class.
        """
        steps, trials, classes = outputs.shape
        error = outputs.new_empty(steps + 1, trials, classes)
        arrays = (each.contiguous() for each in (outputs, targets, weights))
        self.call("class_error", outputs.dtype, steps, trials, classes, *arrays, error)
        return error

    def times_slope_(self, activation: Activation, signal: Tensor, activity: Tensor) -> None:
        """Multiply a signal by ``f'(u)`` in place, given ``activity = f(u)``.

        Args:
            signal: Any contiguous tensor.
            activity: Value ``f(u)``, same shape, contiguous.
        """
        self.call("times_slope", signal.dtype, FUNCTIONS[type(activation)], signal, activity, signal.numel())


class Call(NamedTuple):
    """A call of a function of the library.

    Attributes:
        function: The function.
        values: Its arguments, tensors by their addresses.
        arguments: The tensors themselves, which keep their memory, and the numbers.
    """

    function: Callable[..., int | None]
    values: list[Any]
    arguments: tuple[Any, ...]

    def __call__(self) -> None:
        """Make the call, again or for the first time."""
        if flag := self.function(*self.values):
            kind, reason = FAILED[flag]
            raise kind(reason)


@dataclass(frozen=True, eq=False)
class Passes:
    """The passes of S networks of leaky cells with the same constants of size, form and activation function.

    They equal PyTorch's to round-off; a trial has the same bits in every batch and with any number of threads. The axis
    of networks may be left out if there is one.

    Attributes:
        library: The compiled library.
        activation: The activation function f, one of `FUNCTIONS`.
        on_rate: Whether the leak is on the rate (form B).
        leak: Leak per step, shape ``(S, N)``.
        gain: One minus it.
    """

    library: Library
    activation: Activation
    on_rate: bool
    leak: Tensor
    gain: Tensor

    def forward_(
        self,
        weights: tuple[Tensor, ...],
        inputs: Tensor | None,
        external: Tensor | None,
        initial: Tensor | None,
        rate: Tensor,
        activity: Tensor,
        delivered: Tensor | None = None,
    ) -> Call:
        """Run trials and write rates, values of the activation function and values delivered to the outputs.

        The call that is returned can be made again, with other inputs in place of `INPUTS`.

        Args:
            weights: Input weights ``(S, N, J)``, recurrent weights ``(S, N, N)``, biases ``(S, N)`` and readout weights
                ``(S, O, N)``, missing synapses at zero.
            inputs: Inputs, shape ``(S, T, B, J)``; ``None`` if their drive is in ``external``.
            external: Further drive, in form A times the gain, ``(S, T + 1, B, N)``, index 0 unused; ``None`` for none.
                It may be ``activity`` itself.
            initial: State at time zero, shape ``(S, B, N)``; ``None`` for zero.
            rate: Where the rates go, shape ``(S, T + 1, B, N)``.
            activity: Where the values go, index 0 unused; ``rate`` itself in form A.
            delivered: Where ``W_o z_t`` goes, shape ``(S, T, B, O)``; ``None`` (default) without readout weights.
        """
        times, trials, n = rate.shape[-3:]
        n_in, n_out = 0 if inputs is None else inputs.shape[-1], 0 if delivered is None else delivered.shape[-1]
        w_in, w_rec, bias, w_out = (*(each.contiguous() for each in weights), None)[:4]
        inputs, initial = (each if each is None else each.contiguous() for each in (inputs, initial))
        return self.library.call(
            "forward", rate.dtype, len(self.leak), times - 1, trials, n, n_in, n_out, FUNCTIONS[type(self.activation)],
            self.on_rate, self.leak, self.gain, w_in, w_rec, bias, w_out, inputs, external, initial, rate, activity,
            delivered, torch.get_num_threads(),
        )  # fmt: skip

    def filter_(self, signal: Tensor, later: Tensor | None) -> None:
        """Filter ``nu_t = L_t + leak nu_{t+1}`` in place.

        Args:
            signal: State signal, shape ``(S, C, B, N)``.
            later: Filtered signal of the step after, shape ``(S, B, N)``; ``None`` at the end of the trial.
        """
        whole, later = signal.contiguous(), None if later is None else later.contiguous()
        self.library.call("filter", signal.dtype, len(self.leak), *signal.shape[-3:], self.leak, whole, later)
        if whole is not signal:
            signal.copy_(whole)

    def adjoint_(self, recurrent: Tensor, activity: Tensor, signal: Tensor, later: Tensor | None) -> None:
        """Filter ``lambda_t = l_t + J_{t+1}^T lambda_{t+1}`` in place.

        Args:
            recurrent: Recurrent weights, shape ``(S, N, N)``.
            activity: Values of the activation function from the first step of the signal on, ``(S, C or more, B, N)``;
                in form B one step more if there is a later signal.
            signal: State signal, shape ``(S, C, B, N)``.
            later: Filtered signal of the step after, shape ``(S, B, N)``; ``None`` at the end of the trial.
        """
        whole, later = signal.contiguous(), None if later is None else later.contiguous()
        acting = activity[..., 1:, :, :] if self.on_rate else activity  # in form B slopes act before the synapses
        apart = acting.stride(0) if len(self.leak) > 1 else 0  # networks
        self.library.call(
            "adjoint", signal.dtype, len(self.leak), *signal.shape[-3:], FUNCTIONS[type(self.activation)], self.on_rate,
            self.leak, self.gain, recurrent.contiguous(), acting, apart, whole, later, torch.get_num_threads(),
        )  # fmt: skip
        if whole is not signal:
            signal.copy_(whole)

    def gradients_(
        self,
        gradients: tuple[Tensor, ...],
        leak: bool,
        returned: Return | None,
        feedback: Tensor,
        inputs: Tensor,
        rate: Tensor,
        activity: Tensor,
        filtered_error: Tensor,
        output_error: Tensor,
    ) -> None:
        """Write the gradients of all weights.

        The learning signal is ``F^T err_t`` times the slope, and the signals that return from the next step; the filter
        that of the leak, or none.

        Args:
            gradients: Where they go, contiguous: those of input weights, recurrent weights, biases, readout weights and
                readout biases, shapes ``(S, N, J)``, ``(S, N, N)``, ``(S, N)``, ``(S, O, N)`` and ``(S, O)``.
            leak: Whether the filter is that of the leak.
            returned: The signals that return through synapses; ``None`` if there are none.
            feedback: Feedback weights F, shape ``(S, O, N)``.
            inputs: Inputs, shape ``(S, T, B, J)``.
            rate: Rates, shape ``(S, T + 1, B, N)``, contiguous.
            activity: Values of the activation function, same shape, contiguous; ``rate`` itself in form A.
            filtered_error: Output error before the filter of the readout, shape ``(S, T + 1, B, O)``.
            output_error: Output error, same shape.
        """
        times, trials, cells = rate.shape[-3:]
        sources, sent = (0, 0) if returned is None else (returned.weights.shape[-2], SENT.index(returned.sent))
        through = (None, None) if returned is None else (returned.weights, returned.types)
        given = (self.leak if leak else None, self.gain, *through, feedback, inputs, rate, activity)
        arrays = (each if each is None else each.contiguous() for each in (*given, filtered_error, output_error))
        self.library.call(
            "gradients", rate.dtype, len(self.leak), times - 1, trials, cells, inputs.shape[-1], feedback.shape[-2],
            FUNCTIONS[type(self.activation)], self.on_rate, sources, sent, *arrays, *gradients, torch.get_num_threads(),
        )  # fmt: skip
