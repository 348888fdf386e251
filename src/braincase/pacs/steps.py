"""The steps of a study, from received to sent; each can be repeated without harm.

What a step makes is whole on the disk before the ledger says that it is done. A step that fails for
a reason that may pass (no archive, a full disk, a killed worker) is tried again after a pause that
doubles; a study that cannot be searched with ends as refused, with the reason.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from braincase.answer.compose import Answer, answer
from braincase.errors import BraincaseError, GalleryError, ScanError, UsageError
from braincase.gallery import Gallery
from braincase.images.geometry import grid_of_resolution
from braincase.pacs.commitment import ask_commitment, new_transaction
from braincase.pacs.dicom_objects import Source, read_source, write_object
from braincase.pacs.dicomweb import WebArchive
from braincase.pacs.ledger import (
    COMPLETE,
    MADE,
    PREPARED,
    RECEIVED,
    REFUSED,
    SEARCHED,
    SENT,
    Ledger,
    Study,
)
from braincase.pacs.picture_series import draw_pictures, picture_objects
from braincase.pacs.preparing import Preparer, choose
from braincase.pacs.report_pdf import pdf_object
from braincase.pacs.sending import ArchiveError, send
from braincase.pacs.settings import Archive, PacsSettings
from braincase.pacs.spool import Spool
from braincase.pacs.structured_report import Searched, report_object
from braincase.report.case_picture import CasePicture, hit_picture, picture_of_query
from braincase.report.wording import text_of
from braincase.search.options import SearchOptions
from braincase.search.pipeline import FinishedSearch, at_most_everybody, search_by_embedding
from braincase.search.query_scan import QueryScan
from braincase.sources.archive_links import FILE as LINKS
from braincase.sources.archive_links import Link, add_link, links_of
from braincase.sources.dicom_identity import owner_of
from braincase.sources.pseudonym import pseudonym, session_of
from braincase.web.intake.prepared_study import read_prepared, write_prepared

#: Seconds that are waited for the archive's word, and after which it is asked again.
COMMITMENT_S, ASK_AGAIN_S = 3.0, 300.0
log = logging.getLogger("braincase")


@dataclass(frozen=True, eq=False)
class Workshop:
    """What the steps work with.

    Parameters
    ----------
    settings, spool, ledger
        Of the node.
    gallery
        Where is searched.
    preparer
        Its worker.
    key
        Of pseudonyms and derived UIDs.
    """

    settings: PacsSettings
    spool: Spool
    ledger: Ledger
    gallery: Gallery
    preparer: Preparer
    key: bytes

    @property
    def grid_mm(self) -> int:
        """Resolution of the gallery's volumes."""
        return self.gallery.info().resolution_mm


def work_on(shop: Workshop, study: Study) -> None:
    """Do a study's next step; whatever happens is noted in the ledger."""
    steps: dict[str, Callable[[Workshop, Study], None]] = {
        RECEIVED: _complete,
        COMPLETE: _prepare,
        PREPARED: _search,
        SEARCHED: _make,
        MADE: _send,
    }
    if _is_given_up(shop, study):
        shop.ledger.advance(study, REFUSED, problem=_after_tries(shop, study.problem))
        return
    try:
        with shop.ledger.working_on(study.study):
            steps[study.state](shop, study)
    except (ScanError, UsageError) as error:
        if study.state in (RECEIVED, COMPLETE):
            shop.ledger.advance(study, REFUSED, problem=_plain(error))
        else:
            _try_later(shop, study, _plain(error))
    except sqlite3.Error as error:
        log.error("The ledger or the gallery cannot be written (%s).", type(error).__name__)
        raise
    except OSError as error:
        _try_later(shop, study, f"disk or network: {error.strerror or type(error).__name__}")
    except BraincaseError as error:
        _try_later(shop, study, _plain(error))
    except Exception as error:  # a study nobody thought of must not end the node
        log.error("Study %s: %s at %s", study.study, type(error).__name__, _place_of(error))
        _try_later(shop, study, f"unexpected: {type(error).__name__}")


