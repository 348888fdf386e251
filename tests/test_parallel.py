"""Many items in several processes: what one of them does is nobody else's trouble."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
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


def threads(item: int) -> int:
    np.ones((4, 4)) @ np.ones((4, 4))  # loads BLAS
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_uses_one_thread_whatever_the_number_of_processes(workers):
    done = run_all(threads, range(2), "working", workers)
    assert [one.result for one in done] == [1, 1]
