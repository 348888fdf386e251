"""Upload endpoints: streaming upload, job status, server-sent events, cancelling."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated
from urllib.parse import unquote

from fastapi import Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from braincase.errors import ScanError
from braincase.images.planes import planes_of
from braincase.web import schema
from braincase.web.image_responses import (
    PlaneName,
    file_response,
    planes_png,
    png_response,
    slice_png,
    tag_of,
)
from braincase.web.intake.archives import safe_suffix
from braincase.web.intake.queue import UploadQueue
from braincase.web.intake.upload import ENDED, Upload
from braincase.web.problems import Problem, disk_problem, not_found, problem_of
from braincase.web.security.gate import Principal, Reader
from braincase.web.service import CurrentService, Service
from braincase.web.service_settings import Limits

#: Seconds between two looks at a job, and between two signs of life on a quiet stream.
LOOK_S, ALIVE_S = 0.15, 15.0


async def upload(
    request: Request,
    service: CurrentService,
    principal: Reader,
    x_filename: Annotated[str, Header(max_length=1000, description="URL-encoded.")],
    series: Annotated[
        int | None, Query(ge=0, lt=2**31, description="The DICOM series to take, by its number.")
    ] = None,
) -> schema.StartedBody:
    """Queue an uploaded scan: NIfTI, MGZ, or a zip or tar of one DICOM study, as the plain body."""
    queue = queue_of(service)
    limits = service.settings.limits
    service.gate.rates.spend(limits.uploads, "uploads", principal.name)
    _refuse_form(request)
    try:
        suffix = safe_suffix(unquote(x_filename))
    except ScanError as error:
        raise Problem(415, "no_scan", problem_of(error).message) from None
    _check_length(request, limits)
    try:
        place = await run_in_threadpool(queue.open_folder, principal.name, suffix, series)
    except OSError as error:
        raise disk_problem(error) from None
    try:
        await _queue_arrived(request, service, principal, place)
    except asyncio.CancelledError:  # the service stops: nothing can be awaited any more
        queue.discard(place)
        raise
    except BaseException as error:
        await run_in_threadpool(queue.discard, place)
        if isinstance(error, OSError):
            raise disk_problem(error) from None
        raise
    return schema.StartedBody(job=place.job)


async def _queue_arrived(
    request: Request, service: Service, principal: Principal, place: Upload
) -> None:
    """Receive an upload, note it, and put it into the queue."""
    size = await _receive(request, place, service.settings.limits)
    if not size:
        raise Problem(400, "empty", "The file is empty.")
    note = partial(service.note, job=place.job[:6], bytes=size)
    await run_in_threadpool(note, principal, "upload")
    queue_of(service).submit(place)


def _refuse_form(request: Request) -> None:
    """Refuse a form (curl -F): its parts would be read as the scan's own bytes."""
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        text = "Send the file as the plain body (curl --data-binary @scan.nii.gz), not as a form."
        raise Problem(415, "form", text)


def queue_of(service: Service) -> UploadQueue:
    """Return the upload queue.

    Raises
    ------
    Problem
        If the service has no model.
    """
    if service.queue is None:
        text = "This service was started without a model, so it can only search stored cases."
        raise Problem(503, "no_model", text)
    return service.queue


def _check_length(request: Request, limits: Limits) -> None:
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limits.upload_bytes:
        raise too_large(limits)


def too_large(limits: Limits) -> Problem:
    """Return the 413 of an upload over the limit."""
    return Problem(413, "too_large", f"The file is larger than {limits.upload_bytes >> 20} MiB.")


async def _receive(request: Request, place: Upload, limits: Limits) -> int:
    """Write the body to the private folder as it comes; refuse it where it is too large or slow."""
    size, started = 0, time.monotonic()
    stream = request.stream()
    with place.source.open("xb") as file:
        while True:
            # By this moment the next bytes must be service, or the average is too low.
            due = limits.upload_grace_s + size / limits.least_bytes_per_s
            due = started + min(due, limits.upload_s)
            try:
                async with asyncio.timeout(max(due - time.monotonic(), 0)):
                    chunk = await anext(stream, None)
            except TimeoutError:
                text = "The upload was too slow and was stopped. Please try again."
                raise Problem(408, "slow", text) from None
            if chunk is None:
                return size
            size += len(chunk)
            if size > limits.upload_bytes:
                raise too_large(limits)
            await run_in_threadpool(file.write, chunk)


def job(job: str, service: CurrentService, principal: Reader) -> schema.JobBody:
    """Return the status of an upload's job."""
    return queue_of(service).find(job, principal.owner).body()


async def job_events(job: str, service: CurrentService, principal: Reader) -> StreamingResponse:
    """Stream the status of an upload's job, each time it changes, as server-sent events."""
    upload = queue_of(service).find(job, principal.owner)
    headers = {"X-Accel-Buffering": "no"}  # nginx would buffer the events
    return StreamingResponse(_events(upload), media_type="text/event-stream", headers=headers)


async def _events(upload: Upload) -> AsyncIterator[str]:
    sent, last = None, time.monotonic()
    while True:
        body = upload.body()
        if body != sent:
            sent, last = body, time.monotonic()
            yield f"event: job\ndata: {body.model_dump_json()}\n\n"
        if body.state in ENDED:
            return
        if time.monotonic() - last > ALIVE_S:
            last = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_S)


def cancel(job: str, service: CurrentService, principal: Reader) -> schema.JobBody:
    """Stop an upload's work for good, or delete a finished upload."""
    queue = queue_of(service)
    upload = queue.find(job, principal.owner)
    service.note(principal, "cancel", job=job[:6])
    queue.cancel(upload)
    service.searches.drop_upload(job)
    service.views.drop(job)
    return upload.body()


def upload_volume(
    job: str, request: Request, service: CurrentService, principal: Reader
) -> Response:
    """Send the prepared query in standard space as NIfTI."""
    upload, _ = service.uploaded(job, principal)
    return file_response(request, upload.volume)


def upload_thumbnail(
    job: str, request: Request, service: CurrentService, principal: Reader
) -> Response:
    """Send three planes of the prepared query as PNG."""
    _, scan = service.uploaded(job, principal)
    picture = planes_png(planes_of(scan.volume, service.grid))
    return png_response(request, tag_of(job, "thumbnail"), picture)


def upload_slice(
    job: str,
    plane: PlaneName,
    index: int,
    request: Request,
    service: CurrentService,
    principal: Reader,
) -> Response:
    """Send one slice of the prepared query as PNG."""
    _, scan = service.uploaded(job, principal)
    picture = slice_png(scan.volume, service.grid, plane, index)
    return png_response(request, tag_of(job, plane, index), picture)


def upload_view(job: str, request: Request, service: CurrentService, principal: Reader) -> Response:
    """Send the view volume of the query, the scan as it was in MNI152 space, as NIfTI."""
    upload, _ = service.uploaded(job, principal)
    if upload.view_mm is None:
        raise not_found("view volume of this upload")
    return file_response(request, upload.view)


def upload_view_slice(
    job: str,
    plane: PlaneName,
    index: int,
    request: Request,
    service: CurrentService,
    principal: Reader,
) -> Response:
    """Send one slice of the view volume of the query as PNG."""
    upload, _ = service.uploaded(job, principal)
    view = service.view_of_upload(upload)
    if view is None:
        raise not_found("view volume of this upload")
    picture = slice_png(view.voxels, view.grid, plane, index)
    return png_response(request, tag_of(job, "view", plane, index), picture)
