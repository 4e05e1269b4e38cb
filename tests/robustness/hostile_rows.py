"""The table of damaged and hostile records: what each is made from, what is done to it, and who must refuse it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tca.experiments.records.sealed_json import companions, sealed
from tca.experiments.records.tensor_files import pack, unpack

Spoil = Callable[[Path, Path, Path], object]
ALL = frozenset({"report", "show", "sweep", "resume"})
WRITERS = frozenset({"sweep", "resume"})
NONE: frozenset[str] = frozenset()
FINISHED = ("run.json", "metrics.jsonl", "weights.safetensors", "learner.safetensors", "at_loss_0.715.safetensors",
            "result.json")  # fmt: skip
UNFINISHED = ("run.json", "metrics.jsonl", "checkpoint", "at_loss_0.715.safetensors")


@dataclass(frozen=True)
class Row:
    """A record that is spoilt.

    Args:
        name: What was done to it.
        base: The folder that it is a copy of: finished or unfinished.
        spoil: Does it, given the record, a folder outside, and the folder with other records.
        refused: Who must refuse it.
    """

    name: str
    base: str
    spoil: Spoil
    refused: frozenset[str] = ALL


def replaced(name: str, content: Callable[[bytes], bytes]) -> Spoil:
    return lambda record, outside, prepared: (record / name).write_bytes(content((record / name).read_bytes()))


def instead(name: str, make: Callable[[Path, Path], object]) -> Spoil:
    """Put something else in the place of a file; ``make`` gets its path and the folder outside."""

    def spoil(record: Path, outside: Path, prepared: Path) -> None:
        path = record / name
        shutil.copy(path, outside / "copy")
        path.unlink()
        make(path, outside)

    return spoil


def from_other(name: str, other: str) -> Spoil:
    return lambda record, outside, prepared: shutil.copy(prepared / other / name, record / name)


def sparse(path: Path, size: int) -> None:
    with open(path, "wb") as file:
        file.truncate(size)


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


CONTENTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut in the middle": lambda content: content[: len(content) // 2],
    "cut by a byte": lambda content: content[:-1],
    "one bit flipped": flipped,
    "zeros": lambda content: bytes(len(content)),
    "noise": lambda content: bytes((7 * place * place + 13) % 256 for place in range(len(content))),
    "null": lambda content: b"null",
    "100,000 brackets": lambda content: b"[" * 100_000,
    "twice": lambda content: content + content,
}
INSTEAD: dict[str, Callable[[Path, Path], object]] = {
    "missing": lambda path, outside: None,
    "a folder": lambda path, outside: path.mkdir(),
    "a pipe": lambda path, outside: os.mkfifo(path),
    "a link to /dev/zero": lambda path, outside: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path, outside: path.symlink_to(outside / "nothing"),
    "a link to a stranger's file": lambda path, outside: path.symlink_to(outside / "victim"),
    "3 GiB of nothing": lambda path, outside: sparse(path, 3 << 30),
    "1 TiB of nothing": lambda path, outside: sparse(path, 1 << 40),
}
LINKED = {
    "a link to a copy": lambda path, outside: path.symlink_to(outside / "copy"),
    "a hard link to a copy": lambda path, outside: os.link(outside / "copy", path),
}
HIDDEN = (".lock", ".run.json.tmp", ".metrics.jsonl.tmp", ".checkpoint.tmp", ".weights.safetensors.tmp",
          ".result.json.tmp", ".begun-0123456789ab", "measured.json")  # fmt: skip


def damaged_files() -> Iterator[Row]:
    """Yield every file of both records with everything that can become of it."""
    for base, files in (("finished", FINISHED), ("unfinished", UNFINISHED)):
        for name in files:
            for what, content in CONTENTS.items():
                late = (base, name, what) == ("unfinished", "metrics.jsonl", "twice")  # later than the checkpoint
                yield Row(f"{base} {name}: {what}", base, replaced(name, content), NONE if late else ALL)
            for what, make in INSTEAD.items():
                yield Row(f"{base} {name}: {what}", base, instead(name, make))
            for what, make in LINKED.items():
                yield Row(f"{base} {name}: {what}", base, instead(name, make), NONE)
            others = ("other", "again") if base == "finished" else ("other_unfinished",)
            for other in others:
                if (name, other) != ("run.json", "again") and not (name == "weights.safetensors" and other == "again"):
                    start = name == "at_loss_0.715.safetensors"  # kept after the same updates
                    same = start or (other == "again" and name == "learner.safetensors")
                    yield Row(f"{base} {name}: of {other}", base, from_other(name, other), NONE if same else ALL)


def links_in_the_way() -> Iterator[Row]:
    """Yield links to a stranger's file at names that the library writes to, or once wrote to."""
    for base in ("finished", "unfinished"):
        for name in HIDDEN:
            locks = base == "unfinished" and name == ".lock"
            for what, make in (("a link", os.symlink), ("a hard link", os.link)):

                def spoil(record: Path, outside: Path, _: Path, name: str = name, make: Any = make) -> None:
                    (record / name).unlink(missing_ok=True)
                    make(outside / "victim", record / name)

                yield Row(f"{base} {name}: {what}", base, spoil, WRITERS if locks else NONE)

    def moved(record: Path, outside: Path, _: Path) -> None:
        record.rename(outside / "moved")
        record.symlink_to(outside / "moved")

    yield Row("unfinished folder: a link", "unfinished", moved, WRITERS)


