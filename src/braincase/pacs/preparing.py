"""The T1w of a study, prepared and embedded by the confined worker of the reading room.

Headers choose the series here (`sources.dicom`, which reads no pixels); the pixels of that series
are read by the worker alone. A worker that dies, hangs or says what none says is killed: the study
is tried again, the node goes on.
"""

from __future__ import annotations

import os
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from braincase.errors import BraincaseError, ScanError
from braincase.images.geometry import Grid
from braincase.models.encoder import Encoder
from braincase.pacs.settings import NodeLimits
from braincase.sources.dicom import read_dicom
from braincase.sources.scan import Scan
from braincase.web.intake.confined import Confinement
from braincase.web.intake.messages import Embedded, Step, Task
from braincase.web.intake.worker_process import WorkerProcess
from braincase.web.problems import Problem


class WorkerError(BraincaseError):
    """The worker ended early, was late, or is not to be trusted."""


def choose(images: Path) -> Scan:
    """Choose the T1w series of a study's images by their headers.

    Raises
    ------
    ScanError
        If there is none, or several people's.
    """
    scans, census = read_dicom(images)
    if len(scans) == 1:
        return scans[0]
    reasons = "; ".join([*dict.fromkeys(why for _, why in census.dropped)][:5])
    raise ScanError("study", f"{len(scans) or 'no'} 3-D T1w series ({reasons})", "one")


class Preparer:
    """The worker process, started when it is first needed and after each end.

    Parameters
    ----------
    load
        Loads the model, there.
    folder
        The worker's own, in the spool.
    grid
        Of the volumes.
    limits
        Memory and time for one study.
    """

    def __init__(
        self, load: Callable[[], Encoder], folder: Path, grid: Grid, limits: NodeLimits
    ) -> None:
        self._load, self._folder, self._grid, self._limits = load, folder, grid, limits
        self._worker: WorkerProcess | None = None

    def start(self) -> None:
        """Start the worker and load the model.

        Raises
        ------
        BraincaseError
            If it cannot be loaded.
        """
        if self._worker is not None and self._worker.is_alive:
            return
        self.close()
        jobs, limits = self._folder / "jobs", self._limits
        shut = Confinement(os.getpid(), jobs, limits.memory_bytes, 2 * limits.study_bytes)
        self._worker = WorkerProcess(self._load, shut, self._grid)
        try:
            self._worker.await_model(lambda: False)
        except Problem as problem:
            self.close()
            raise WorkerError("worker", problem.message) from None

    def close(self) -> None:
        """Stop the worker."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()

    def prepare(self, scan: Scan, name: str) -> Embedded:
        """Have one series prepared and embedded.

        Parameters
        ----------
        scan
            From `choose`.
        name
            Of the job: a keyed hash.

        Raises
        ------
        ScanError
            If it is no T1-weighted head, or cannot be read.
        WorkerError
            If the worker could not end its work.
        """
        self.start()
        assert self._worker is not None
        job = self._folder / "jobs" / name
        shutil.rmtree(job, ignore_errors=True)
        (job / "unpacked").mkdir(mode=0o700, parents=True)
        source = job / "scan.zip"
        try:
            with zipfile.ZipFile(source, "w") as archive:  # stored: numbers for names, as they come
                for number, file in enumerate(scan.files):
                    archive.write(scan.path / file, f"{number:06d}.dcm")
            bounds = self._limits.study_bytes, self._limits.study_instances
            self._worker.send(Task(source, job / "unpacked", *bounds))
            return self._answer(self._worker)
        except Problem as problem:
            self.close()
            raise WorkerError("worker", problem.message) from None
        finally:
            shutil.rmtree(job, ignore_errors=True)

    def _answer(self, worker: WorkerProcess) -> Embedded:
        until = time.monotonic() + self._limits.study_s
        while True:
            while not worker.has_answer():
                if time.monotonic() > until:
                    raise Problem(422, "too_slow", f"not ready after {self._limits.study_s:.0f} s")
            match worker.receive():
                case Step():
                    continue
                case Embedded() as scan:
                    return scan
                case BraincaseError() as error:
                    raise error
                case _:
                    raise Problem(422, "worker_distrusted", "an answer that cannot be right")
