"""The upload queue: a bounded job queue of uploaded scans with one worker process.

Each upload has a private folder, which is removed a while after the scan was last used. What was
uploaded is deleted as soon as it is prepared; only the prepared volume is kept. The worker reads
foreign files, so it may write into one folder only, where an upload lies while it is worked on.
"""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from braincase.cohort.derivatives import write_image
from braincase.cohort.view import ViewChoice, ViewVolume, pack_view, write_packed
from braincase.errors import BraincaseError
from braincase.images.geometry import VIEW_GRIDS, grid_of_resolution
from braincase.models.encoder import Encoder
from braincase.sources.scratch import make_scratch, remove_scratch
from braincase.web.intake.confined import Confinement
from braincase.web.intake.messages import Embedded, SeriesChoice, Step, Task
from braincase.web.intake.upload import ENDED, PREPARED, STAGES, VIEW, Status, Upload
from braincase.web.intake.worker_process import WorkerProcess, distrusted
from braincase.web.problems import Problem, not_found, problem_of
from braincase.web.schema import WorkerState
from braincase.web.service_settings import Limits


class UploadQueue:
    """A job queue of all uploads, and the thread that sends them to the worker process."""

    def __init__(
        self,
        load: Callable[[], Encoder],
        resolution_mm: int,
        limits: Limits,
        view: ViewChoice | None = None,
        observe: Callable[[str, float], None] = lambda state, seconds: None,
    ) -> None:
        """Start the worker, so that the model is loaded when the first scan comes.

        `view` is the view volume that scans get; `observe` is told how each job ended and how many
        seconds it took.
        """
        self.limits, self.view, self._observe = limits, view, observe
        self._load = load
        self._grid = grid_of_resolution(resolution_mm)
        self._private = make_scratch("web-uploads")
        self._folder, self._work = self._private / "uploads", self._private / "jobs"
        for folder in (self._folder, self._work):
            folder.mkdir(mode=0o700)
        self._uploads: dict[str, Upload] = {}
        self._arriving: dict[str, Upload] = {}
        self._lock = threading.Lock()
        self._waiting: queue.Queue[Upload | None] = queue.Queue()
        self._closing = threading.Event()
        self._worker: WorkerProcess | None = None
        self._loaded: bool | None = None
        self._thread = threading.Thread(target=self._run, name="braincase-uploads", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the worker and remove every upload."""
        self._closing.set()
        self._waiting.put(None)
        self._thread.join(timeout=10)
        self._stop_worker()
        remove_scratch(self._private)

    def open_folder(self, owner: str, suffix: str, series: int | None = None) -> Upload:
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
            upload = Upload(job, owner, folder, folder / f"scan{suffix}", series)
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

    def adopt(self, owner: str, scan: Embedded) -> Upload:
        """Take a scan that was prepared elsewhere as an upload that is done.

        Raises
        ------
        Problem
            If there is no room for it.
        """
        upload = self.open_folder(owner, "")
        write_image(upload.volume, scan.volume, self._grid)
        upload.scan = scan
        with self._lock:
            self._arriving.pop(upload.job, None)
            self._uploads[upload.job] = upload
            self._end(upload, Status("done", "done", 1.0, STAGES["done"], scan.notes))
        return upload

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

    def worker_state(self) -> WorkerState:
        """Return how it stands with the worker process, and whether it could load the model."""
        worker, loaded = self._worker, self._loaded
        if loaded is None:
            return "starting"
        if not loaded:
            return "failing"
        return "ready" if worker is not None and worker.is_alive else "stopped"

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
        began = time.monotonic()
        self._set_status(upload, Status("running", "loading", 0.0, STAGES["loading"]))
        status, scan = Status("cancelled", "cancelled", 0.0, STAGES["cancelled"]), None
        try:
            for report in self._reports(upload):
                if isinstance(report, Step):
                    text = STAGES[report.name]
                    self._set_status(upload, Status("running", report.name, report.progress, text))
                elif isinstance(report, SeriesChoice):
                    status = _undecided(report)
                else:
                    scan = self._kept(upload, report)
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
        self._observe(status.state, time.monotonic() - began)

    def _kept(self, upload: Upload, scan: Embedded) -> Embedded:
        """Write the volumes of a prepared scan; what stays in memory is without the large one."""
        write_image(upload.volume, scan.volume, self._grid)
        if scan.view is None or self.view is None:
            return scan
        mm, brain_only = self.view.resolution_mm, self.view.brain_only
        view = ViewVolume(scan.view, VIEW_GRIDS[mm], brain_only, brain_only)
        write_packed(upload.view, pack_view(view))
        upload.view_mm = mm
        return replace(scan, view=None)

    def _end(self, upload: Upload, status: Status) -> None:
        """Note the end, and delete what was uploaded; the caller holds the lock."""
        upload.status, upload.used = status, time.monotonic()
        for entry in list(upload.folder.iterdir()) if upload.folder.exists() else ():
            if entry.name not in (PREPARED, VIEW) or status.state != "done":
                _delete(entry)

    def _reports(self, upload: Upload) -> Iterator[Step | SeriesChoice | Embedded]:
        """Yield what the worker tells of one upload; stop the worker if it is cancelled or late."""
        worker = self._ready_worker()
        work = self._work / upload.job
        try:
            for folder in (work, work / "unpacked"):
                folder.mkdir(mode=0o700)
            source = upload.source.rename(work / upload.source.name)
            limits = self.limits
            bounds = limits.unpacked_bytes, limits.unpacked_files
            worker.send(Task(source, work / "unpacked", *bounds, upload.series, self.view))
            yield from self._answers(upload, worker)
        except Problem:  # it is late, gone, or not to be trusted
            self._stop_worker()
            raise
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _answers(
        self, upload: Upload, worker: WorkerProcess
    ) -> Iterator[Step | SeriesChoice | Embedded]:
        until, done = time.monotonic() + self.limits.job_s, -1.0
        while True:
            while not worker.has_answer():
                if upload.cancelled.is_set() or self._closing.is_set():
                    self._stop_worker()
                    return
                if time.monotonic() > until:
                    late = f"after {self.limits.job_s:.0f} seconds and was stopped"
                    raise Problem(422, "too_slow", f"The scan was not ready {late}.")
            match worker.receive():
                case Step(progress=progress) as step if progress > done:
                    done = progress
                    yield step
                case Embedded() | SeriesChoice() as ended:
                    yield ended
                    return
                case BraincaseError() as error:
                    raise error
                case _:
                    raise distrusted("steps in another order")

    def _ready_worker(self) -> WorkerProcess:
        """Return the worker, started if there is none, its model loaded."""
        if self._worker is None or not self._worker.is_alive:
            self._stop_worker()
            limits = self.limits
            shut = Confinement(os.getpid(), self._work, limits.memory_bytes, limits.unpacked_bytes)
            self._worker = WorkerProcess(self._load, shut, self._grid)
            try:
                self._worker.await_model(self._closing.is_set)
            except (BraincaseError, Problem):
                self._loaded = False
                self._stop_worker()
                raise
            self._loaded = True
        return self._worker

    def _stop_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()

    def _set_status(self, upload: Upload, status: Status) -> None:
        with self._lock:
            upload.status = replace(status, notes=upload.status.notes)


def _failed(problem: Problem) -> Status:
    return Status("failed", "failed", 1.0, problem.message)


def _undecided(choice: SeriesChoice) -> Status:
    """Return the end of a job that cannot know which series is meant."""
    names = ", ".join(f"series {one.number} {one.description!r}" for one in choice.series)
    text = f"This scan: not sure which is the T1-weighted one of {names}. Choose one of them."
    return Status("failed", "failed", 1.0, text, series=choice.series)


def _delete(entry: Path) -> None:
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)
