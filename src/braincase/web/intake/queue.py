"""The upload queue: a bounded job queue of uploaded scans with one worker process.

Each upload has a private folder, which is removed a while after the scan was last used. What was
uploaded is deleted as soon as it is prepared; only the prepared volume is kept.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import queue
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from braincase.cohort.derivatives import write_image
from braincase.errors import BraincaseError
from braincase.images.geometry import grid_of_resolution
from braincase.models.encoder import Encoder
from braincase.sources.scratch import remove_scratch
from braincase.web.intake.confined import Confinement, start
from braincase.web.intake.private_folders import private_folder
from braincase.web.intake.upload import ENDED, PREPARED, STAGES, Status, Upload
from braincase.web.intake.worker import Embedded, Ready, Step, Task
from braincase.web.problems import Problem, not_found, problem_of
from braincase.web.service_settings import Limits

POLL_S = 0.1
#: Seconds for a killed worker's children to be gone.
GROUP_S = 2.0


class UploadQueue:
    """A job queue of all uploads, and the thread that sends them to the worker process."""

    def __init__(self, load: Callable[[], Encoder], resolution_mm: int, limits: Limits) -> None:
        """Start the worker, so that the model is loaded when the first scan comes."""
        self.limits = limits
        self._load = load
        self._grid = grid_of_resolution(resolution_mm)
        self._private = private_folder("uploads")
        self._folder = self._private / "jobs"
        self._folder.mkdir(mode=0o700)
        self._uploads: dict[str, Upload] = {}
        self._arriving: dict[str, Upload] = {}
        self._lock = threading.Lock()
        self._waiting: queue.Queue[Upload | None] = queue.Queue()
        self._closing = threading.Event()
        self._worker: tuple[BaseProcess, Connection] | None = None
        self._thread = threading.Thread(target=self._run, name="braincase-uploads", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the worker and remove every upload."""
        self._closing.set()
        self._waiting.put(None)
        self._thread.join(timeout=10)
        self._stop_worker()
        remove_scratch(self._private)

    def open_folder(self, owner: str, suffix: str) -> Upload:
        """Return a new upload with a private folder; it is queued by `submit`.

        Until then it has no place in the queue, so that slow senders keep nobody waiting.

        Raises
        ------
        Problem
            If the queue is full already, or too many uploads are on their way.
        """
        self.sweep()
        with self._lock:
            self._refuse_when_full(owner)
            self._refuse_arrival(owner)
            job = secrets.token_urlsafe(16)
            folder = self._folder / job
            folder.mkdir(mode=0o700)
            upload = Upload(job, owner, folder, folder / f"scan{suffix}")
            self._arriving[job] = upload
            return upload

    def _refuse_when_full(self, owner: str) -> None:
        busy = [u.owner for u in self._uploads.values() if u.status.state not in ENDED]
        if len(busy) >= self.limits.queue:
            text = f"{len(busy)} scans are being prepared already. Please try again in a minute."
            raise Problem(503, "queue_full", text, 60)
        if busy.count(owner) >= self.limits.person_queue:
            text = f"{busy.count(owner)} scans of yours are being prepared. Please wait for them."
            raise Problem(503, "queue_full", text, 60)

    def _refuse_arrival(self, owner: str) -> None:
        owners = [upload.owner for upload in self._arriving.values()]
        if owners.count(owner) >= self.limits.person_arriving:
            text = f"{owners.count(owner)} files of yours are on their way. Please wait for them."
            raise Problem(503, "queue_full", text, 10)
        if len(owners) >= self.limits.arriving:
            text = "Too many files are on their way. Please try again in a minute."
            raise Problem(503, "queue_full", text, 60)

    def submit(self, upload: Upload) -> None:
        """Put an upload that has arrived into the queue.

        Raises
        ------
        Problem
            If the queue has become full meanwhile.
        """
        with self._lock:
            self._refuse_when_full(upload.owner)
            self._arriving.pop(upload.job, None)
            self._uploads[upload.job] = upload
            upload.used = time.monotonic()
        self._waiting.put(upload)

    def find(self, job: str, owner: str | None) -> Upload:
        """Return an upload; `owner` None sees all.

        Raises
        ------
        Problem
            If there is none, or it is another person's.
        """
        with self._lock:
            upload = self._uploads.get(job)
            if upload is None or owner not in (None, upload.owner):
                raise not_found("such upload (it may have been deleted after a while)")
            upload.used = time.monotonic()
            return upload

    def finished(self, job: str, owner: str | None) -> tuple[Upload, Embedded]:
        """Return an upload that is ready to be searched with.

        Raises
        ------
        Problem
            If it is not there, or not ready.
        """
        upload = self.find(job, owner)
        if upload.scan is None:
            state, message = upload.status.state, upload.status.message
            code = 422 if state == "failed" else 409
            raise Problem(code, f"upload_{state}", f"This scan is not ready: {message}")
        return upload, upload.scan

    def cancel(self, upload: Upload) -> None:
        """Stop its work, wherever that is, and delete all of it."""
        upload.cancelled.set()
        with self._lock:
            if upload.status.state == "queued":
                self._end(upload, Status("cancelled", "cancelled", 0.0, STAGES["cancelled"]))
            elif upload.status.state in ENDED:
                self._uploads.pop(upload.job, None)
                shutil.rmtree(upload.folder, ignore_errors=True)

    def discard(self, upload: Upload) -> None:
        """Forget an upload that never arrived whole."""
        with self._lock:
            self._arriving.pop(upload.job, None)
        shutil.rmtree(upload.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Expire what has not been used for a while, and the oldest where there are too many."""
        now = time.monotonic()
        with self._lock:
            ended = [u for u in self._uploads.values() if u.status.state in ENDED]
            ended.sort(key=lambda upload: upload.used)
            surplus = max(len(ended) - self.limits.kept_uploads, 0)
            for place, upload in enumerate(ended):
                if place < surplus or now - upload.used > self.limits.keep_s:
                    del self._uploads[upload.job]
                    shutil.rmtree(upload.folder, ignore_errors=True)

    def counts(self) -> dict[str, int]:
        """Return how many uploads are in each state."""
        with self._lock:
            states: list[str] = [upload.status.state for upload in self._uploads.values()]
        return {state: states.count(state) for state in ("queued", "running", *ENDED)}

    def _run(self) -> None:
        with contextlib.suppress(BraincaseError, Problem):  # whoever uploads gets the message
            self._ready_worker()
        while not self._closing.is_set():
            try:
                upload = self._waiting.get(timeout=5.0)
            except queue.Empty:
                self.sweep()
                continue
            if upload is not None and not upload.cancelled.is_set():
                self._serve(upload)

    def _serve(self, upload: Upload) -> None:
        """Run one job in the worker process to its end."""
        self._set_status(upload, Status("running", "loading", 0.0, STAGES["loading"]))
        status, scan = Status("cancelled", "cancelled", 0.0, STAGES["cancelled"]), None
        try:
            for report in self._reports(upload):
                if isinstance(report, Step):
                    text = STAGES[report.name]
                    self._set_status(upload, Status("running", report.name, report.progress, text))
                else:
                    scan = report
                    write_image(upload.volume, scan.volume, self._grid)
                    status = Status("done", "done", 1.0, STAGES["done"], scan.notes)
        except BraincaseError as error:
            status = _failed(problem_of(error))
        except Problem as problem:
            status = _failed(problem)
        except OSError as error:
            text = f"The scan could not be kept ({error.strerror})."
            status = _failed(Problem(503, "disk", text))
        with self._lock:
            if upload.cancelled.is_set():
                status, scan = Status("cancelled", "cancelled", 0.0, STAGES["cancelled"]), None
            upload.scan = scan
            self._end(upload, status)

    def _end(self, upload: Upload, status: Status) -> None:
        """Note the end, and delete what was uploaded; the caller holds the lock."""
        upload.status, upload.used = status, time.monotonic()
        for entry in list(upload.folder.iterdir()) if upload.folder.exists() else ():
            if entry.name != PREPARED or status.state != "done":
                _delete(entry)

    def _reports(self, upload: Upload) -> Iterator[Step | Embedded]:
        """Yield what the worker tells of one upload; stop the worker if it is cancelled or late."""
        _, pipe = self._ready_worker()
        unpacked = upload.folder / "unpacked"
        unpacked.mkdir(mode=0o700)
        limits = self.limits
        pipe.send(Task(upload.source, unpacked, limits.unpacked_bytes, limits.unpacked_files))
        until = time.monotonic() + self.limits.job_s
        while True:
            report = self._next_report(upload, pipe, until)
            if report is None:
                return
            yield report
            if isinstance(report, Embedded):
                return

    def _next_report(
        self, upload: Upload, pipe: Connection, until: float
    ) -> Step | Embedded | None:
        """Wait for the worker's next word; None when the upload was cancelled meanwhile."""
        while not pipe.poll(POLL_S):
            if upload.cancelled.is_set() or self._closing.is_set():
                self._stop_worker()
                return None
            if time.monotonic() > until:
                self._stop_worker()
                text = (
                    f"The scan was not ready after {self.limits.job_s:.0f} seconds and was stopped."
                )
                raise Problem(422, "too_slow", text)
        try:
            report = pipe.recv()
        except (EOFError, OSError):
            self._stop_worker()
            text = (
                "The scan could not be prepared: the work ended early, perhaps for lack of memory."
            )
            raise Problem(422, "worker_ended", text) from None
        if isinstance(report, BraincaseError):
            raise report
        return report  # type: ignore[no-any-return]

    def _ready_worker(self) -> tuple[BaseProcess, Connection]:
        """Return the worker, started if there is none, its model loaded."""
        if self._worker is None or not self._worker[0].is_alive():
            self._stop_worker()
            context = multiprocessing.get_context("spawn")  # this process has threads
            ours, theirs = context.Pipe()
            limits = self.limits
            shut = Confinement(
                os.getpid(), self._folder, limits.memory_bytes, limits.unpacked_bytes
            )
            arguments = (shut, pickle.dumps(self._load), theirs)
            process = context.Process(target=start, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._worker = (process, ours)
            self._await_model(process, ours)
        return self._worker

    def _await_model(self, process: BaseProcess, pipe: Connection) -> None:
        while not pipe.poll(POLL_S):
            if self._closing.is_set() or not process.is_alive():
                break
        try:
            report = pipe.recv() if pipe.poll() else None
        except (EOFError, OSError):
            report = None
        if isinstance(report, Ready):
            return
        self._stop_worker()
        if isinstance(report, BraincaseError):
            raise report
        raise Problem(503, "no_model", "The model could not be loaded; the log says why.")

    def _stop_worker(self) -> None:
        if self._worker is not None:
            process, pipe = self._worker
            self._worker = None
            _kill_group(process)
            pipe.close()

    def _set_status(self, upload: Upload, status: Status) -> None:
        with self._lock:
            upload.status = replace(status, notes=upload.status.notes)


def _kill_group(process: BaseProcess) -> None:
    """Kill the worker with all it has started, and wait until none of them can write any more."""
    group = process.pid
    process.kill()  # it may be too young to lead its group
    until = time.monotonic() + GROUP_S
    with contextlib.suppress(ProcessLookupError, PermissionError):
        while group is not None and time.monotonic() < until:
            os.killpg(group, signal.SIGKILL)
            process.join(0.01)
    process.join()


def _failed(problem: Problem) -> Status:
    return Status("failed", "failed", 1.0, problem.message)


def _delete(entry: Path) -> None:
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)
