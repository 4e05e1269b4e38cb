"""The demo command: three rules on a task in half a minute, with a figure and the report."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from tca.cli.command_parser import command_parser
from tca.cli.commands import CommandOutput
from tca.cli.compare.comparison import Comparison
from tca.cli.compare.comparison_loop import compare
from tca.cli.compare.comparison_table import tables
from tca.cli.compare.report import write_report
from tca.experiments.config.components import Optimizer
from tca.experiments.config.network_config import NetworkConfig
from tca.utils.text import in_a_line

__all__ = ["act", "comparison", "parser"]

NEXT = "bptt,snap1,three_factor"  # rules of the network of the demo
DESCRIPTION = "Train BPTT, e-prop and RFLO on a delayed match to sample, three seeds each; draw a figure and a report."


def comparison() -> Comparison:
    """Return the comparison of the demo: BPTT, e-prop and RFLO on a delayed match to sample, three seeds each."""
    return Comparison(
        tasks="delayed_match",
        rules="bptt,eprop,rflo",
        seeds=3,
        net=NetworkConfig(size=64, tau=300.0, form="B"),
        optimizer=Optimizer(lr=3e-3),
        batch_size=50,
        steps=240,
        n_train=500,
        n_test=300,
        evaluate_every=20,
        input_noise=None,
        curvature_trials=20,
        curvature_probes=4,
    )


def parser() -> ArgumentParser:
    """Return the parser."""
    made = command_parser("tca demo [options]", DESCRIPTION)
    made.add_argument("--folder", default="runs/demo", help="Folder of the records, the figures and the report.")
    made.add_argument("--workers", type=int, default=2, help="Number of processes.")
    made.add_argument("--quiet", action="store_true", help="Hide the progress bar.")
    return made


def act(options: Namespace) -> CommandOutput:
    """Train the networks and write figure and report."""
    folder = Path(options.folder)
    result = compare(comparison(), folder, options.workers, progress=not options.quiet)
    write_report(result, folder)
    results, *_ = tables(result)
    lines = [
        "BPTT, e-prop and RFLO (random feedback) learn whether two stimuli match across a delay.",
        str(results).rstrip(),
        f"figure: {in_a_line(folder / 'learning_curves.png')}",
        f"report: {in_a_line(folder / 'report.html')}, for a browser",
        f"next:   tca compare --config {in_a_line(folder / 'comparison.json')} --rules {NEXT}, "
        "with other rules of `tca list rules`",
    ]
    return CommandOutput("\n\n".join(lines[:2]) + "\n\n" + "\n".join(lines[2:]), 1 if result.failures else 0)
