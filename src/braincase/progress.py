"""Progress bars, all of one look, on a terminal; plain lines of progress in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Move a progress bar on by some steps, with a note behind it."""

    def __call__(self, steps: int = 1, note: str = "", /) -> None:
        """Count these steps as done."""
        ...


#: Work shorter than this shows no bar.
PATIENCE_S = 2.0
#: Without a terminal a line is printed this often.
LINE_EVERY_S = 10.0


@contextmanager
def progress(label: str, total: int) -> Iterator[Advance]:
    """Show a progress bar with count and time left on standard error; yield what advances it.

    Without a terminal a plain line is printed every ten seconds and at the end.
    """
    if not sys.stderr.isatty():
        yield _plain(label, total)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            bar.update(task, advance=steps, note=note)

        yield advance


@contextmanager
def progress_if_slow(label: str, total: int, patience_s: float = PATIENCE_S) -> Iterator[Advance]:
    """Show a progress bar only for work that turns out to take longer than `patience_s`."""
    started, waiting = time.monotonic(), 0
    shown: Advance | None = None
    with ExitStack() as stack:

        def advance(steps: int = 1, note: str = "") -> None:
            nonlocal shown, waiting
            waiting += steps
            if shown is None and time.monotonic() - started > patience_s:
                shown = stack.enter_context(progress(label, total))
            if shown is not None:
                shown(waiting, note)
                waiting = 0

        yield advance


def _plain(label: str, total: int, every_s: float = LINE_EVERY_S) -> Advance:
    done, started = 0, time.monotonic()
    told = started

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done, told
        done += steps
        now = time.monotonic()
        if not done or (done < total and now - told < every_s):
            return
        told = now
        left = (now - started) / done * (total - done)
        still = f", {_duration(left)} left" if done < total else ""
        print(f"{label}: {done}/{total}{still} {note}".rstrip(), file=sys.stderr, flush=True)

    return advance


def _duration(seconds: float) -> str:
    """Return a time as people say it: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
