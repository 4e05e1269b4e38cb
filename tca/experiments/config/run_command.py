"""The command that trains a run again, from its values alone."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["command_of"]

SEEDS = ("data", "net", "rule", "batches")
# Settings that a run has by default, whatever its task, rule and network.
DEFAULTS: dict[str, Any] = {
    "batch_size": 64, "steps": 1000, "stop_loss": None, "fresh": False, "n_train": 500, "n_test": 500,
    "evaluate_every": 50, "device": "cpu", "dtype": "float32",
}  # fmt: skip
DOTTED = ("task_options", "optimizer")  # parts whose settings are options of their own


def command_of(values: Mapping[str, Any]) -> str:
    """Return the words of a shell that train a run again.

    Args:
        values: Value of ``Run.to_json``, also of a record that was not checked.

    >>> from tca.experiments.config.run import Run
    >>> command_of(Run("delayed_xor", "eprop", steps=10).to_json())[:45]
    'tca train delayed_xor --rule eprop --steps 10'
    """
    words = ["tca", "train", str(values.get("task"))]
    for option, value in _options(values):
        words += [f"--{option}", value if isinstance(value, str) else json.dumps(value)]
    words += ["--rewards"] if isinstance(values.get("agent"), Mapping) else []
    return shlex.join(words)


def _options(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "rule", values.get("rule")
    if values.get("loss") is not None:
        yield "loss", values["loss"]
    for name, default in DEFAULTS.items():
        if values.get(name, default) != default:
            yield name, values[name]
    seeds = values.get("seeds")
    if isinstance(seeds, Mapping) and len(set(map(repr, seeds.values()))) == 1 and len(seeds) == len(SEEDS):
        yield from [("seed", seeds["net"])] if seeds["net"] else []
    elif isinstance(seeds, Mapping):
        yield from ((f"seeds.{name}", each) for name, each in seeds.items())
    net = values.get("net")
    if isinstance(net, Mapping):
        options = {name: each for name, each in net.items() if name != "kind"}
        yield "network", {"kind": net.get("kind", "leaky_rnn"), "options": options}
    for part in DOTTED:
        given = values.get(part)
        if isinstance(given, Mapping):
            yield from ((f"{part}.{name}", each) for name, each in given.items() if each != {})
    agent = values.get("agent")
    if isinstance(agent, Mapping):
        yield from ((f"agent.{name}", each) for name, each in agent.items())
    for name in ("held_out", "snapshot_losses", "callbacks"):
        if values.get(name):
            yield name, values[name]
