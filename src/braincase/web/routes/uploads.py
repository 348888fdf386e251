"""Scans that come in: streamed to a private folder, refused early, followed by events, deleted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import unquote

from fastapi import Header, Request, Response
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
from braincase.web.intake.archives import kept_suffix
from braincase.web.intake.queue import ENDED, Upload, UploadQueue
from braincase.web.problems import Problem, problem_of
from braincase.web.security.gate import Reader
from braincase.web.service import Here, Service
from braincase.web.service_settings import Limits

#: Seconds between two looks at a job, and between two signs of life on a quiet stream.
LOOK_S, ALIVE_S = 0.15, 15.0


async def upload(
    request: Request,
    here: Here,
    person: Reader,
    x_filename: Annotated[str, Header(max_length=1000, description="URL-encoded.")],
) -> schema.Started:
    """Take a scan and queue it: NIfTI, MGZ, or a zip of one DICOM study, as the plain body."""
    desk = desk_of(here)
    limits = here.settings.limits
    here.gate.rates.spend(limits.uploads, "uploads", person.name)
    try:
        suffix = kept_suffix(unquote(x_filename))
    except ScanError as error:
        raise Problem(415, "no_scan", problem_of(error).message) from None
    _check_length(request, limits)
    place = desk.open_folder(person.name, suffix)
    try:
        size = await _receive(request, place, limits)
    except BaseException:
        desk.discard(place)
        raise
    if not size:
        desk.discard(place)
        raise Problem(400, "empty", "The file is empty.")
    here.audit.write(person.name, "upload", job=place.job[:6], bytes=size)
    desk.submit(place)
    return schema.Started(job=place.job)


def desk_of(here: Service) -> UploadQueue:
    """Return where uploads are prepared.

    Raises
    ------
    Problem
        If the service has no model.
    """
    if here.desk is None:
        text = "This service was started without a model, so it can only search stored cases."
        raise Problem(503, "no_model", text)
    return here.desk


def _check_length(request: Request, limits: Limits) -> None:
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > limits.upload_bytes:
        raise too_large(limits)


def too_large(limits: Limits) -> Problem:
    """Return the problem of an upload over the limit."""
    return Problem(413, "too_large", f"The file is larger than {limits.upload_bytes >> 20} MiB.")


async def _receive(request: Request, place: Upload, limits: Limits) -> int:
    """Write the body to the private folder as it comes; refuse it where it is too large or slow."""
    size, started = 0, time.monotonic()
    stream = request.stream()
    with place.source.open("xb") as file:
        while True:
            # By this moment the next bytes must be here, or the average is too low.
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


def job(job: str, here: Here, person: Reader) -> schema.Job:
    """Tell how far an upload is."""
    return desk_of(here).find(job, person.owner).record()


async def job_events(job: str, here: Here, person: Reader) -> StreamingResponse:
    """Tell how far an upload is, each time it changes, as server-sent events."""
    found = desk_of(here).find(job, person.owner)
    headers = {"X-Accel-Buffering": "no"}  # nginx would hold events back
    return StreamingResponse(_events(found), media_type="text/event-stream", headers=headers)


async def _events(upload: Upload) -> AsyncIterator[str]:
    said, last = None, time.monotonic()
    while True:
        record = upload.record()
        if record != said:
            said, last = record, time.monotonic()
            yield f"event: job\ndata: {record.model_dump_json()}\n\n"
        if record.state in ENDED:
            return
        if time.monotonic() - last > ALIVE_S:
            last = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_S)


def cancel(job: str, here: Here, person: Reader) -> schema.Job:
    """Stop an upload's work for good, or delete a finished upload."""
    desk = desk_of(here)
    found = desk.find(job, person.owner)
    desk.cancel(found)
    here.searches.drop_where(lambda search: search.upload == job)
    here.audit.write(person.name, "cancel", job=job[:6])
    return found.record()


def upload_volume(job: str, request: Request, here: Here, person: Reader) -> Response:
    """Send the prepared query in standard space as NIfTI."""
    found, _ = here.uploaded(job, person)
    return file_response(request, found.volume)


def upload_thumbnail(job: str, request: Request, here: Here, person: Reader) -> Response:
    """Send three planes of the prepared query as PNG."""
    _, scan = here.uploaded(job, person)
    picture = planes_png(planes_of(scan.volume, here.grid))
    return png_response(request, tag_of(job, "thumbnail"), picture)


def upload_slice(
    job: str, plane: PlaneName, index: int, request: Request, here: Here, person: Reader
) -> Response:
    """Send one slice of the prepared query as PNG."""
    _, scan = here.uploaded(job, person)
    picture = slice_png(scan.volume, here.grid, plane, index)
    return png_response(request, tag_of(job, plane, index), picture)
