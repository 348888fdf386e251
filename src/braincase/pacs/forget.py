"""Forgetting a patient: gallery, spool, results not yet sent, links, and pulled images."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from braincase.gallery import open_gallery
from braincase.pacs.ledger import FILE, Ledger
from braincase.pacs.links import forget_subject
from braincase.pacs.pull import pulled_of
from braincase.pacs.settings import PacsSettings
from braincase.pacs.spool import Spool, locked
from braincase.sources.pseudonym import pseudonym


@dataclass(frozen=True)
class Forgotten:
    """How much of a patient was there: studies in the spool, links, cases, pulled series."""

    studies: int
    links: int
    cases: int
    series: int


def forget(
    settings: PacsSettings, patient: str, key: bytes, gallery: str, pulled: Sequence[Path] = ()
) -> Forgotten:
    """Remove a patient; the node must not run meanwhile.

    Parameters
    ----------
    settings
        Of the node.
    patient
        The PatientID.
    key
        Of pseudonyms.
    gallery
        Its cases of this patient are erased from all versions.
    pulled
        Folders that were pulled into.

    Raises
    ------
    UsageError
        If the node runs.
    GalleryError
        If there is no such gallery.
    """
    subject = pseudonym(patient, key)
    with locked(settings.node.spool):
        studies: list[str] = []
        if (settings.node.spool / FILE).exists():
            with closing(Ledger(settings.node.spool)) as ledger:
                spool = Spool(settings.node, settings.limits, key, ledger)
                studies = ledger.of_subject(subject)
                for study in studies:
                    spool.forget(study)
        links = forget_subject(settings.node.spool, subject)
        with closing(open_gallery(gallery)) as opened:
            cases = list(dict.fromkeys(one.scan_id for one in opened.person(subject, ever=True)))
            if cases:
                opened.remove(cases, erase=True)
    series = [found for folder in pulled for found in pulled_of(folder, subject, key)]
    for found in series:
        shutil.rmtree(found)
    return Forgotten(len(studies), links, len(cases), len(series))
