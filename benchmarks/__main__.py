"""All benchmarks, or the named ones, one after another: ``python -m benchmarks rules curvature tasks``."""

from __future__ import annotations

import argparse
import importlib
import sys

BENCHMARKS = {
    "rules": "cost of a gradient, against the floor and against peers",
    "kernels": "gain of compiled passes of leaky networks",
    "fading": "cost of errors that fade to subnormal numbers, by compiled passes and by PyTorch's operations",
    "feedforward": "cost of a gradient of a feedforward network, against autograd and steps by hand",
    "together": "updates of several runs, one by one and together",
    "threads": "updates by one thread and by two, on the clock",
    "updates": "cost of a whole update, against updates of PyTorch and JAX by hand",
    "curvature": "cost of a Hessian-vector product and the top eigenvalue",
    "any_model": "cost of curvature of models of PyTorch, beside PyHessian and curvlinops",
    "own_cell": "cost of a gradient of a user's cell module, beside a loop of autograd",
    "vector": "cost of a step of a network of vectors, against a perceptron",
    "cells": "cost of a gradient of a GRU and an LSTM, beside the modules of PyTorch",
    "gru_peers": "gradients of a GRU by the online rules of braintrace, and their cost",
    "spiking": "cost of a gradient of a spiking network, against traces carried forwards",
    "spiking_peers": "cost of e-prop of adaptive spiking cells, against braintrace",
    "spiking_modules": "cost of a gradient of a spiking network, beside snnTorch and norse",
    "diffusion": "cost of a diffusing error, against e-prop without a field",
    "scaling": "how the cost of every rule grows with cells and steps, against theory",
    "startup": "processor time of commands and imports, beside `import torch`",
    "launches": "kernels a step on a device, counted without one",
    "control": "cost of a block of PPO, against a loop of PyTorch by hand",
    "tasks": "trials a second, against neurogym",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Run benchmarks with their defaults; `python -m benchmarks.NAME --help` shows the options of one.",
        epilog="; ".join(f"{name}: {what}" for name, what in BENCHMARKS.items()),
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--save", action="store_true", help="write results below benchmarks/results/, where kept")
    options = parser.parse_args()
    names = options.names or list(BENCHMARKS)
    for name in names:
        if name not in BENCHMARKS:
            parser.error(f"unknown benchmark {name!r}, choose from {', '.join(BENCHMARKS)}")
    for name in names:
        print(f"## {name}: {BENCHMARKS[name]}\n", flush=True)
        module = importlib.import_module(f"benchmarks.{name}")
        kept = options.save and hasattr(module, "add_options")
        sys.argv = [f"benchmarks.{name}", *["--save"] * kept]  # each reads its own options
        module.main()
        print(flush=True)


if __name__ == "__main__":
    main()
