"""Archive endpoints: from a case to its study in the viewer, and from a study to its cases."""

from __future__ import annotations

from pathlib import Path

from braincase.sources.archive_links import Link, find_links, links_of
from braincase.web import schema
from braincase.web.catalogue import case_body
from braincase.web.intake.prepared_study import find_prepared
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
    links = find_links(path, request.study or "", request.accession or "")
    keys = {(link.subject, link.session) for link in links}
    _, cases = service.catalogue.cases()
    found = [case for case in cases if (case.subject, case.session) in keys]
    if not found:
        return _prepared(service, principal, path, links)
    for case in found:
        service.note(principal, "open study", scan_id=case.scan_id)
    bodies = [case_body(case) for case in found]
    return schema.StudyCasesBody(cases=bodies, upload=None, subject=None)


def _prepared(
    service: Service, principal: Principal, path: Path, links: list[Link]
) -> schema.StudyCasesBody:
    """Return a study that is no case, as the DICOM node has prepared it a short while ago.

    Raises
    ------
    Problem
        If the node has not.
    """
    for link in links if service.queue is not None else ():
        study = find_prepared(path, link, service.grid, service.gallery.fingerprint)
        if study is not None and service.queue is not None:
            service.note(principal, "open study", session=link.session)
            upload = service.queue.adopt(principal.name, study.scan)
            return schema.StudyCasesBody(cases=[], upload=upload.job, subject=study.subject)
    text = (
        "This study is no case of this gallery, and Braincase no longer has its images."
        if links
        else "This study is not known here: it was neither sent to Braincase nor pulled."
    )
    raise Problem(404, "no_study", text)


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
