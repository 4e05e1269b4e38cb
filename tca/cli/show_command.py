"""The show command: settings, outcome and last measurements of a run, or a film of its policy."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from tca.cli.command_parser import command_parser
from tca.cli.commands import CommandOutput
from tca.cli.parsers import add_folder, given_folder
from tca.cli.summary import show
from tca.utils.checks import whole

__all__ = ["act", "parser"]

RATE, WIDTH = 12.5, 320  # images a second, and their largest width and height in pixels
ROLLOUT = (
    "Save an episode of the most probable actions of a finished run as this animated GIF, in an environment that gives "
    "rewards only. It lasts as long as the episode."
)


def parser() -> ArgumentParser:
    """Return the parser."""
    made = command_parser("tca show FOLDER [--rollout FILE.gif]")
    add_folder(made, "Record of a finished or unfinished run.")
    made.add_argument("--rollout", metavar="FILE.gif", help=ROLLOUT)
    made.add_argument("--seed", type=int, default=0, help="Seed of the environment of --rollout.")
    made.add_argument("--rate", type=float, default=RATE, help="Most images a second of --rollout.")
    made.add_argument("--width", type=int, default=WIDTH, help="Largest width and height of --rollout in pixels.")
    return made


def act(options: Namespace) -> CommandOutput:
    """Show a run."""
    folder = given_folder(options)
    if options.rollout is None:
        return CommandOutput(show(folder))
    return CommandOutput(filmed(folder, Path(options.rollout), options.seed, options.rate, options.width))


def filmed(folder: Path, path: Path, seed: int, rate: float = RATE, width: int = WIDTH) -> str:
    """Save an episode of a finished run as an animated GIF, and return its return in a line.

    Args:
        folder: Record of the run.
        path: File to write.
        seed: Seed of the environment.
        rate: Most images a second of the environment's own time, default 12.5.
        width: Their largest width and height in pixels, default 320.

    Raises:
        ValueError: The file is no GIF, the run is in no environment that gives rewards only, or it cannot be drawn.
    """
    from tca.cli.film import animated
    from tca.experiments.records.files import explained, write_whole
    from tca.experiments.records.recorded_networks import read
    from tca.experiments.reinforcement.trained_policy import TrainedPolicy

    if path.suffix.lower() != ".gif":
        raise ValueError(f"rollout must be a file that ends in .gif, got {str(path)!r}")
    whole("width", width, 1)
    made = TrainedPolicy(read(folder)).rollout(seed, render=True, rate=rate)
    film = animated(made.frames, made.times, width)
    with explained(path):
        write_whole(path, film)
    return (
        f"return {made.total:.4g} in {made.steps} steps with seed {seed}: {path}, "
        f"{len(made.frames)} images in {made.times[-1]:.3g} s, {len(film) / 1e6:.2g} MB"
    )
