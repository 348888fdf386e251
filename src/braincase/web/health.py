"""Health and readiness checks: gallery, upload worker, disk and audit log of a running service."""

from __future__ import annotations

from typing import Literal

from braincase.errors import BraincaseError
from braincase.version import __version__
from braincase.web import schema
from braincase.web.disk import free_bytes
from braincase.web.problems import Problem
from braincase.web.service import CurrentService, Service
from braincase.web.service_settings import MIB

#: With less than this free a disk is called almost full: an upload may need that much.
LEAST_FREE_BYTES = 512 * MIB
#: States of a part that make the whole unhealthy.
FAILING = ("failing", "almost full")


def health(service: CurrentService) -> schema.ServiceHealthBody:
    """Check gallery, worker, disk and audit log; 503 where one of them fails, which it names."""
    told = health_of(service)
    parts = told.model_dump(include={"gallery", "worker", "disk", "audit"})
    if failing := [f"{name} {state}" for name, state in parts.items() if state in FAILING]:
        raise Problem(503, "failing", f"Not everything works: {', '.join(failing)}.")
    return told


def ready(service: CurrentService) -> schema.ServiceHealthBody:
    """Check whether everything works and the model is loaded; 503 until then."""
    told = health(service)
    if told.worker == "starting":
        raise Problem(503, "starting", "The model is being loaded: worker starting.", 5)
    return told


def health_of(service: Service) -> schema.ServiceHealthBody:
    """Return what works; no paths, for anybody may ask."""
    gallery: Literal["ok", "failing"] = "ok"
    try:
        service.gallery.info()
    except (BraincaseError, OSError):
        gallery = "failing"
    return schema.ServiceHealthBody(
        version=__version__,
        gallery=gallery,
        worker=service.queue.worker_state() if service.queue else "none",
        disk=_disk_state(service),
        audit="ok" if service.audit.works else "failing",
    )


def _disk_state(service: Service) -> Literal["ok", "almost full"]:
    free = min(free_bytes(folder) for folder in service.folders().values())
    return "ok" if free >= LEAST_FREE_BYTES else "almost full"
