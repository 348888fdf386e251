"""Case endpoints: list, read, add and remove cases of the gallery, and send their images."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import Query, Request, Response

from braincase.cohort.cohort import PreparedScan, write_case
from braincase.cohort.derivatives import (
    describe_cohort,
    encode_image,
    image_path,
    read_image,
    sidecar_path,
)
from braincase.cohort.view import remove_views, view_path, voxel_hash
from braincase.errors import UsageError
from braincase.gallery import Change, NewCase, StoredCase
from braincase.gallery.record.content import checked_case
from braincase.images.planes import planes_of, planes_of_thumbnail, thumbnail_of
from braincase.labels import USUAL_LABEL
from braincase.search.cells import without_cells
from braincase.sources.listing import is_cohort
from braincase.sources.scan import Scan
from braincase.web import schema
from braincase.web.catalogue import case_body, describe_columns
from braincase.web.image_responses import (
    PlaneName,
    bytes_response,
    planes_png,
    png_response,
    slice_png,
    tag_of,
)
from braincase.web.intake.messages import Embedded
from braincase.web.problems import Problem, disk_problem, not_found
from braincase.web.security.gate import Curator, Reader
from braincase.web.service import CurrentService, Service, region_names

AsOf = Annotated[
    int | None, Query(ge=0, le=2**53, description="An earlier version; cases may have left since.")
]
Where = Annotated[str, Query(max_length=2000, description="A filter, as in `age > 60`.")]


def gallery(service: CurrentService, principal: Reader) -> schema.GalleryBody:
    """Describe what the gallery holds now."""
    version, cases = service.catalogue.cases()
    columns = describe_columns(cases)
    names = [column.name for column in columns]
    info = service.gallery.info(version)
    reason = without_cells(info)
    return schema.GalleryBody(
        name=service.name,
        version=version,
        cases=info.cases,
        people=info.people,
        fingerprint=info.fingerprint,
        resolution_mm=info.resolution_mm,
        label=label_column(service, names),
        columns=columns,
        can_upload=service.queue is not None,
        upload_bytes=service.settings.limits.upload_bytes,
        regions=[] if reason else region_names(),
        encoder=info.encoder,
        without_regions=reason or None,
        simulated=info.simulated or None,
        model_simulated=service.settings.model_simulated,
    )


def label_column(service: Service, names: list[str]) -> str | None:
    """Return the column that neighbours vote on."""
    wanted = service.settings.label or USUAL_LABEL
    return wanted if wanted in names else None


def list_cases(
    service: CurrentService,
    principal: Reader,
    where: Where = "",
    text: Annotated[str, Query(max_length=200, description="Part of the scan_id.")] = "",
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> schema.CasesBody:
    """List the cases that a filter leaves, by scan_id."""
    version, cases = service.catalogue.cases(where)
    if text:
        cases = tuple(case for case in cases if text.lower() in case.scan_id.lower())
    shown = [case_body(case) for case in cases[offset : offset + limit]]
    return schema.CasesBody(total=len(cases), version=version, cases=shown)


def one_case(
    scan_id: str, service: CurrentService, principal: Reader, as_of: AsOf = None
) -> schema.CaseBody:
    """Return one case with its labels."""
    case = stored(service, scan_id, as_of)
    service.note_view(principal, scan_id=scan_id, kind="labels")
    return case_body(case)


def volume(
    scan_id: str, request: Request, service: CurrentService, principal: Reader, as_of: AsOf = None
) -> Response:
    """Send a case's standard volume as NIfTI, on the grid of the gallery."""
    case = stored(service, scan_id, as_of)
    image = service.image_of(case)
    service.note_view(principal, scan_id=scan_id, kind="volume")
    packed = encode_image(image.volume, service.grid) if image.averaged else image.packed
    return bytes_response(request, packed)


def thumbnail(
    scan_id: str, request: Request, service: CurrentService, principal: Reader, as_of: AsOf = None
) -> Response:
    """Send three planes of a case side by side as PNG."""
    case = stored(service, scan_id, as_of)
    service.note_view(principal, scan_id=scan_id, kind="thumbnail")
    picture = service.gallery.thumbnail(scan_id, as_of)
    planes = (
        planes_of_thumbnail(picture)
        if picture is not None
        else planes_of(service.volume_of(case), service.grid)
    )
    tag = tag_of(scan_id, case.since, case.image_hash, "thumbnail")
    return png_response(request, tag, planes_png(planes))


def slice_of_case(
    scan_id: str,
    plane: PlaneName,
    index: int,
    request: Request,
    service: CurrentService,
    principal: Reader,
    as_of: AsOf = None,
) -> Response:
    """Send one slice of a case as PNG."""
    case = stored(service, scan_id, as_of)
    service.note_view(principal, scan_id=scan_id, kind="slices")
    picture = slice_png(service.volume_of(case), service.grid, plane, index)
    return png_response(request, tag_of(scan_id, case.image_hash, plane, index), picture)


def view(
    scan_id: str, request: Request, service: CurrentService, principal: Reader, as_of: AsOf = None
) -> Response:
    """Send a case's view volume, the scan as it was in MNI152 space, as NIfTI."""
    case = stored(service, scan_id, as_of)
    image = service.view_of(case)
    service.note_view(principal, scan_id=scan_id, kind="view")
    return bytes_response(request, image.packed)


