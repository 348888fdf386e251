"""What a running service holds, and how a request reaches it."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, cast
from urllib.parse import urlsplit

import numpy as np
from fastapi import Depends, Request
from numpy.typing import NDArray

from braincase.answer.compose import Answer
from braincase.cohort.stored_image import StoredImage
from braincase.gallery import Gallery, StoredCase, open_gallery
from braincase.images.geometry import Grid, grid_of_resolution
from braincase.population.controls import ControlModel
from braincase.population.spread import Spread
from braincase.population.volumes import image_of_case
from braincase.search.pipeline import FinishedSearch
from braincase.web import schema
from braincase.web.catalogue import Catalogue
from braincase.web.expiring_cache import ExpiringCache
from braincase.web.intake.private_folders import private_folder
from braincase.web.intake.queue import Upload, UploadQueue
from braincase.web.intake.worker import Embedded
from braincase.web.monitoring import Metrics
from braincase.web.problems import not_found
from braincase.web.security.audit import Audit
from braincase.web.security.gate import Gate, Person
from braincase.web.service_settings import ServiceSettings

#: Where a curator's cases go, beside the gallery's own files.
SAVED = "saved"
#: A calibration holds while the number of cases changes by no more than this share.
DRIFT = 0.02
#: Decoded volumes kept for slices and maps; at 2 mm each is 0.6 MB.
KEPT_VOLUMES = 32


@dataclass(frozen=True, eq=False)
class Search:
    """One finished search: what was asked by whom, what was found, and all that is said of it.

    `told` is `answer` as it is sent.
    """

    wish: schema.SearchRequest
    owner: str
    asked: FinishedSearch
    answer: Answer
    told: schema.Answer

    @property
    def upload(self) -> str | None:
        """The upload it was made with."""
        return self.wish.upload


@dataclass(eq=False)
class Learned:
    """What is normal, and how much people usually differ, in a gallery of `cases`.

    `since` is the version, and `since_cases` its size, for which answers were calibrated.
    """

    since: int = 0
    since_cases: int = 0
    cases: int = 0
    normal: ControlModel | None = None
    spread: Spread | None = None


@dataclass(frozen=True, eq=False)
class Service:
    """One running service.

    Parameters
    ----------
    settings
        What it was told.
    gallery, writer
        Two connections to one gallery, so that readers never wait for the curator.
    grid
        Of all volumes.
    desk
        Where uploads are prepared; None without a model.
    catalogue
        All cases of the newest version.
    searches
        Searches that no permalink can hold, by their token.
    volumes
        Decoded volumes.
    folder
        A private folder for files made on the way, such as maps.
    audit, metrics, gate
        Who did what; how much and how fast; who may.
    learned, lock
        What was learned from images when it was first asked for; and who may learn.
    """

    settings: ServiceSettings
    gallery: Gallery
    writer: Gallery
    grid: Grid
    desk: UploadQueue | None
    catalogue: Catalogue
    searches: ExpiringCache[Search]
    volumes: ExpiringCache[NDArray[np.uint8]]
    folder: Path
    audit: Audit
    metrics: Metrics
    gate: Gate
    learned: Learned = field(default_factory=Learned)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def name(self) -> str:
        """What the gallery is called: never the path of its folder."""
        return Path(urlsplit(self.settings.gallery).path).name

    def close(self) -> None:
        """Let go of everything, and remove every private file."""
        if self.desk is not None:
            self.desk.close()
        self.gallery.close()
        self.writer.close()
        self.audit.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def uploaded(self, job: str, person: Person) -> tuple[Upload, Embedded]:
        """Return a person's uploaded scan that is ready.

        Raises
        ------
        Problem
            If it is not there, not theirs, or not ready.
        """
        if self.desk is None:
            raise not_found("upload: the service was started without a model")
        return self.desk.finished(job, person.owner)

    def saved_folder(self) -> Path:
        """Return the cohort folder of the cases that curators keep."""
        return self.gallery.folder / SAVED

    def known_since(self, version: int) -> int | None:
        """Return the version whose calibration holds for another, or None for its own.

        Calibrating takes hundreds of searches; while curators add case by case, that of an earlier
        version holds until the gallery has changed by `DRIFT`.
        """
        n_cases = self.gallery.info(version).cases
        with self.lock:
            held = self.learned
            near = abs(n_cases - held.since_cases) <= DRIFT * held.since_cases
            if not near and version >= held.since:
                held.since, held.since_cases, near = version, n_cases, True
            return held.since if near and version >= held.since else None

    def volume_of(self, case: StoredCase) -> NDArray[np.uint8]:
        """Return a case's standard volume.

        Raises
        ------
        Problem
            If its image is not there.
        ScanError
            If it is damaged.
        """
        key = f"{case.image}:{case.image_hash}"
        held = self.volumes.get(key)
        if held is None:
            held = self.volumes.put(key, self.image_of(case).volume)
        return held

    def image_of(self, case: StoredCase) -> StoredImage:
        """Return a case's image, its file and its volume, if it is what the gallery says.

        Raises
        ------
        Problem
            If its image is not there.
        ScanError
            If it is another.
        """
        if case.image is None or not case.image.is_file():
            raise not_found("image of this case; perhaps its cohort has been moved")
        return image_of_case(case, self.grid)


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
    audit = Audit(settings.audit)
    desk = (
        UploadQueue(settings.load, info.resolution_mm, settings.limits) if settings.load else None
    )
    return Service(
        settings=settings,
        gallery=gallery,
        writer=open_gallery(settings.gallery),
        grid=grid_of_resolution(info.resolution_mm),
        desk=desk,
        catalogue=Catalogue(gallery),
        searches=ExpiringCache(1000, settings.limits.keep_s),
        volumes=ExpiringCache(KEPT_VOLUMES, settings.limits.keep_s),
        folder=private_folder("service"),
        audit=audit,
        metrics=Metrics(desk),
        gate=gate,
    )


def _service_of(request: Request) -> Service:
    return cast(Service, request.app.state.service)


#: The service, as a parameter of an endpoint.
Here = Annotated[Service, Depends(_service_of)]


@cache
def region_names() -> list[str]:
    """Return every region that a search can be restricted to."""
    from braincase.images.atlas import load_regions

    return load_regions().choices()
