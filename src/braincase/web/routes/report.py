"""Report endpoint: a search with its pictures, key images and settings as one HTML file."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query, Response

from braincase.cohort.view import ViewVolume
from braincase.gallery import SearchResult
from braincase.report.search_page import KeyImage, draw
from braincase.report.search_words import Language
from braincase.report.wording import text_of
from braincase.web import schema
from braincase.web.problems import Problem, not_found
from braincase.web.routes.searches import SIMULATED, find
from braincase.web.search_cache import AnsweredSearch
from braincase.web.security.gate import Principal, Reader
from braincase.web.security.headers import REPORT_CSP
from braincase.web.service import CurrentService, Service

_MM = r"(-?\d{1,3}(?:\.\d)?)"
#: A key image: the case, and MNI x, y, z in mm.
_KEY = re.compile(rf"([A-Za-z0-9_-]{{1,200}})@{_MM},{_MM},{_MM}")
#: Key images of one report at most.
MOST_KEYS = 12


def report(
    search: str,
    service: CurrentService,
    principal: Reader,
    lang: Annotated[Language, Query(description="Of headings and settings.")] = "en",
    key: Annotated[
        list[str],
        Query(
            max_length=MOST_KEYS, description="Key images: a hit and MNI mm, as sub-1@-26,-20,12."
        ),
    ] = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """Send query and hits, as scanned where they can be, as one HTML file to keep or to print."""
    answered = find(search, service, principal)
    keys = [_key_image(text, answered.finished.result) for text in key]
    result = replace(answered.finished.result, gallery=service.name)
    finished = replace(answered.finished, result=result)
    path = service.folder / f"report-{secrets.token_hex(8)}.html"
    try:
        text = text_of(answered.answer)
        if answered.body.model_simulated:
            text = replace(text, sections=(("The model", (SIMULATED,)), *text.sections))
        about = _about(answered.request, principal)
        view = _view_of(answered, service, principal)
        draw(finished, None, path, text, about, lang, keys, view)
        page = path.read_bytes()
    finally:
        path.unlink(missing_ok=True)
    shown = [image.scan_id for image in keys]
    service.note(principal, "report", version=result.gallery_version, key_images=shown)
    headers = {
        "Content-Security-Policy": REPORT_CSP,
        "Content-Disposition": 'inline; filename="similar-cases.html"',
    }
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


def _key_image(text: str, result: SearchResult) -> KeyImage:
    """Read a key image; its case has to be one that the search shows."""
    found = _KEY.fullmatch(text)
    if not found:
        raise Problem(400, "usage", f"A key image is written sub-1@-26,-20,12, not {text[:60]}.")
    if found[1] not in [hit.scan_id for hit in (*result.hits, *result.same_subject)]:
        raise not_found(f"case '{found[1]}' in this search")
    return KeyImage(found[1], (float(found[2]), float(found[3]), float(found[4])))


def _view_of(answered: AnsweredSearch, service: Service, principal: Principal) -> ViewVolume | None:
    """Return the view volume of the uploaded scan that was searched with, while it is there."""
    if answered.request.upload is None:
        return None
    try:
        upload, _ = service.uploaded(answered.request.upload, principal)
        return service.view_of_upload(upload)
    except Problem:
        return None


def _about(request: schema.SearchRequest, principal: Principal) -> list[tuple[str, str]]:
    """Return who asked for a report and when, and the settings of its search that are not usual."""
    regions = ", ".join(f"{region.name} ({region.weight:g})" for region in request.regions)
    settings = {
        "Date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Reader": principal.shown,
        "Cases to find": str(request.k),
        "Filter": request.where,
        "Regions": regions,
        "Ranked by": "" if request.similar_by == "code" else request.similar_by,
        "Years older": f"{request.older:+g}" if request.older else "",
        "Marked as alike": ", ".join(request.plus),
        "Marked as unlike": ", ".join(request.minus),
        "Controls": request.controls or "",
    }
    return [(name, value) for name, value in settings.items() if value]
