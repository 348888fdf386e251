"""The worker process as the service holds it: started, asked, judged by its answers, killed."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import pickle
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess

from braincase.errors import BraincaseError
from braincase.images.geometry import Grid
from braincase.json_values import JsonObject
from braincase.models.encoder import Encoder
from braincase.web.intake.channel import Channel
from braincase.web.intake.confined import Confinement, start
from braincase.web.intake.messages import (
    Embedded,
    MessageError,
    Ready,
    Report,
    Task,
    decode_report,
    encode_task,
    largest_payload,
)
from braincase.web.problems import Problem

POLL_S = 0.1
#: Seconds for a killed worker's children to be gone.
GROUP_S = 2.0


class WorkerProcess:
    """A running worker and the channel to it.

    Parameters
    ----------
    load
        Loads the model, there.
    confinement
        How it is shut in.
    grid
        The grid that its volumes must have.
    """

    def __init__(self, load: Callable[[], Encoder], confinement: Confinement, grid: Grid) -> None:
        context = multiprocessing.get_context("spawn")  # this process has threads
        ours, theirs = socket.socketpair()
        arguments = (confinement, pickle.dumps(load), theirs)
        process = context.Process(target=start, args=arguments, daemon=True)
        with theirs:
            process.start()
        self._process: BaseProcess = process
        self._channel, self._grid = Channel(ours), grid
        self._view: Grid | None = None
        #: How it prepares scans; told before it has read any.
        self.recipe: JsonObject = {}

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    def await_model(self, given_up: Callable[[], bool]) -> None:
        """Wait until the model is loaded.

        Raises
        ------
        BraincaseError
            If it cannot be loaded.
        Problem
            If the worker ends without a reason, or is given up.
        """
        while not self.has_answer() and not given_up() and self.is_alive:
            pass
        report = self.receive() if self.has_answer() else None
        if isinstance(report, BraincaseError):
            raise report
        if not isinstance(report, Ready):
            raise Problem(503, "no_model", "The model could not be loaded; the log says why.")
        self.recipe = report.recipe

    def has_answer(self) -> bool:
        """Wait a moment and return whether the worker says something, or has ended."""
        return self._channel.poll(POLL_S)

    def send(self, task: Task) -> None:
        """Send a task.

        Raises
        ------
        Problem
            If the worker is gone, or does not take it.
        """
        self._view = task.view_grid
        try:
            self._channel.send(encode_task(task))
        except OSError:
            raise _ended() from None

    def receive(self) -> Report:
        """Return what the worker says.

        Raises
        ------
        Problem
            If it has ended, or says what no worker says: its memory may be a file's.
        """
        try:
            told = self._channel.receive(largest_payload(self._grid, self._view))
            report = decode_report(*told, self._grid, self._view)
        except MessageError as error:
            raise distrusted(str(error)) from None
        except (EOFError, OSError):
            raise _ended() from None
        return replace(report, recipe=self.recipe) if isinstance(report, Embedded) else report

    def kill(self) -> None:
        """Kill it with all it has started, and wait until none of them can write any more."""
        group = self._process.pid
        self._process.kill()  # it may be too young to lead its group
        until = time.monotonic() + GROUP_S
        with contextlib.suppress(ProcessLookupError, PermissionError):
            while group is not None and time.monotonic() < until:
                os.killpg(group, signal.SIGKILL)
                self._process.join(0.01)
        self._process.join()
        self._channel.close()


def distrusted(what: str) -> Problem:
    """Return the failure of an upload whose worker cannot be trusted any more, and log it."""
    logging.getLogger("braincase").warning(
        "The upload worker sent %s and was stopped: the uploaded file may have taken it over.", what
    )
    text = "The scan could not be prepared: the work gave an answer that cannot be right."
    return Problem(422, "worker_distrusted", text)


def _ended() -> Problem:
    text = "The scan could not be prepared: the work ended early, perhaps for lack of memory."
    return Problem(422, "worker_ended", text)
