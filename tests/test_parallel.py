"""Many items in several processes: what one of them does is nobody else's trouble."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
from threadpoolctl import threadpool_info

from braincase.errors import LostProcessError, ScanError
from braincase.parallel import run_all


def double(item: int) -> int:
    if item == 3:
        raise ScanError("3", "no good")
    return 2 * item


def killed_at(fatal: int, item: int) -> int:
    if item == fatal:
        os.kill(os.getpid(), signal.SIGKILL)  # what the system does when memory runs out
    return item


def killed_once(folder: Path, item: int) -> int:
    if item == 2 and not (folder / "killed").exists():
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_that_fails_is_told_and_the_others_are_done(workers):
    done = {one.item: one for one in run_all(double, range(6), "doubling", workers)}
    assert {item: one.result for item, one in done.items()} == {
        0: 0, 1: 2, 2: 4, 3: None, 4: 8, 5: 10,
    }  # fmt: skip
    assert isinstance(done[3].error, ScanError)


def test_an_item_that_gets_its_process_killed_is_told_and_the_others_are_done():
    done = {one.item: one for one in run_all(partial(killed_at, 3), range(8), "working", 2)}
    assert sorted(done) == list(range(8))
    assert [item for item, one in done.items() if one.error] == [3]
    assert isinstance(done[3].error, LostProcessError)


def test_a_process_that_was_killed_by_chance_costs_nothing(tmp_path):
    done = list(run_all(partial(killed_once, tmp_path), range(5), "working", 2))
    assert (tmp_path / "killed").exists()
    assert sorted(one.item for one in done) == list(range(5))
    assert not any(one.error for one in done)


#: The first worker is killed while the second is being started: the broken pool ends no other.
KILLS_AT_START = """
import os, signal, sys, time
from multiprocessing.context import SpawnProcess
from braincase.parallel import run_all
from test_parallel import double

starting, started = SpawnProcess.start, []


def kill_first(when):
    if len(started) == 1 and when == sys.argv[1] and started[0].is_alive():
        os.kill(started[0].pid, signal.SIGKILL)
        started[0].join()
        time.sleep(1.0)  # until the pool has seen it


def start(process):
    kill_first("before")
    starting(process)
    kill_first("after")
    started.append(process)


if __name__ == "__main__":
    SpawnProcess.start = start
    print(sorted(done.result for done in run_all(double, [0, 1, 2, 4], "", 2)))
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_killed_while_the_next_is_started_costs_nothing(tmp_path, when):
    (tmp_path / "driver.py").write_text(KILLS_AT_START)
    run = subprocess.run(
        [sys.executable, tmp_path / "driver.py", when],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert run.stdout == "[0, 2, 4, 8]\n"


#: Two workers that are busy for a while; says who they are.
BUSY = """
import time
from multiprocessing import active_children
from threading import Timer
from braincase.parallel import run_all

if __name__ == "__main__":
    Timer(1.0, lambda: print(*(child.pid for child in active_children()), flush=True)).start()
    list(run_all(time.sleep, [600.0, 600.0], "", 2))
"""


def test_workers_end_when_their_parent_is_killed(tmp_path):
    (tmp_path / "driver.py").write_text(BUSY)
    with subprocess.Popen(
        [sys.executable, tmp_path / "driver.py"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as run:
        workers = [psutil.Process(int(pid)) for pid in run.stdout.readline().split()]
        time.sleep(2.0)  # until they work
        run.kill()
    assert len(workers) == 2
    _, alive = psutil.wait_procs(workers, timeout=10)
    for worker in alive:
        worker.kill()
    assert not alive


def threads(item: int) -> int:
    np.ones((4, 4)) @ np.ones((4, 4))  # loads BLAS
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_uses_one_thread_whatever_the_number_of_processes(workers):
    done = run_all(threads, range(2), "working", workers)
    assert [one.result for one in done] == [1, 1]


#: Two items that leave their file when they are done, inside a command that Ctrl-C stops.
STOPPED = """
import signal, sys, time
from functools import partial
from pathlib import Path
from braincase.cli import main
from braincase.files import atomic_write
from braincase.parallel import run_all


def slow(seconds, name):
    with atomic_write(Path(name)) as aside:
        aside.write_text("half")
        time.sleep(seconds)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it

    @main.app.command()
    def work(seconds: float) -> None:
        list(run_all(partial(slow, seconds), [f"item-{n}" for n in range(6)], "", 2))

    main.main()
"""


@pytest.mark.parametrize(
    ("seconds", "presses", "done"), [(4.0, 1, 2), (600.0, 2, 0)], ids=["once", "twice"]
)
def test_ctrl_c_finishes_what_has_begun_and_a_second_one_drops_it(tmp_path, seconds, presses, done):
    (tmp_path / "driver.py").write_text(STOPPED)
    with subprocess.Popen(
        [sys.executable, "driver.py", "work", str(seconds)], cwd=tmp_path, text=True,
        stderr=subprocess.PIPE, start_new_session=True,
    ) as run:  # fmt: skip
        try:
            while len(list(tmp_path.glob(".writing-*"))) < 2:
                time.sleep(0.05)
            for _ in range(presses):
                os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to the workers too
                time.sleep(0.5)
            _, said = run.communicate(timeout=30)
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 130, said
    assert said.splitlines()[0].startswith("braincase: stopping: finishing the 2 begun; Ctrl-C")
    assert said.splitlines()[-1].endswith("the same command goes on where it was")
    assert "Traceback" not in said
    assert len(list(tmp_path.glob("item-*"))) == done
    assert not list(tmp_path.glob(".writing-*"))
