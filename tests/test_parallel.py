"""Many items in several processes: what one of them does is nobody else's trouble."""

from __future__ import annotations

import os
import signal
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


def threads(item: int) -> int:
    np.ones((4, 4)) @ np.ones((4, 4))  # loads BLAS
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_uses_one_thread_whatever_the_number_of_processes(workers):
    done = run_all(threads, range(2), "working", workers)
    assert [one.result for one in done] == [1, 1]