def edited(name: str, change: Callable[[dict[str, Any]], object], seal: bool = True) -> Spoil:
    """Change values in a JSON file, with a right checksum of its own, and of it in ``result.json``."""

    def spoil(record: Path, outside: Path, prepared: Path) -> None:
        values = json.loads((record / name).read_text())
        change(values)
        if seal:
            own = {key: each for key, each in values.items() if key not in ("format", "name", "sha256")}
            values = sealed(values["name"], own)
        (record / name).write_text(json.dumps(values))
        if seal and name == "run.json" and (record / "result.json").exists():
            edited("result.json", lambda its: its["companions"].update(companions(record, [name])))(
                record, outside, prepared
            )

    return spoil


def checkpointed(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """Change a checkpoint, with a right checksum of its own."""

    def spoil(record: Path, outside: Path, prepared: Path) -> None:
        packed = unpack((record / "checkpoint").read_bytes())
        change(packed)
        own = {key: each for key, each in packed["sealed"].items() if key not in ("format", "name", "sha256")}
        packed["sealed"] = sealed(packed["sealed"]["name"], own)
        (record / "checkpoint").write_bytes(pack(packed))

    return spoil


def measured(line: str) -> Spoil:
    """Put a line in the place of the last measurement, with right checksums in ``result.json``."""

    def spoil(record: Path, outside: Path, prepared: Path) -> None:
        path = record / "metrics.jsonl"
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines[:-1], line.replace("LAST", lines[-1])]) + "\n")
        edited("result.json", lambda its: its["companions"].update(companions(record, ["metrics.jsonl"])))(
            record, outside, prepared
        )

    return spoil


ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202e\n\rtca: all is well"
SEALED = {
    "outcome is none": edited("result.json", lambda its: its.update(outcome="fine")),
    "reason is a list": edited("result.json", lambda its: its.update(reason=["x"])),
    "step is 1e9": edited("result.json", lambda its: its.update(step=10**9)),
    "step is a word": edited("result.json", lambda its: its.update(step="6")),
    "step is -1": edited("result.json", lambda its: its.update(step=-1)),
    "no companions": edited("result.json", lambda its: its.update(companions={})),
    "companions is a list": edited("result.json", lambda its: its.update(companions=[])),
    "a companion elsewhere": edited("result.json", lambda its: its["companions"].update({"../../outside/victim": {}})),
    "a companion is a number": edited("result.json", lambda its: its["companions"].update({"learner.safetensors": 3})),
    "last is null": edited("result.json", lambda its: its.update(last=None)),
    "made with nothing": edited("result.json", lambda its: its.update(made_with=[3])),
    "result edited by hand": edited("result.json", lambda its: its.update(step=5), seal=False),
    "run edited by hand": edited("run.json", lambda its: its["run"].update(steps=7), seal=False),
    "run of another name": edited("run.json", lambda its: its["run"].update(steps=7)),
    "run is null": edited("run.json", lambda its: its.update(run=None)),
    "run without steps": edited("run.json", lambda its: its["run"].pop("steps")),
    "versions is a list": edited("run.json", lambda its: its.update(versions=[])),
    "title is a number": edited("run.json", lambda its: its.update(title=3)),
    "format 1": edited("run.json", lambda its: its.update(format=1), seal=False),
    "format 99": edited("result.json", lambda its: its.update(format=99), seal=False),
    "a measurement is a word": measured('"x"'),
    "a measurement without a step": measured("{}"),
    "a measurement with 5,000 digits": measured('{"step": ' + "9" * 5000 + "}"),
    "a measurement after 1e9 updates": measured(json.dumps({"step": 10**9, "train_loss": 0, "train_accuracy": 0,
                                                "test_loss": 0, "test_accuracy": 0, "elapsed": 0, "observed": {}})),
    "a measurement that is repeated": measured("LAST\nLAST"),
    "a measurement that is NaN": measured('{"step": NaN}'),
}  # fmt: skip
CHECKPOINTS = {
    "state is null": checkpointed(lambda its: its.update(state=None)),
    "step is 1e9": checkpointed(lambda its: its["state"].update(step=10**9)),
    "step is a word": checkpointed(lambda its: its["state"].update(step="4")),
    "lines are none": checkpointed(lambda its: its["sealed"].update(lines={"bytes": 0, "sha256": ""})),
    "lines are a word": checkpointed(lambda its: its["sealed"].update(lines="x")),
    "bytes are below zero": checkpointed(lambda its: its["sealed"]["lines"].update(bytes=-5)),
    "no companions": checkpointed(lambda its: its["sealed"].update(companions={})),
    "made with nothing": checkpointed(lambda its: its["sealed"].update(made_with=[])),
}
RESTORED = {
    "weights of another size": checkpointed(lambda its: its["state"]["net"].update(w_in=its["state"]["net"]["w_rec"])),
    "no weights": checkpointed(lambda its: its["state"].update(net={})),
    "no optimizer": checkpointed(lambda its: its["state"].pop("optimizer")),
}
ACCEPTED = {
    "escapes in the title": edited("run.json", lambda its: its.update(title=ESCAPE, measure=ESCAPE)),
    "escapes in the reason": edited("result.json", lambda its: its.update(reason=ESCAPE)),
    "escapes in the versions": edited("run.json", lambda its: its["versions"].update({ESCAPE: ESCAPE})),
    "a surrogate in the reason": edited("result.json", lambda its: its.update(reason="\ud800")),
    "a reason of a million letters": edited("result.json", lambda its: its.update(reason="x" * 10**6)),
}


def forged() -> Iterator[Row]:
    """Yield records whose checksums are right and whose values are not."""
    yield from (Row(f"finished: {name}", "finished", spoil) for name, spoil in SEALED.items())
    yield from (Row(f"finished: {name}", "finished", spoil, NONE) for name, spoil in ACCEPTED.items())
    yield from (Row(f"unfinished: {name}", "unfinished", spoil) for name, spoil in CHECKPOINTS.items())
    yield from (Row(f"unfinished: {name}", "unfinished", spoil, WRITERS) for name, spoil in RESTORED.items())


ROWS = (*damaged_files(), *links_in_the_way(), *forged())
