"""Forgetting a patient or a study: gallery, spool, results not yet sent, links, pulled images.

A patient is found by PatientID; what a study of theirs is called by its own UID is found through
it, so that the link and the case go too where the series named nobody. A study whose PatientID was
replaced before it came is not theirs for anybody here: it is removed by its own number.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from braincase.errors import UsageError
from braincase.gallery import open_gallery
from braincase.pacs.ledger import FILE, Ledger
from braincase.pacs.pull import pulled_of
from braincase.pacs.settings import PacsSettings
from braincase.pacs.spool import Spool, locked
from braincase.sources.archive_links import FILE as LINKS
from braincase.sources.archive_links import Link, find_links, forget_session, links_of
from braincase.sources.pseudonym import pseudonym, session_of


@dataclass(frozen=True)
class Whose:
    """Whose images are removed: exactly one of PatientID, StudyInstanceUID, AccessionNumber."""

    patient: str = ""
    study: str = ""
    accession: str = ""


@dataclass(frozen=True)
class Forgotten:
    """How much was there: studies in the spool, links, cases, pulled series."""

    studies: int
    links: int
    cases: int
    series: int


def forget(
    settings: PacsSettings, whose: Whose, key: bytes, gallery: str, pulled: Sequence[Path] = ()
) -> Forgotten:
    """Remove a patient or a study; the node must not run meanwhile.

    Parameters
    ----------
    settings
        Of the node.
    whose
        What is removed.
    key
        Of pseudonyms.
    gallery
        Its cases are erased from all versions.
    pulled
        Folders that were pulled into.

    Raises
    ------
    UsageError
        If the node runs, or no study of this accession number is in the link file.
    GalleryError
        If there is no such gallery.
    """
    path = settings.node.spool / LINKS
    subject = pseudonym(whose.patient, key) if whose.patient else ""
    links = _links(path, whose, subject)
    sessions = {link.session for link in links}
    sessions |= {session_of(pseudonym(whose.study, key))} if whose.study else set()
    with locked(settings.node.spool):
        studies, more = _forget_in_spool(settings, key, subject, sessions)
        sessions |= more
        subjects = {link.subject for link in links_of(path, sessions).values()} | {subject} - {""}
        cases = _erase(gallery, subject, subjects, sessions)
        n_links = sum(forget_session(path, session) for session in sessions)
    n_series = sum(_forget_pulled(folder, subject, sessions, key) for folder in pulled)
    return Forgotten(studies, n_links, cases, n_series)


def _links(path: Path, whose: Whose, subject: str) -> list[Link]:
    if whose.patient:
        return find_links(path, subject=subject)
    if whose.study:
        return find_links(path, study=whose.study)
    links = find_links(path, accession=whose.accession)
    if not links:
        advice = "Ask the archive for its StudyInstanceUID, and give --study."
        raise UsageError(path, "no study of this accession number", "one", advice)
    return links


def _forget_in_spool(
    settings: PacsSettings, key: bytes, subject: str, sessions: set[str]
) -> tuple[int, set[str]]:
    """Remove studies from spool and ledger; return how many, and their sessions' pseudonyms."""
    if not (settings.node.spool / FILE).exists():
        return 0, set()
    with closing(Ledger(settings.node.spool)) as ledger:
        spool = Spool(settings.node, settings.limits, key, ledger)
        studies = set(ledger.of_subject(subject)) if subject else set()
        studies |= {one.study for one in ledger.studies() if session_of(one.study) in sessions}
        for study in studies:
            spool.forget(study)
        return len(studies), {session_of(study) for study in studies}


def _erase(gallery: str, subject: str, subjects: set[str], sessions: set[str]) -> int:
    """Erase the cases of a person, and of sessions, from all versions of a gallery."""
    with closing(open_gallery(gallery)) as opened:
        cases = [case for case in opened.cases() if case.session in sessions]
        people = {*subjects, *(case.subject for case in cases)}
        for one in people:
            ever = opened.person(one, ever=True)
            cases += [case for case in ever if one == subject or case.session in sessions]
        names = list(dict.fromkeys(case.scan_id for case in cases))
        if names:
            opened.remove(names, erase=True)
        return len(names)


def _forget_pulled(folder: Path, subject: str, sessions: set[str], key: bytes) -> int:
    series = set(pulled_of(folder, subject, key)) if subject else set()
    for study in folder.iterdir():
        if study.is_dir() and session_of(study.name) in sessions:
            series |= {found for found in study.iterdir() if found.is_dir()}
    for found in series:
        shutil.rmtree(found)
    return len(series)
