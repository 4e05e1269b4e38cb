"""A process that is killed while it shows progress stops no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from tca.utils.progress_bar import ProgressBar


def forked(work: str) -> str:
    """Fork a child that is killed after some work, show progress in the parent, and return its output."""
    lines = [
        "import os, signal",
        "from tca.utils.progress_bar import ProgressBar",
        "ProgressBar(total=1, disable=True)",
        "child = os.fork()",
        "if not child:",
        f"    {work}",
        "    os.kill(os.getpid(), signal.SIGKILL)",
        "print(os.WTERMSIG(os.waitpid(child, 0)[1]))",
        "ProgressBar(total=1, disable=True)",
        "print('went on')",
    ]
    with subprocess.Popen([sys.executable, "-u", "-c", "\n".join(lines)], stdout=subprocess.PIPE, text=True) as process:
        timer = threading.Timer(20.0, process.kill)
        timer.start()
        printed = process.communicate()[0]
        timer.cancel()
    return printed


def test_a_forked_process_killed_in_a_bar_stops_no_other() -> None:
    assert forked("ProgressBar.get_lock().acquire()").split("\n")[:2] == [str(int(signal.SIGKILL)), "went on"]


def test_a_fork_while_a_thread_draws_leaves_the_child_a_free_lock() -> None:
    held, released = threading.Event(), threading.Event()

    def draw() -> None:
        with ProgressBar.get_lock():
            held.set()
            released.wait()

    thread = threading.Thread(target=draw)
    thread.start()
    held.wait()
    child = os.fork()
    if not child:
        os._exit(0 if ProgressBar.get_lock().acquire(blocking=False) else 1)
    released.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
