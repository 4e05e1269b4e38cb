"""Worker processes on this machine.

Unlike a pool of the standard library, one that dies takes nothing with it but the call that it was working on.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import cast

import torch

from tca.experiments.sweep.executors import Answer, Call, Crew, CrewError
from tca.experiments.sweep.progress import plain_lock

__all__ = ["Processes"]

FORKED_FROM_IS_GONE = 255  # what multiprocessing says of a process whose fate nobody is left to report


@dataclass(eq=False)
class _Member:
    """A process, the pipe to it, and what it is doing."""

    process: ForkServerProcess
    pipe: Connection
    started: bool = False
    key: str | None = None


class Processes(Crew):
    """Processes with one thread each, started when they are needed; one that has died is replaced.

    Args:
        workers: How many work at the same time.
    """

    def __init__(self, workers: int) -> None:
        """Start no process yet."""
        self._workers = workers
        # Forked from a process that has imported everything and begun nothing: at once, and without threads of torch.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tca.experiments.sweep.forkserver", "tca.experiments.sweep.jobs"])
        self._waiting: deque[Call] = deque()
        self._members: list[_Member] = []

    def submit(self, call: Call) -> None:
        """Give a call to a process that is free, or keep it until one is.

        Args:
            call: What to call.
        """
        self._waiting.append(call)
        self._hand_out()

    def answer(self, seconds: float | None = None) -> Answer | None:
        """Return the next answer, or ``None`` if there is none within the time.

        Args:
            seconds: How long to wait.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            pipes = [each.pipe for each in self._members]
            ready = wait(pipes, left)
            for member in [each for each in self._members if each.pipe in ready]:
                if found := self._heard(member):
                    return found
            if not ready or not self._members:
                return None

    def trouble(self) -> str:
        """Return nothing: processes that cannot start are an error."""
        return ""

    def close(self) -> None:
        """Let processes at rest end and stop the others at once; records survive that."""
        self._waiting.clear()
        for member in self._members:
            member.pipe.close()
            if member.key is not None:
                member.process.kill()
        for member in self._members:
            member.process.join()
        self._members.clear()

    def _hand_out(self) -> None:
        while self._waiting:
            free = next((each for each in self._members if each.key is None), None)
            if free is None and len(self._members) < self._workers:
                free = self._hire()
            if free is None:
                return
            call = self._waiting.popleft()
            free.key = call.key
            with contextlib.suppress(ConnectionError):  # it has died since, which `answer` finds at the end of the pipe
                free.pipe.send(call)

    def _hire(self) -> _Member:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_work, args=(there,), daemon=True)
        with _shielded():
            process.start()
        there.close()  # so that the end of the process is the end of the pipe
        self._members.append(_Member(process, here))
        return self._members[-1]

    def _heard(self, member: _Member) -> Answer | None:
        """Return what a process has answered; ``None`` if it has only started, or died at rest."""
        try:
            found = member.pipe.recv()
        except (EOFError, ConnectionError):
            return self._buried(member)
        if not member.started:
            member.started = True
            return None
        member.key = None
        self._hand_out()
        return cast(Answer, found)

    def _buried(self, member: _Member) -> Answer | None:
        self._dismiss(member)
        code = member.process.exitcode
        how = _death(code)
        if not member.started and not _killed(code):
            raise CrewError(
                f"a worker process could not start: {how}; a script that starts workers must do so below "
                "if __name__ == '__main__'"
            )
        return None if member.key is None else Answer(member.key, lost=how)

    def _dismiss(self, member: _Member) -> None:
        self._members.remove(member)
        member.process.join()
        member.pipe.close()


@contextlib.contextmanager
def _shielded() -> Iterator[None]:
    """Keep interruptions until a process has started, which then never has any: they are for the one that asks."""
    resource_tracker.ensure_running()  # which lets interruptions through again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _killed(code: int | None) -> bool:
    """Return whether somebody killed a process, or the one it was forked from, so that another may fare better."""
    return code is None or code < 0 or code == FORKED_FROM_IS_GONE


def _death(code: int | None) -> str:
    """Return in words how a process ended.

    >>> _death(-9), _death(3)
    ('killed by SIGKILL', 'ended with status 3')
    """
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with status {code}"


def _work(pipe: Connection) -> None:
    """Answer calls until the pipe is closed; end at once if the process that asks is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is for the process that asks
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    plain_lock()
    with contextlib.suppress(EOFError, OSError):  # the process that asks is no more, or has closed the pipe
        pipe.send(None)
        while True:
            call: Call = pipe.recv()
            pipe.send(_answered(call))


def _answered(call: Call) -> Answer:
    try:
        found = Answer(call.key, call.function(*call.arguments))
    except (Exception, SystemExit) as error:
        error.add_note(f"in a worker process:\n{traceback.format_exc()}")
        found = Answer(call.key, error=error)
    try:
        pickle.loads(pickle.dumps(found))
    except Exception:
        what = RuntimeError(f"what {call.function.__name__} gave cannot be sent: {found.error or found.value!r}")
        return Answer(call.key, error=what)
    return found


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
