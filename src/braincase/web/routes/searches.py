"""Searches: asked, answered, asked again by a link, explained by maps, taken away as a report.

A search with a stored case is named by itself: its identity is the request, written small, with the
version of the gallery in it, so that a link to it works for ever. A search with an upload or a code
is about a person who is in no gallery: its identity is a random token, and it is forgotten with the
upload.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import zlib
from dataclasses import replace

from fastapi import Response
from pydantic import ValidationError

from braincase.answer.compose import answer
from braincase.errors import GalleryError, ParameterError
from braincase.gallery import SearchResult
from braincase.labels import Value
from braincase.report.search_page import draw
from braincase.report.wording import sections_of, warning_of
from braincase.search.options import SearchOptions
from braincase.search.pipeline import (
    FinishedSearch,
    search_by_case,
    search_by_code,
    search_by_embedding,
)
from braincase.search.query_scan import QueryScan
from braincase.web import schema
from braincase.web.catalogue import tsv
from braincase.web.problems import Problem, not_found
from braincase.web.security.gate import Person, Reader
from braincase.web.security.headers import REPORT_CSP
from braincase.web.service import Here, Search, Service

#: The most that the request inside a link may be.
MOST_LINK_BYTES = 20_000
#: The longest identity of a search.
MOST_NAME = 8000
#: What an uploaded scan is called: its own name may name a person.
UPLOADED = "uploaded scan"


def ask(wish: schema.SearchRequest, here: Here, person: Reader) -> schema.Answer:
    """Find the cases most similar to a stored case, an uploaded scan or a code."""
    here.gate.rates.spend(here.settings.limits.searches, "searches", person.name)
    given = [name for name in ("case", "upload", "code") if getattr(wish, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        raise Problem(400, "usage", f"Name one of case, upload and code; found {found}.")
    return _carry_out(here, person, wish, None).told


def again(search: str, here: Here, person: Reader) -> schema.Answer:
    """Give the answer to an earlier search again."""
    found = find(search, here, person)
    here.audit.write(person.name, "view", version=found.told.gallery_version)
    return found.told


def find(name: str, here: Service, person: Person) -> Search:
    """Return an earlier search by its identity; one with a stored case is simply made again.

    Raises
    ------
    Problem
        If there is none, or it is another person's.
    """
    held = here.searches.get(name)
    if held is None:
        wish = _read_link(name)
        return _carry_out(here, person, wish, name)
    if held.wish.case is None and person.owner not in (None, held.owner):
        raise not_found("such search")
    if held.wish.upload is not None:
        try:
            here.uploaded(held.wish.upload, person)
        except Problem:
            here.searches.drop(name)  # gone with the upload
            raise
    return held


def _carry_out(
    here: Service, person: Person, wish: schema.SearchRequest, name: str | None
) -> Search:
    asked = _asked(here, person, wish)
    learned_at = here.known_since(asked.result.gallery_version)
    answered = answer(asked, here.settings.label, normality=wish.normality, learned_at=learned_at)
    name = name or _name_of(wish, asked.result)
    content = {**answered.to_json(), "search": name, "gallery": here.name, "request": wish}
    done = Search(wish, person.name, asked, answered, schema.Answer.model_validate(content))
    here.searches.put(name, done)
    _note(here, person, wish, asked.result)
    return done


def _note(here: Service, person: Person, wish: schema.SearchRequest, result: SearchResult) -> None:
    query = {"case": wish.case} if wish.case else {"upload": (wish.upload or "code")[:6]}
    regions = [region.name for region in wish.regions]
    here.audit.write(
        person.name,
        "search",
        **query,
        k=wish.k,
        where=wish.where,
        regions=regions,
        version=result.gallery_version,
    )


def _asked(here: Service, person: Person, wish: schema.SearchRequest) -> FinishedSearch:
    """Search with whatever the query is."""
    version = here.gallery.info(wish.as_of).version
    asking = SearchOptions(
        k=min(wish.k, max(here.gallery.info(version).cases, 1)),
        where=wish.where,
        subject=wish.subject,
        as_of=version,
        regions=tuple(f"{region.name}:{region.weight:g}" for region in wish.regions),
        plus=tuple(wish.plus),
        minus=tuple(wish.minus),
        older=wish.older,
        similar_by=wish.similar_by,
        known=dict(wish.known),
    )
    try:
        if wish.case is not None:
            return search_by_case(here.gallery, wish.case, asking)
        if wish.code is not None:
            return search_by_code(here.gallery, wish.code, asking)
        _, held = here.uploaded(wish.upload or "", person)
        scan = QueryScan(held.volume, UPLOADED, None, held.labels, held.notes)
        fingerprint = here.gallery.fingerprint  # the worker's model was checked at the start
        return search_by_embedding(here.gallery, held.code, fingerprint, scan, asking)
    except ParameterError as error:
        if error.where != "similar_by":
            raise
        raise _not_by_split(wish) from None
    except GalleryError as error:
        if not wish.older and wish.similar_by == "code":
            raise
        text = f"This gallery is too small for such a search: {error.found}."
        raise Problem(409, "too_few", text) from None


def _not_by_split(wish: schema.SearchRequest) -> Problem:
    """Return why cases cannot be ranked by anatomy or abnormality."""
    if wish.regions:
        text = "Regions can only be compared overall, not by anatomy or abnormality."
        return Problem(400, "usage", text)
    text = "To rank by anatomy or abnormality, age and sex (F or M) of the query must be known."
    return Problem(400, "needs_age", text)


def _name_of(wish: schema.SearchRequest, result: SearchResult) -> str:
    if wish.case is None:
        return "t" + secrets.token_urlsafe(16)
    fixed = wish.model_copy(update={"as_of": result.gallery_version})
    text = json.dumps(fixed.model_dump(exclude_defaults=True), separators=(",", ":"))
    return "c" + base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")


def _read_link(name: str) -> schema.SearchRequest:
    """Return the request inside a link; anybody may have written it, so nothing is believed."""
    try:
        if not name.startswith("c"):
            raise ValueError
        packed = base64.urlsafe_b64decode(name[1:] + "=" * (-len(name[1:]) % 4))
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(packed, MOST_LINK_BYTES)
        wish = schema.SearchRequest.model_validate_json(text)
        if not unpacking.eof or wish.case is None or wish.upload or wish.code:
            raise ValueError
        return wish
    except (ValueError, binascii.Error, zlib.error, ValidationError):
        raise not_found(
            "such search (one with an uploaded scan is forgotten after a while)"
        ) from None


def report(search: str, here: Here, person: Reader) -> Response:
    """Send query and hits as one HTML file to keep or to print."""
    found = find(search, here, person)
    asked = replace(found.asked, result=replace(found.asked.result, gallery=here.name))
    path = here.folder / f"report-{secrets.token_hex(8)}.html"
    try:
        draw(asked, None, path, sections_of(found.answer, why=True), warning_of(found.answer))
        page = path.read_bytes()
    finally:
        path.unlink(missing_ok=True)
    here.audit.write(person.name, "report", version=asked.result.gallery_version)
    headers = {
        "Content-Security-Policy": REPORT_CSP,
        "Content-Disposition": 'inline; filename="similar-cases.html"',
    }
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


def cases_tsv(search: str, here: Here, person: Reader) -> Response:
    """Send the hits as a tab-separated table."""
    hits = find(search, here, person).asked.result.hits
    labels = list(dict.fromkeys(name for hit in hits for name in hit.labels))
    rows: list[list[Value]] = [
        ["rank", "scan_id", "subject", "session", "distance", "score", *labels]
    ]
    for hit in hits:
        told = [hit.labels.get(name) for name in labels]
        numbers = [f"{hit.distance:.6g}", f"{hit.score:.6g}"]
        rows.append([hit.rank, hit.scan_id, hit.subject, hit.session, *numbers, *told])
    here.audit.write(person.name, "table", hits=len(hits))
    headers = {"Content-Disposition": 'attachment; filename="similar-cases.tsv"'}
    return Response(
        tsv(rows), media_type="text/tab-separated-values; charset=utf-8", headers=headers
    )
