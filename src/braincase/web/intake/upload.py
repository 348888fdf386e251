"""One upload: an uploaded scan on its way through the queue, and the status of its job."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from braincase.web import schema
from braincase.web.intake.messages import Embedded, OfferedSeries

PREPARED, VIEW = "prepared.nii.gz", "view.nii.gz"
#: What a job says while it waits, and as each step of the work begins.
STAGES = {
    "queued": "waiting for its turn",
    "loading": "loading the model",
    "unpacking": "unpacking the file",
    "reading": "reading the scan",
    "looking": "looking at what kind of image it is",
    "preparing": "finding the brain and bringing it to standard space",
    "judging": "checking the quality and embedding",
    "done": "ready to search",
    "cancelled": "cancelled",
}
ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Status:
    """The status of a job."""

    state: schema.JobState = "queued"
    stage: str = "queued"
    progress: float = 0.0
    message: str = STAGES["queued"]
    notes: tuple[str, ...] = ()
    series: tuple[OfferedSeries, ...] = ()


@dataclass(eq=False)
class Upload:
    """One job: an uploaded scan on its way; the lock of the queue guards all changes.

    Parameters
    ----------
    job
        Its name: a secret of 128 bits.
    owner
        Who uploaded it; nobody else sees it.
    folder
        Its private folder.
    source
        The uploaded file, until it is prepared.
    series
        The number of the DICOM series to take, where somebody has chosen one.
    status
        How far it is.
    scan
        What became of it.
    view_mm
        Voxel edge of its view volume, where it has one.
    used
        When it was last used, on the clock of `time.monotonic`.
    """

    job: str
    owner: str
    folder: Path
    source: Path
    series: int | None = None
    status: Status = field(default_factory=Status)
    scan: Embedded | None = None
    view_mm: int | None = None
    used: float = field(default_factory=time.monotonic)
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def volume(self) -> Path:
        """Where the prepared volume lies."""
        return self.folder / PREPARED

    @property
    def view(self) -> Path:
        """Where the view volume lies, if there is one."""
        return self.folder / VIEW

    def body(self) -> schema.JobBody:
        """Return the job's status as JSON."""
        status = self.status
        return schema.JobBody(
            job=self.job,
            state=status.state,
            stage=status.stage,
            progress=status.progress,
            message=status.message,
            notes=list(status.notes),
            view_mm=self.view_mm,
            series=[schema.SeriesBody(**vars(one)) for one in status.series],
        )
