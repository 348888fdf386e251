"""Search endpoints: a query, its permalink and its table.

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
from typing import Annotated

import numpy as np
from fastapi import Query, Response
from pydantic import ValidationError

from braincase.answer.compose import answer
from braincase.gallery import SearchResult
from braincase.labels import is_simulated
from braincase.report.hits_table import hits_table
from braincase.search.courses import search_by_change
from braincase.search.options import SearchOptions
from braincase.search.pipeline import (
    FinishedSearch,
    at_most_everybody,
    search_by_case,
    search_by_code,
    search_by_embedding,
)
from braincase.search.query_scan import QueryScan
from braincase.web import answer_schema, schema
from braincase.web.catalogue import tsv
from braincase.web.problems import Problem, not_found
from braincase.web.search_cache import AnsweredSearch
from braincase.web.security.gate import Principal, Reader
from braincase.web.service import CurrentService, Service

#: The most that the request inside a link may be.
MOST_LINK_BYTES = 20_000
#: Said with every answer about people who may be real by a model that has seen none.
SIMULATED = (
    "It has learned from simulated people only: how well its distances hold for real scans is not"
    " known."
)
#: The longest identity of a search.
MOST_NAME = 8000
#: What an uploaded scan is called: its own name may name a person.
UPLOADED = "uploaded scan"


def ask(
    request: schema.SearchRequest, service: CurrentService, principal: Reader
) -> answer_schema.AnswerBody:
    """Find the cases most similar to a stored case, an uploaded scan or a code."""
    queries = {"case": request.case, "upload": request.upload, "code": request.code}
    given = [name for name, query in queries.items() if query is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        raise Problem(400, "usage", f"Name one of case, upload and code; found {found}.")
    return _carry_out(service, principal, request, None).body


def again(search: str, service: CurrentService, principal: Reader) -> answer_schema.AnswerBody:
    """Return the answer to an earlier search by its permalink or token."""
    body = find(search, service, principal).body
    service.note(principal, "view", version=body.gallery_version)
    return body


def changes(
    search: str,
    prior: str,
    service: CurrentService,
    principal: Reader,
    k: Annotated[int, Query(ge=1, le=100)] = 10,
) -> answer_schema.ChangesBody:
    """Find people whose brain changed as the query's person has since an earlier scan of theirs."""
    found = find(search, service, principal)
    query, result = found.finished.query, found.finished.result
    version = result.gallery_version
    case = service.gallery.find([prior], version).get(prior)
    if case is None or result.own_subject is None or case.subject != result.own_subject:
        raise not_found("such earlier scan of this person")
    ages = [labels.get("age") for labels in (case.labels, query.labels)]
    if not all(isinstance(age, int | float) for age in ages):
        raise Problem(409, "usage", "The time between the scans is not known: both need an age.")
    service.gate.rates.spend(service.settings.limits.searches, "searches", principal.name)
    changed = search_by_change(
        service.gallery,
        case.code,
        np.asarray(query.code if query.own_code is None else query.own_code, np.float32),
        float(ages[1] or 0) - float(ages[0] or 0),
        k=k,
        where=result.where,
        subject=case.subject,
        as_of=version,
        labels=(case.labels, query.labels),
    )
    service.note(principal, "search", case=prior, kind="change", k=k, version=version)
    return answer_schema.ChangesBody.model_validate({**changed.to_json(), "gallery": service.name})


def find(name: str, service: Service, principal: Principal) -> AnsweredSearch:
    """Return the search of a permalink or a token; one with a stored case is simply made again.

    Raises
    ------
    Problem
        If there is none, or it is another person's.
    """
    search = service.searches.get(name, service.gallery)
    if search is None:
        return _carry_out(service, principal, _read_link(name), name)
    if search.request.case is None and principal.owner not in (None, search.owner):
        raise not_found("such search")
    if search.request.upload is not None:
        try:
            service.uploaded(search.request.upload, principal)
        except Problem:
            service.searches.drop(name)  # gone with the upload
            raise
    return search


def _carry_out(
    service: Service, principal: Principal, request: schema.SearchRequest, name: str | None
) -> AnsweredSearch:
    service.gate.rates.spend(service.settings.limits.searches, "searches", principal.name)
    finished = _search(service, principal, request)
    answered = answer(finished, service.settings.label, normality=request.normality)
    name = name or _name_of(request, finished.result)
    gallery_simulated = service.gallery.info(finished.result.gallery_version).simulated
    perhaps_real = not (gallery_simulated and is_simulated(finished.query.labels))
    content = {
        **answered.to_json(),
        "search": name,
        "gallery": service.name,
        "request": request,
        "model_simulated": perhaps_real and service.settings.model_simulated,
    }
    body = answer_schema.AnswerBody.model_validate(content)
    search = AnsweredSearch(request, principal.name, finished, answered, body)
    _note(service, principal, request, finished.result)
    service.searches.put(name, search)
    return search


def _note(
    service: Service, principal: Principal, request: schema.SearchRequest, result: SearchResult
) -> None:
    query = {"case": request.case} if request.case else {"upload": (request.upload or "code")[:6]}
    chosen = {} if request.controls is None else {"controls": request.controls}
    service.note(
        principal,
        "search",
        **query,
        k=request.k,
        where=request.where,
        regions=[region.name for region in request.regions],
        **chosen,
        version=result.gallery_version,
    )


def _search(
    service: Service, principal: Principal, request: schema.SearchRequest
) -> FinishedSearch:
    """Search with whatever the query is."""
    if request.regions and request.similar_by != "code":
        text = "Regions can only be compared overall, not by anatomy or abnormality."
        raise Problem(400, "usage", text)
    version = service.gallery.info(request.as_of).version
    options = SearchOptions(
        k=at_most_everybody(service.gallery, request.k, version),
        where=request.where,
        subject=request.subject,
        as_of=version,
        regions=tuple(f"{region.name}:{region.weight:g}" for region in request.regions),
        plus=tuple(request.plus),
        minus=tuple(request.minus),
        older=request.older,
        similar_by=request.similar_by,
        known=dict(request.known),
        controls=request.controls,
        learned_at=service.known_since(version),
    )
    if request.case is not None:
        return search_by_case(service.gallery, request.case, options)
    if request.code is not None:
        return search_by_code(service.gallery, request.code, options)
    _, embedded = service.uploaded(request.upload or "", principal)
    scan = QueryScan(embedded.volume, UPLOADED, None, embedded.labels, embedded.notes)
    fingerprint = service.gallery.fingerprint  # the worker's model was checked at the start
    return search_by_embedding(service.gallery, embedded.code, fingerprint, scan, options)


def _name_of(request: schema.SearchRequest, result: SearchResult) -> str:
    if request.case is None:
        return "t" + secrets.token_urlsafe(16)
    fixed = request.model_copy(update={"as_of": result.gallery_version})
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
        request = schema.SearchRequest.model_validate_json(text)
        if not unpacking.eof or request.case is None or request.upload or request.code:
            raise ValueError
        return request
    except (ValueError, binascii.Error, zlib.error, ValidationError):
        raise not_found(
            "such search (one with an uploaded scan is forgotten after a while)"
        ) from None


def cases_tsv(search: str, service: CurrentService, principal: Reader) -> Response:
    """Send the hits as a tab-separated table."""
    hits = find(search, service, principal).finished.result.hits
    header, rows = hits_table(hits)
    service.note(principal, "table", hits=len(hits))
    headers = {"Content-Disposition": 'attachment; filename="similar-cases.tsv"'}
    return Response(
        tsv([header, *rows]), media_type="text/tab-separated-values; charset=utf-8", headers=headers
    )