def slice_of_view(
    scan_id: str,
    plane: PlaneName,
    index: int,
    request: Request,
    service: CurrentService,
    principal: Reader,
    as_of: AsOf = None,
) -> Response:
    """Send one slice of a case's view volume as PNG."""
    case = stored(service, scan_id, as_of)
    voxels, grid = service.view_slices_of(case)
    service.note_view(principal, scan_id=scan_id, kind="view slices")
    picture = slice_png(voxels, grid, plane, index)
    return png_response(request, tag_of(scan_id, case.view_hash, plane, index), picture)


def stored(service: Service, scan_id: str, as_of: int | None = None) -> StoredCase:
    """Return a case of one version, the newest if none is named.

    Raises
    ------
    Problem
        If there is none.
    """
    try:
        return service.gallery.get(scan_id, as_of)
    except UsageError:
        raise not_found(f"case '{scan_id}'") from None


def add_case(
    request: schema.NewCaseRequest, service: CurrentService, principal: Curator
) -> schema.ChangeBody:
    """Add an uploaded scan to the gallery as a case."""
    upload, scan = service.uploaded(request.upload, principal)
    expected = f"sub-{request.subject}" + (f"_ses-{request.session}" if request.session else "")
    if request.scan_id != expected:
        text = f"The scan_id of this subject and session is {expected}, not {request.scan_id}."
        raise Problem(400, "usage", text)
    case = Scan(Path(), request.subject, request.session, dict(request.labels))
    prepared = PreparedScan(
        case, scan.volume, {"Recipe": dict(scan.recipe)}, service.view_of_upload(upload)
    )
    with service.saving:  # of two who save one case, the second finds that of the first
        if service.gallery.find([request.scan_id]):
            raise Problem(
                409, "exists", f"There is a case {request.scan_id} already; nothing was changed."
            )
        image = image_path(service.gallery.saved_folder, service.grid, case)
        _refuse_other_image(service, image, prepared)
        with service.recorded(principal, "add", scan_id=request.scan_id) as result:
            change = _write_and_add(service, image, prepared, scan)
            result["version"] = change.version
    return schema.ChangeBody(
        version=change.version,
        added=list(change.added),
        removed=[],
        duplicates=[scan_id for _, scan_id in change.duplicates],
    )


def _write_and_add(service: Service, image: Path, case: PreparedScan, scan: Embedded) -> Change:
    """Write a case's files and add it; where it is refused, no file of it stays.

    Raises
    ------
    Problem
        If it was erased before, or the disk is full.
    BraincaseError
        If the gallery refuses it.
    """
    folder, of, seen = service.gallery.saved_folder, case.scan, case.view
    new = NewCase(
        scan_id=of.scan_id,
        subject=of.subject,
        code=scan.code,
        session=of.session,
        labels=of.labels,
        cohort=folder,
        image=str(image.relative_to(folder)),
        image_hash=scan.image_hash,
        thumbnail=thumbnail_of(scan.volume, service.grid),
        view=str(view_path(image, seen.grid).relative_to(folder)) if seen else None,
        view_hash=voxel_hash(seen.voxels) if seen else None,
    )
    checked_case(new, np.size(scan.code))
    try:
        if not is_cohort(folder):  # erasing deletes files in what is a cohort
            describe_cohort(folder)
        write_case(folder, service.grid, case)
        change = service.writer.add([new], service.gallery.fingerprint)
        if change.erased_before:
            text = f"{of.scan_id} or its image was erased from this gallery; nothing was added."
            raise Problem(409, "exists", text)
    except BaseException as error:
        if not _is_shown(service, image, of):
            remove_views(image)
            image.unlink(missing_ok=True)
            sidecar_path(image).unlink(missing_ok=True)
            _remove_empty(image.parent, folder)
        if isinstance(error, OSError):
            raise disk_problem(error) from None
        raise
    return change


def _remove_empty(place: Path, folder: Path) -> None:
    """Remove the folders of a person, up to that of all, that have become empty."""
    with suppress(OSError):  # it holds another visit
        while place != folder:
            place.rmdir()
            place = place.parent


def _is_shown(service: Service, image: Path, case: Scan) -> bool:
    """Say whether any version of the gallery shows this image file."""
    states = service.gallery.person(case.subject, ever=True)
    return any(state.image == image.absolute() for state in states)


def _refuse_other_image(service: Service, image: Path, case: PreparedScan) -> None:
    """Refuse to change the image that an earlier version of the gallery shows."""
    if not image.exists() or not _is_shown(service, image, case.scan):
        return  # without a version, it is what a killed service left
    if not np.array_equal(read_image(image, service.grid), case.volume):
        text = "An earlier version of the gallery has another image of this name; choose another."
        raise Problem(409, "exists", text)


def remove_case(
    scan_id: str,
    service: CurrentService,
    principal: Curator,
    seen: Annotated[
        int | None, Query(ge=0, le=2**53, description="The version that the curator looked at.")
    ] = None,
) -> schema.ChangeBody:
    """Remove a case from the gallery; earlier versions keep it.

    A case that was replaced after the version `seen` is refused: the curator saw another one.
    """
    case = stored(service, scan_id)
    if seen is not None and case.since > seen:
        text = (
            f"This case was replaced in version {case.since}, after you saw it in version {seen}."
            " Search again and look at it before you remove it; nothing was changed."
        )
        raise Problem(409, "changed", text)
    with service.recorded(principal, "remove", scan_id=scan_id) as result:
        change = service.writer.remove([scan_id])
        result["version"] = change.version
    return schema.ChangeBody(
        version=change.version, added=[], removed=list(change.removed), duplicates=[]
    )
