"""Archive endpoints: from a case to its study in the viewer, and from a study to its cases."""

from __future__ import annotations

from pathlib import Path

from braincase.sources.archive_links import Link, find_links, links_of
from braincase.web import schema
from braincase.web.catalogue import case_body
from braincase.web.problems import Problem, not_found
from braincase.web.routes.cases import AsOf, stored
from braincase.web.security.gate import Principal, Reader
from braincase.web.service import CurrentService, Service
from braincase.web.viewer_links import viewer_url


def open_viewer(
    scan_id: str, service: CurrentService, principal: Reader, as_of: AsOf = None
) -> schema.ViewerBody:
    """Return the address of a case's study in the archive's viewer."""
    path = _links_for(service, principal)
    if not service.settings.viewer:
        raise not_found("viewer: the service was started without --viewer")
    case = stored(service, scan_id, as_of)
    link = links_of(path, [case.session or ""]).get(case.session or "")
    if link is None or link.subject != case.subject:
        raise Problem(404, "no_study", "The study of this case is not in the link file.")
    url = viewer_url(service.settings.viewer, link)
    service.note(principal, "open viewer", scan_id=scan_id)
    return schema.ViewerBody(url=url)


def find_study(
    request: schema.StudyRequest, service: CurrentService, principal: Reader
) -> schema.StudyCasesBody:
    """Return the cases of a study of the archive; its UID comes in the body: no log shows it."""
    path = _links_for(service, principal)
    links = {_key(link) for link in find_links(path, request.study or "", request.accession or "")}
    _, cases = service.catalogue.cases()
    found = [case for case in cases if (case.subject, case.session) in links]
    if not found:
        text = (
            "This study was searched with, but it is no case of this gallery."
            if links
            else "This study is not known here: it was neither sent to Braincase nor pulled."
        )
        raise Problem(404, "no_study", text)
    for case in found:
        service.note(principal, "open study", scan_id=case.scan_id)
    return schema.StudyCasesBody(cases=[case_body(case) for case in found])


def may_link(service: Service, principal: Principal) -> bool:
    """Say whether a user may learn which study of the archive a case is."""
    settings = service.settings
    return settings.links is not None and principal.at_least(settings.links_role)


def _links_for(service: Service, principal: Principal) -> Path:
    """Return the link file for a user who may read it.

    Raises
    ------
    Problem
        If there is none, or they may not.
    """
    settings = service.settings
    if settings.links is None:
        raise not_found("link file: the service was started without --links")
    if not principal.at_least(settings.links_role):
        text = f"This takes the role of a {settings.links_role}; you are a {principal.role}."
        raise Problem(403, "role", text)
    return settings.links


def _key(link: Link) -> tuple[str, str | None]:
    return link.subject, link.session
