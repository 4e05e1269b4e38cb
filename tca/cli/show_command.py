"""The show command: settings, outcome and last measurements of a run, or a film of its policy."""

from __future__ import annotations

import io
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from tca.cli.command_parser import command_parser
from tca.cli.commands import CommandOutput
from tca.cli.parsers import add_folder, given_folder
from tca.cli.summary import show

__all__ = ["act", "parser"]

FPS = 30  # images a second
ROLLOUT = (
    "Save an episode of the most probable actions of a finished run as this animated GIF, in an environment that gives "
    "rewards only."
)


def parser() -> ArgumentParser:
    """Return the parser."""
    made = command_parser("tca show FOLDER [--rollout FILE.gif]")
    add_folder(made, "Record of a finished or unfinished run.")
    made.add_argument("--rollout", metavar="FILE.gif", help=ROLLOUT)
    made.add_argument("--seed", type=int, default=0, help="Seed of the environment of --rollout.")
    return made


def act(options: Namespace) -> CommandOutput:
    """Show a run."""
    folder = given_folder(options)
    return CommandOutput(
        show(folder) if options.rollout is None else filmed(folder, Path(options.rollout), options.seed)
    )


def filmed(folder: Path, path: Path, seed: int) -> str:
    """Save an episode of a finished run as an animated GIF, and return its return in a line.

    Args:
        folder: Record of the run.
        path: File to write.
        seed: Seed of the environment.

    Raises:
        ValueError: The file is no GIF, the run is in no environment that gives rewards only, or it cannot be drawn.
    """
    from PIL import Image

    from tca.experiments.records.files import explained, write_whole
    from tca.experiments.records.recorded_networks import read
    from tca.experiments.reinforcement.trained_policy import TrainedPolicy

    if path.suffix.lower() != ".gif":
        raise ValueError(f"rollout must be a file that ends in .gif, got {str(path)!r}")
    made = TrainedPolicy(read(folder)).rollout(seed, render=True)
    first, *others = (Image.fromarray(each) for each in made.frames)
    film = io.BytesIO()
    first.save(film, "GIF", save_all=True, append_images=others, duration=round(1000 / FPS), loop=0)
    with explained(path):
        write_whole(path, film.getvalue())
    return f"return {made.total:.4g} in {made.steps} steps with seed {seed}: {path}"
