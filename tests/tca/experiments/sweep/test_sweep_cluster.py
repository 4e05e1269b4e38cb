"""Sweeps on real clusters of Dask: processes of their own, some of which are killed. Slow: `make test-cluster`."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tca.experiments import records
from tca.experiments.training.train import train
from tests.support.sweeps import (
    DEADLY,
    GRID,
    ROOT,
    SLOW,
    assert_same_bits,
    kill_client,
    locked,
    quiet,
    wait_for,
)
from tests.tca.experiments.records.test_records import content

pytest.importorskip("distributed", reason="the extra `scale` is missing")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")]

ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which every run of the grid has been trained by `train` alone."""
    folder = tmp_path_factory.mktemp("reference")
    for run in GRID:
        train(run, run.folder(folder), progress=False)
    return folder


def assert_same_weights(folder: Path, reference: Path) -> None:
    for run in GRID:
        swept, alone = (content(run.folder(root))["weights.safetensors"] for root in (folder, reference))
        assert swept == alone, run


@dataclass
class Site:
    """A scheduler and its workers, each a process of its own."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def hire(self) -> None:
        """Start a worker without a nanny: when it dies, nobody replaces it."""
        words = ["worker", self.address, "--nthreads=1", "--no-nanny", "--no-dashboard", "--host=127.0.0.1"]
        self.workers.append(dask(*words))


def dask(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *words], cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.DEVNULL
    )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Return a scheduler on 127.0.0.1 without workers so far."""
    file = tmp_path / "scheduler.json"
    with ExitStack() as stack:
        scheduler = dask("scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard", f"--scheduler-file={file}")
        stack.callback(end, scheduler)
        wait_for(lambda: file.exists() and file.read_text().endswith("}"))
        found = Site(json.loads(file.read_text())["address"], scheduler)
        stack.callback(lambda: [end(each) for each in found.workers])
        yield found


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Return how to start `tca sweep` on the slow runs, in a session of its own."""
    file = tmp_path / "slow.py"
    file.write_text(SLOW)

    def start(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tca", "sweep", str(file), f"--out={tmp_path / 'out'}", *words],
            cwd=ROOT, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip

    return start


def at_work(out: Path) -> list[int]:
    """Return the numbers of the processes that are training."""
    return [int((path.parent / ".lock").read_text()) for path in out.glob("*/checkpoint") if locked(path.parent)]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_cluster_on_this_machine_gives_the_same_bits(reference: Path, tmp_path: Path, workers: int) -> None:
    assert {each.outcome for each in quiet(GRID, tmp_path, "dask", workers=workers)} == {"completed"}
    assert_same_bits(tmp_path, reference)


def test_workers_of_a_cluster_that_die_are_replaced_and_a_run_that_kills_is_given_up(tmp_path: Path) -> None:
    """In processes of its own, as loading the file changes this one."""
    file = tmp_path / "deadly.py"
    file.write_text(DEADLY)
    program = (
        "from pathlib import Path\nfrom tca.experiments.sweep import read_runs\n"
        "from tests.support.sweeps import assert_bounded, quiet\n"
        "if __name__ == '__main__':\n"
        f"    out, file = Path({str(tmp_path / 'out')!r}), {str(file)!r}\n"
        "    assert_bounded(quiet(read_runs(file), out, 'dask', workers=2, source=file), out)\n"
    )
    (tmp_path / "script.py").write_text(program)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_killed_client_of_a_cluster_goes_on(reference: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "slow.py", tmp_path / "out"
    file.write_text(SLOW)
    kill_client(file, out, "dask")
    begun = list(out.glob("*/checkpoint"))
    wait_for(lambda: not any(locked(path.parent) for path in begun))
    assert not any(records.finished(path.parent) for path in begun)
    assert {each.outcome for each in quiet(GRID, out)} == {"completed"}
    assert_same_weights(out, reference)


@pytest.mark.parametrize("scheduler", ["dask", "processes"])
def test_an_interruption_is_one_line_and_leaves_no_process(
    command: Callable[..., subprocess.Popen[str]], tmp_path: Path, scheduler: str
) -> None:
    """As by Ctrl-C, which all processes of the session receive."""
    client = command(f"--scheduler={scheduler}", "--workers=2", "--quiet")
    wait_for(lambda: len(at_work(tmp_path / "out")) == 2 or client.poll() is not None)
    workers = at_work(tmp_path / "out")
    os.killpg(client.pid, signal.SIGINT)
    _, said = client.communicate(timeout=60)
    assert client.returncode == 130, said
    assert said.splitlines()[-1] == "tca: interrupted; the same command goes on where it was"
    wait_for(lambda: not any(alive(number) for number in workers))


def alive(number: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(number, 0)
        return "Z" not in Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    return False


def test_a_scheduler_elsewhere_whose_workers_come_late_and_die(
    command: Callable[..., subprocess.Popen[str]], site: Site, reference: Path, tmp_path: Path
) -> None:
    """The command waits for workers, loses one over a run, and has all results in the end."""
    client, out = command(f"--scheduler={site.address}"), tmp_path / "out"
    said: list[str] = []
    assert client.stderr is not None
    while not any("has no workers" in each for each in said):
        said.append(client.stderr.readline())
        assert said[-1], said
    site.hire()
    site.hire()
    wait_for(lambda: at_work(out))
    os.kill(at_work(out)[0], signal.SIGKILL)
    text, _ = client.communicate(timeout=120)
    assert client.returncode == 0
    assert "4 runs: 4 completed." in text
    with open(out / "slow.csv") as file:
        assert [row["record"] for row in csv.DictReader(file)] == [run.folder(out).name for run in GRID]
    assert_same_weights(out, reference)
    assert not list(out.glob("*/.begun-*"))


def test_two_clients_of_one_scheduler_and_one_that_is_killed(
    command: Callable[..., subprocess.Popen[str]], site: Site, reference: Path, tmp_path: Path
) -> None:
    """The client that is left has all results; what the other had begun is finished or gone on with, not done twice."""
    site.hire()
    site.hire()
    first, second = (command(f"--scheduler={site.address}") for _ in range(2))
    wait_for(lambda: at_work(tmp_path / "out"))
    first.send_signal(signal.SIGKILL)
    first.communicate()
    text, said = second.communicate(timeout=120)
    assert second.returncode == 0, said
    assert "4 runs: 4 completed." in text
    assert_same_weights(tmp_path / "out", reference)


def test_a_scheduler_that_goes_away_is_one_line(
    command: Callable[..., subprocess.Popen[str]], site: Site, reference: Path, tmp_path: Path
) -> None:
    """The same command goes on afterwards, here without a cluster."""
    site.hire()
    client = command(f"--scheduler={site.address}", "--quiet")
    wait_for(lambda: at_work(tmp_path / "out"))
    end(site.scheduler)
    _, said = client.communicate(timeout=120)
    assert client.returncode == 2
    assert said == f"tca: the Dask scheduler at {site.address} is gone\n"
    end(site.workers[0])
    assert {each.outcome for each in quiet(GRID, tmp_path / "out")} == {"completed"}
    assert_same_weights(tmp_path / "out", reference)
