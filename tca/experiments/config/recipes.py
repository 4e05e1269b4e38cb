"""Default networks of tasks, and optimizers of rules in image networks tuned on held-out digits.

See docs/studies/vision.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.images import Images
from tasks.task import Task
from tca.experiments.config.components import Optimizer
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.schedules import Cosine
from tca.losses import MSE, CrossEntropy, Logistic, Loss
from tca.nets import PRESETS
from tca.nets.feedforward.layers import ConvLayer, DenseLayer
from tca.nets.feedforward.networks import Feedforward
from tca.nets.vector.vector_networks import VectorNet
from tca.rule import Rule
from tca.rules import RULES

__all__ = ["fitted_network", "in_words", "recommended"]

DEFAULT = Optimizer()
Key = tuple[str, str, type[Loss]]  # rule, kind of network, loss


def _adam(lr: float, readout: float = 1.0) -> Optimizer:
    """Return Adam without clipping, with a factor on the rate of the readout."""
    return Optimizer(lr=lr, clip=None, lr_multipliers={} if readout == 1 else {"w_out": readout, "b_out": readout})


def _falling(lr: float) -> Optimizer:
    """Return gradient descent with cosine annealing."""
    return Optimizer("SGD", lr=lr, clip=None, schedule=Cosine())


def _rows(rules: Sequence[str], kind: str, loss: type[Loss], optimizer: Optimizer) -> dict[Key, Optimizer]:
    return {(rule, kind, loss): optimizer for rule in rules}


EXACT, BROADCAST = ("backprop", "bptt"), ("feedback_alignment", "dfa", "sbd", "sbd_expansion")
# The first row of a rule and a kind of network is also that of other losses.
RECIPES: dict[Key, Optimizer] = {
    **_rows(EXACT, "mlp", CrossEntropy, _adam(1e-3, 3.0)),
    **_rows(BROADCAST, "mlp", CrossEntropy, _adam(1e-3, 10.0)),
    **_rows(EXACT, "mlp", MSE, _adam(1e-3)),
    **_rows(("dfa", "ebd"), "mlp", MSE, _adam(1e-3, 3.0)),
    **_rows((*EXACT, *BROADCAST), "cnn", CrossEntropy, _adam(1e-3, 30.0)),
    **_rows((*EXACT, "dfa", "ebd"), "cnn", MSE, _adam(1e-3, 30.0)),
    **_rows((*EXACT, "gevb"), "vector_mlp", CrossEntropy, _adam(3e-3)),
    **_rows((*EXACT, "gevb"), "vector_cnn", CrossEntropy, _adam(1e-2)),
    **_rows(EXACT, "dual_stream_mlp", Logistic, _adam(1e-2)),
    **_rows(("dfa",), "dual_stream_mlp", Logistic, _falling(45.0)),
    **_rows(("error_diffusion",), "dual_stream_mlp", Logistic, _falling(15.0)),
    **_rows(("error_diffusion",), "dual_stream_cnn", Logistic, _falling(100.0)),
}


def recommended(rule: Rule, net: NetworkConfig, loss: Loss) -> Optimizer:
    """Return the recommended optimizer of a rule in a network, Adam at 1e-3 if none was tuned.

    Args:
        rule: The rule; rules of the same parts are the same.
        net: Network; tuned are perceptrons, convolutional, vector and dual-stream networks, and presets of these.
        loss: Loss; if not tuned, the optimizer of another loss.

    >>> from tca.losses import MSE
    >>> recommended(RULES["ebd"], NetworkConfig("mlp", {"sizes": [8]}), MSE()).lr_multipliers
    {'w_out': 3.0, 'b_out': 3.0}
    """
    kind = _kind(net)
    fitting = {key[2]: each for key, each in RECIPES.items() if key[1] == kind and RULES[key[0]] == rule}
    return fitting.get(type(loss)) or next(iter(fitting.values()), DEFAULT)


def fitted_network(net: NetworkConfig, task: Task, rule: str | Rule) -> NetworkConfig:
    """Return a perceptron where the default network has no option but a size and cannot use its memory.

    Args:
        net: The network; others stay.
        task: The task, of one step if it shows images at once.
        rule: The rule; those that are defined on leaky cells keep them.
    """
    plain = net.kind == "leaky_rnn" and net == NetworkConfig(size=net.size)
    formed = (rule if isinstance(rule, Rule) else RULES[rule]).form
    return NetworkConfig("mlp", size=net.size) if plain and isinstance(task, Images) and not formed else net


def _kind(net: NetworkConfig) -> str:
    """Return the kind of network in `RECIPES`, also of a preset, ``""`` for others."""
    if net.kind not in PRESETS:
        return net.kind
    preset = PRESETS[net.kind]
    family = {Feedforward: "", VectorNet: "vector_"}.get(preset.kind)
    if family is None or not all(isinstance(layer, DenseLayer | ConvLayer) for layer in preset.layers):
        return ""
    return family + ("cnn" if any(isinstance(layer, ConvLayer) for layer in preset.layers) else "mlp")


def in_words(optimizer: Optimizer) -> str:
    """Return an optimizer in words.

    >>> in_words(RECIPES["ebd", "mlp", MSE]), in_words(RECIPES["error_diffusion", "dual_stream_mlp", Logistic])
    ('Adam 0.001 (w_out x 3, b_out x 3), not clipped', 'SGD 15, cosine, not clipped')
    """
    factors = ", ".join(f"{name} x {factor:g}" for name, factor in optimizer.lr_multipliers.items())
    options = [f"{name} {value}" for name, value in optimizer.options.items()]
    words = [f"{optimizer.name} {optimizer.lr:g}{f' ({factors})' if factors else ''}"]
    words += [optimizer.schedule.kind] if optimizer.schedule is not None else []
    return ", ".join([*words, *options, "not clipped" if optimizer.clip is None else f"clipped at {optimizer.clip:g}"])