def _place_of(error: Exception) -> str:
    """Return the file and line that raised; the message may quote a patient's values."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"


def _plain(error: BraincaseError) -> str:
    """Return an error without names of files, which are hashes, and without what a file says."""
    return " ".join(
        part for part in (error.found, error.expected and f"; expected {error.expected}") if part
    )


def _try_later(shop: Workshop, study: Study, problem: str) -> None:
    limits = shop.settings.limits
    if _is_given_up(shop, study, 1):
        shop.ledger.advance(study, REFUSED, problem=_after_tries(shop, problem))
        return
    pause = min(limits.retry_s * 2.0**study.attempts, limits.most_retry_s)
    shop.ledger.postpone(study, problem, pause)


def _is_given_up(shop: Workshop, study: Study, more: int = 0) -> bool:
    """Say whether a study, with more failed tries, was tried often enough; sending has no end."""
    return study.attempts + more >= shop.settings.limits.tries and study.state != MADE


def _after_tries(shop: Workshop, problem: str) -> str:
    return f"{problem} ({shop.settings.limits.tries} tries)"


def _complete(shop: Workshop, study: Study) -> None:
    """Judge a study that has become quiet: whose it is."""
    if len(shop.ledger.subjects_of(study.study)) > 1:
        found = "instances of several patients under one study"
        raise ScanError("study", found, "one patient: correct it in the archive and send it again")
    shop.ledger.advance(study, COMPLETE)


def _prepare(shop: Workshop, study: Study) -> None:
    images = shop.spool.images(study.study)
    scan = choose(images)
    embedded = shop.preparer.prepare(scan, study.study)
    grid = grid_of_resolution(shop.grid_mm)
    folder, model = shop.spool.prepared(study.study), shop.gallery.fingerprint
    write_prepared(folder, embedded, scan.subject, scan.files, grid, model)
    source = read_source([scan.path / name for name in scan.files], shop.key)
    subject = pseudonym(owner_of(source.header).key, shop.key)
    session = session_of(pseudonym(source.study_uid, shop.key))
    accession = str(source.header.get("AccessionNumber") or "")
    middle = source.images[len(source.images) // 2]
    link = Link(session, subject, source.study_uid, accession, middle)
    add_link(shop.spool.folder / LINKS, link)
    shop.ledger.advance(study, PREPARED, subject=subject)


def _finished(shop: Workshop, study: Study) -> tuple[FinishedSearch, tuple[Path, ...]]:
    """Search with a prepared study, in the version that it was first searched in."""
    folder = shop.spool.prepared(study.study)
    prepared = read_prepared(folder, grid_of_resolution(shop.grid_mm))
    results = shop.settings.results
    subject = study.subject or prepared.subject
    made = prepared.scan
    scan = QueryScan(made.volume, "query", prepared.subject, made.labels, made.notes)
    k = at_most_everybody(shop.gallery, results.k, study.version)
    options = SearchOptions(k=k, where=results.where, subject=subject, as_of=study.version)
    fingerprint = shop.gallery.fingerprint
    found = search_by_embedding(shop.gallery, made.code, fingerprint, scan, options)
    images = shop.spool.images(study.study)
    return found, tuple(images / name for name in prepared.files)


def _search(shop: Workshop, study: Study) -> None:
    found, _ = _finished(shop, study)
    shop.ledger.advance(study, SEARCHED, version=found.result.gallery_version)


def _make(shop: Workshop, study: Study) -> None:
    """Make the results as files."""
    found, paths = _finished(shop, study)
    results = shop.settings.results
    composed = answer(found, results.label, normality=results.normality)
    source = read_source(paths, shop.key)
    folder = shop.spool.results(study.study)
    names = []
    for name, content in _objects(shop, found, composed, source).items():
        write_object(folder / name, content)
        names.append(name)
    shop.ledger.set_results(study.study, names)
    shop.ledger.advance(study, MADE, results=len(names))


def _objects(
    shop: Workshop, found: FinishedSearch, composed: Answer, source: Source
) -> dict[str, object]:
    """Return all result objects by file name; the name follows from the UID."""
    results, version = shop.settings.results, found.result.gallery_version
    model, gallery = shop.gallery.fingerprint, Path(urlsplit(shop.gallery.info().url).path).name
    wish = (results.k, results.where, results.label, results.normality, results.hit_studies)
    parts = (model, gallery, version, found.query.image_hash, wish)
    made, series = datetime.now(), results.series_number
    text, objects = text_of(composed), []
    cases = _pictures(found, text.nearness)
    if results.report:
        studies = _hit_studies(shop, composed) if results.hit_studies else {}
        searched = Searched(model, gallery, version, studies)
        objects.append(report_object(composed, searched, source, series, parts, made))
    if results.pictures:
        objects += picture_objects(cases, text.warning, source, series + 1, parts, made)
    if results.pdf:
        lines = [text.warning] if text.warning else []
        lines += [f"{case.heading}   {case.details}" for case in cases[1:]]
        for heading, texts in text.sections:
            lines += ["", heading, *texts]
        drawn = draw_pictures(cases, text.warning)
        objects.append(pdf_object(lines, drawn, source, series + 2, parts, made))
    return {shop.spool.result_name(str(one.SOPInstanceUID)): one for one in objects}


def _pictures(found: FinishedSearch, nearness: Mapping[str, str]) -> list[CasePicture]:
    version = found.result.gallery_version
    hits = [
        hit_picture(found.gallery, hit, version, nearness=nearness.get(hit.scan_id, ""))
        for hit in found.result.hits[:8]
    ]
    query = picture_of_query(found)
    return [CasePicture("This study", query.details, query.planes), *hits]


def _hit_studies(shop: Workshop, composed: Answer) -> dict[str, Link]:
    """Return the hits' studies by scan_id, where session and person are in the link file."""
    hits = [one.hit for one in composed.hits]
    links = links_of(shop.spool.folder / LINKS, [hit.session or "" for hit in hits])
    found = {hit.scan_id: links.get(hit.session or "") for hit in hits}
    people = {hit.scan_id: hit.subject for hit in hits}
    return {scan: link for scan, link in found.items() if link and link.subject == people[scan]}


