"""Parallel map: one function over many items in several processes of one thread, with progress."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Generic, TypeVar

from threadpoolctl import threadpool_limits

from braincase.errors import BraincaseError, LostProcessError
from braincase.progress import progress

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Libraries that would start a thread a core inside each worker (measured: a factor 5 slower).
THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
#: Seconds that a worker has to remove its temporary files when it is ended.
PATIENCE_S = 3.0


@dataclass(frozen=True)
class Done(Generic[Item, Result]):
    """The result of one item, or the error that a user can understand."""

    item: Item
    result: Result | None
    error: BraincaseError | None


def default_workers() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(
    function: Callable[[Item], Result], items: Sequence[Item], label: str, workers: int = 0
) -> Iterator[Done[Item, Result]]:
    """Yield each item's result or error as it completes; one failing item never stops the others.

    Nor does one whose process is killed (out of memory): it ends in a `LostProcessError`.

    Parameters
    ----------
    function
        A module-level function (or a `functools.partial` of one) of one item.
    items
        What to work on.
    label
        What the progress bar says.
    workers
        Number of processes; 0 means one a core, 1 means in this process.

    Raises
    ------
    Exception
        An error that is no `BraincaseError` is a defect, or a full disk, and stops the run.
    KeyboardInterrupt
        At Ctrl-C, once what has begun is finished; at once if it is pressed again.
    """
    workers = min(workers or default_workers(), max(len(items), 1))
    with progress(label, len(items)) as advance:
        if workers == 1:
            results = _in_this_process(function, items)
        else:
            results = _in_processes(function, items, workers)
        for done in results:
            advance()
            yield done


def _in_this_process(
    function: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[Done[Item, Result]]:
    for item in items:
        with threadpool_limits(1):  # as in the workers of a pool: more threads only wait (measured)
            done = _try(function, item)
        yield done


def _in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[Done[Item, Result]]:
    """Run items in several processes; one that loses its process is tried once more, alone."""
    waiting = dict(enumerate(items))
    while waiting:
        try:
            yield from _in_pool(function, waiting, workers)
        except BrokenProcessPool:
            # It cannot be told whose process was killed. Items are begun in order: one of these.
            for number in [*waiting][:workers]:
                alone = {number: waiting.pop(number)}
                try:
                    yield from _in_pool(function, dict(alone), 1)
                except BrokenProcessPool:
                    yield Done(alone[number], None, _lost(alone[number]))


def _in_pool(
    function: Callable[[Item], Result], waiting: dict[int, Item], workers: int
) -> Iterator[Done[Item, Result]]:
    """Yield results, and take from `waiting` what is done."""
    others = set(active_children())
    inherited = {name: os.environ.get(name) for name in THREAD_LIMITS}
    os.environ.update(dict.fromkeys(THREAD_LIMITS, "1"))  # read by the workers when they start
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_quiet_worker)
    begun: dict[Future[Done[Item, Result]], int] = {}
    try:
        yield from _results(pool, function, waiting, workers, begun)
        others.update(active_children())  # all is done: these end by themselves
    except BrokenProcessPool:
        # A broken pool ends its workers, but not one that was being started just then; it would
        # wait for that one for ever.
        begun.clear()
        _end(set(active_children()) - others)
        raise
    finally:
        try:
            _finish(pool, len(begun))
        except KeyboardInterrupt:
            if not begun:
                raise  # nothing else has stopped the run
        finally:
            # Nobody else would end a worker that is still busy, or waits for a pool that was left
            # while it started: this process would wait for it for ever.
            _end(set(active_children()) - others)
            for name, value in inherited.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _results(
    pool: ProcessPoolExecutor,
    function: Callable[[Item], Result],
    waiting: dict[int, Item],
    workers: int,
    begun: dict[Future[Done[Item, Result]], int],
) -> Iterator[Done[Item, Result]]:
    """Yield results; `begun` holds an item for each worker, so that no more has to be finished."""
    coming = iter([*waiting.items()])
    while True:
        try:
            for number, item in islice(coming, workers - len(begun)):
                begun[pool.submit(_try, function, item)] = number
        except (ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the system has no process left
            # A worker was killed while the next was being started: the pool's pipes are closed.
            raise BrokenProcessPool(str(error)) from error
        if not begun:
            return
        for future in wait(begun, return_when=FIRST_COMPLETED).done:
            number = begun.pop(future)
            done = future.result()
            del waiting[number]
            yield done


def _finish(pool: ProcessPoolExecutor, begun: int) -> None:
    """Wait for what has begun, and say so: it may take long."""
    if begun:
        text = f"stopping: finishing the {begun} begun; Ctrl-C again drops what is not finished"
        print(f"braincase: {text}", file=sys.stderr, flush=True)
    pool.shutdown(wait=True, cancel_futures=True)


def _end(workers: Collection[BaseProcess]) -> None:
    """End workers: they remove their temporary files, or are killed where that takes long."""
    for worker in workers:
        worker.terminate()
    until = time.monotonic() + PATIENCE_S
    for worker in workers:
        worker.join(max(until - time.monotonic(), 0.0))
        if worker.is_alive():
            worker.kill()
            worker.join()


def _lost(item: object) -> LostProcessError:
    advice = "Give it more memory, or use fewer workers."
    return LostProcessError(str(item), "its process was killed, twice", "", advice)


def _try(function: Callable[[Item], Result], item: Item) -> Done[Item, Result]:
    try:
        return Done(item, function(item), None)
    except BraincaseError as error:
        return Done(item, None, error)
    except _WorkerEnded:  # the pool would catch it, and give this worker the next item
        os._exit(1)


class _WorkerEnded(SystemExit):
    """Whoever started this worker has ended it."""


def _quiet_worker() -> None:
    """Leave Ctrl-C to the parent, which cancels what has not begun; end when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _clean_up)
    Thread(target=_end_with_parent, daemon=True).start()


def _clean_up(number: int, frame: object) -> None:
    """Leave what is being done, and remove its temporary files on the way."""
    signal.signal(number, signal.SIG_IGN)  # a second one must not break that off
    raise _WorkerEnded(1)


def _end_with_parent() -> None:
    """Wait for the parent's end: a worker would work on beside the next run, or wait for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
