"""The application state: what a running service holds, as a FastAPI dependency of its endpoints."""

from __future__ import annotations

import shutil
import tempfile
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Annotated, cast
from urllib.parse import urlsplit

import numpy as np
from fastapi import Depends, Request
from numpy.typing import NDArray

from braincase.cohort.stored_image import StoredImage
from braincase.cohort.view import ViewVolume, decode_view, grid_of_view
from braincase.errors import ScanError
from braincase.gallery import Gallery, StoredCase, open_gallery
from braincase.images.geometry import VIEW_GRIDS, Grid, grid_of_resolution
from braincase.population.usual import Usual
from braincase.population.volumes import image_of_case, view_of_case
from braincase.sources.scratch import make_scratch
from braincase.web.catalogue import Catalogue
from braincase.web.disk import bytes_in, free_bytes
from braincase.web.expiring_cache import ExpiringCache
from braincase.web.intake.messages import Embedded
from braincase.web.intake.queue import UploadQueue
from braincase.web.intake.upload import Upload
from braincase.web.monitoring import Gauges, Metrics
from braincase.web.problems import not_found
from braincase.web.search_cache import SearchCache
from braincase.web.security.audit import AuditLog
from braincase.web.security.audit_once import AuditOnce
from braincase.web.security.gate import Gate, Principal
from braincase.web.service_settings import ServiceSettings

#: A calibration holds while the number of cases changes by no more than this share.
DRIFT = 0.02
#: Decoded volumes in memory for slices and maps; at 2 mm each is 0.6 MB.
CACHED_VOLUMES = 32
#: The same of view volumes; at 1 mm each is 8 MB.
CACHED_VIEWS = 6


@dataclass(eq=False)
class Learned:
    """The version of the gallery whose lessons hold, and how many cases it has."""

    since: int = 0
    since_cases: int = 0


@dataclass(frozen=True, eq=False)
class Service:
    """The state of one running service.

    Parameters
    ----------
    settings
        Its configuration.
    gallery, writer
        Two connections to one gallery, so that readers never wait for the curator.
    grid
        Of all volumes.
    queue
        The upload queue; None without a model.
    catalogue
        All cases of the newest version.
    searches
        Answered searches, by permalink or token.
    volumes, views
        Decoded standard volumes, and view volumes.
    folder
        A private folder for files made on the way, such as reports.
    audit, once, metrics, gate
        Who did what; who did it again and again; how much and how fast; who may.
    learned, usual, lock
        Whose lessons hold; what images usually look like, by the filter of the controls and the
        version, once it was asked for; and who may change them.
    saving
        Held while a case is saved, files and gallery.
    """

    settings: ServiceSettings
    gallery: Gallery
    writer: Gallery
    grid: Grid
    queue: UploadQueue | None
    catalogue: Catalogue
    searches: SearchCache
    volumes: ExpiringCache[NDArray[np.uint8]]
    views: ExpiringCache[NDArray[np.uint8]]
    folder: Path
    audit: AuditLog
    once: AuditOnce
    metrics: Metrics
    gate: Gate
    learned: Learned = field(default_factory=Learned)
    usual: dict[tuple[str, int], Usual] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    saving: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """What the gallery is called: never the path of its folder."""
        return Path(urlsplit(self.settings.gallery).path).name

    def close(self) -> None:
        """Close every connection, and remove every private file."""
        if self.queue is not None:
            self.queue.close()
        self.gallery.close()
        self.writer.close()
        self.audit.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def uploaded(self, job: str, principal: Principal) -> tuple[Upload, Embedded]:
        """Return a person's uploaded scan that is ready.

        Raises
        ------
        Problem
            If it is not there, not theirs, or not ready.
        """
        if self.queue is None:
            raise not_found("upload: the service was started without a model")
        upload, scan = self.queue.finished(job, principal.owner)
        self.note_others_upload(upload, principal)
        return upload, scan

    def note(self, principal: Principal, action: str, **details: object) -> None:
        """Write into the audit log what a user is about to do, or to be shown."""
        self.audit.write(principal.name, action, **principal.by_token(), **details)

    def recorded(
        self, principal: Principal, action: str, **details: object
    ) -> AbstractContextManager[dict[str, object]]:
        """Write a change into the audit log: the intent before it, the result after it."""
        return self.audit.recorded(principal.name, action, **principal.by_token(), **details)

    def note_view(self, principal: Principal, **details: object) -> None:
        """Write into the audit log that a user sees a case; once for its many slices."""
        self.once.write(principal.name, "view case", **principal.by_token(), **details)

    def note_others_upload(self, upload: Upload, principal: Principal) -> None:
        """Write into the audit log that an administrator opens somebody else's upload."""
        if upload.owner != principal.name:
            details = {"job": upload.job[:6], "owner": upload.owner}
            self.once.write(
                principal.name, "open other's upload", **principal.by_token(), **details
            )

    def folders(self) -> dict[str, Path]:
        """Return the folders that the service writes into, by what is in them."""
        temporary = Path(tempfile.gettempdir())
        gallery, audit = self.gallery.folder, self.audit.path.parent
        return {"gallery": gallery, "audit": audit, "temporary": temporary}

    def known_since(self, version: int) -> int | None:
        """Return the version whose calibration holds for another, or None for its own.

        Calibrating takes hundreds of searches; while curators add case by case, that of an earlier
        version holds until the gallery has changed by `DRIFT`.
        """
        n_cases = self.gallery.info(version).cases
        with self.lock:
            learned = self.learned
            near = abs(n_cases - learned.since_cases) <= DRIFT * learned.since_cases
            if not near and version >= learned.since:
                learned.since, learned.since_cases, near = version, n_cases, True
            return learned.since if near and version >= learned.since else None

    def volume_of(self, case: StoredCase) -> NDArray[np.uint8]:
        """Return a case's standard volume, from memory where it was decoded before.

        Raises
        ------
        Problem
            If its image is not there, or cannot be read.
        """
        key = f"{case.image}:{case.image_hash}"
        volume = self.volumes.get(key)
        if volume is None:
            volume = self.image_of(case).volume
            self.volumes.put(key, volume)
        return volume

    def view_of(self, case: StoredCase) -> StoredImage:
        """Return a case's view volume, its file and its voxels, if it is what the gallery says.

        Raises
        ------
        Problem
            If the case has none, or it is not there, damaged, or another.
        """
        try:
            return view_of_case(case)
        except ScanError:
            raise not_found("view volume of this case") from None

    def view_slices_of(self, case: StoredCase) -> tuple[NDArray[np.uint8], Grid]:
        """Return the voxels of a case's view volume, from memory where they were decoded before.

        Raises
        ------
        Problem
            As `view_of`.
        """
        grid = grid_of_view(case.view.name) if case.view else None
        if grid is None:
            raise not_found("view volume of this case")
        key = f"{case.view}:{case.view_hash}"
        voxels = self.views.get(key)
        if voxels is None:
            voxels = self.views.put(key, self.view_of(case).volume)
        return voxels, grid

    def view_of_upload(self, upload: Upload) -> ViewVolume | None:
        """Return the view volume of an upload that is ready, where it has one."""
        if upload.view_mm is None:
            return None
        grid = VIEW_GRIDS[upload.view_mm]
        voxels = self.views.get(upload.job)
        if voxels is None:
            try:
                packed = upload.view.read_bytes()
            except OSError:
                raise not_found("view volume of this upload") from None
            voxels = self.views.put(upload.job, decode_view(packed, upload.view, grid))
        brain_only = self.settings.view is not None and self.settings.view.brain_only
        return ViewVolume(voxels, grid, brain_only, brain_only)

    def image_of(self, case: StoredCase) -> StoredImage:
        """Return a case's image, its file and its volume, if it is what the gallery says.

        Raises
        ------
        Problem
            If its image is not there, damaged, or another.
        """
        try:
            return image_of_case(case, self.grid)
        except ScanError:
            text = "image of this case; perhaps its cohort has been moved"
            raise not_found(text) from None