def _send(shop: Workshop, study: Study) -> None:
    archive, ledger = shop.settings.archive, shop.ledger
    waiting = ledger.unsent(study.study)
    if archive is not None and waiting:
        folder = shop.spool.results(study.study)
        paths = [folder / name for name in waiting]
        ledger.drop_commitment(study.study)

        def sent(path: Path) -> None:
            ledger.mark_sent(study.study, path.name)

        if archive.stow:
            WebArchive(archive).store(paths, sent)
        else:
            send(archive, shop.settings.node.ae_title, paths, sent)
    if archive is not None and archive.commit:
        _await_commitment(shop, study, archive)
    note = "" if archive else "no [archive]: the results stay in the spool"
    ledger.advance(study, SENT, problem=note)


def _await_commitment(shop: Workshop, study: Study, archive: Archive) -> None:
    """Ask the archive to commit to keeping the results, and wait a moment for its word.

    Raises
    ------
    ArchiveError
        If it has not given it yet.
    """
    ledger, until = shop.ledger, time.monotonic() + COMMITMENT_S
    state = ledger.commitment(study.study)
    if state is None or (not state[1] and time.time() - state[0] > ASK_AGAIN_S):
        request = new_transaction()
        ledger.ask_commitment(study.study, request)
        paths = sorted(shop.spool.results(study.study).glob("*.dcm"))
        ask_commitment(archive, shop.settings.node.ae_title, request, paths)
    while not ((state := ledger.commitment(study.study)) and state[1]):
        if time.monotonic() > until:
            found = "has not yet committed to keeping the results"
            raise ArchiveError(f"archive {archive.ae_title}", found, "its N-EVENT-REPORT")
        time.sleep(0.05)


def check_gallery(gallery: Gallery) -> None:
    """Refuse an empty gallery before the node listens.

    Raises
    ------
    GalleryError
        If it has no cases.
    """
    if not gallery.info().cases:
        raise GalleryError(gallery.info().url, "no cases", "a gallery to search in")