def open_service(settings: ServiceSettings) -> Service:
    """Open gallery and audit log, and start the worker.

    Raises
    ------
    GalleryError
        If there is no gallery.
    FingerprintError
        If the model is not the gallery's.
    """
    gallery = open_gallery(settings.gallery, settings.fingerprint)
    info = gallery.info()
    gate = Gate(settings)
    audit = AuditLog(settings.audit)
    limits = settings.limits
    if not settings.needs_login:  # everybody is one person
        limits = replace(limits, person_queue=limits.queue, person_arriving=limits.arriving)
    metrics = Metrics()
    queue = None
    if settings.load:
        queue = UploadQueue(
            settings.load, info.resolution_mm, limits, settings.view, metrics.prepared
        )
    service = Service(
        settings=settings,
        gallery=gallery,
        writer=open_gallery(settings.gallery),
        grid=grid_of_resolution(info.resolution_mm),
        queue=queue,
        catalogue=Catalogue(gallery),
        searches=SearchCache(settings.limits.keep_s),
        volumes=ExpiringCache(CACHED_VOLUMES, settings.limits.keep_s),
        views=ExpiringCache(CACHED_VIEWS, settings.limits.keep_s),
        folder=make_scratch("web-service"),
        audit=audit,
        once=AuditOnce(audit),
        metrics=metrics,
        gate=gate,
    )
    metrics.watch(partial(_gauges, service))
    return service


def _gauges(service: Service) -> Gauges:
    """Return the numbers of this moment."""
    info = service.gallery.info()
    folder = service.gallery.folder
    return Gauges(
        uploads=service.queue.counts() if service.queue else {},
        gallery={"cases": info.cases, "people": info.people, "version": info.version},
        gallery_bytes=bytes_in(folder),
        free_bytes={name: free_bytes(place) for name, place in service.folders().items()},
    )


def _service_of(request: Request) -> Service:
    return cast(Service, request.app.state.service)


#: The service, as a parameter of an endpoint.
CurrentService = Annotated[Service, Depends(_service_of)]


@cache
def region_names() -> list[str]:
    """Return every region that a search can be restricted to."""
    from braincase.images.atlas import load_regions

    return load_regions().choices()
