"""Identity clashes between cohorts: one name, two images, most likely of two people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from braincase.cohort.cohort import Cohort
from braincase.errors import some_of
from braincase.gallery import Gallery, NewCase, StoredCase

#: What keeps the people of two sites apart.
TELL_APART = "braincase prepare SCANS OUT --site NAME puts a site's name before its subjects"


def taken_by_another(scan: NewCase, there: StoredCase | None, url: str) -> str:
    """Return why a scan may not replace what the gallery has of its name, or nothing.

    The same image in another folder is the same scan, moved or prepared there.
    """
    if there is None or there.cohort is None or scan.cohort is None:
        return ""
    if scan.image_hash is None or there.image_hash in (None, scan.image_hash):
        return ""
    if _same_folder(there.cohort, Path(scan.cohort)):
        return ""
    return (
        f"{url} has another image of this name, from {there.cohort}. Of another person:"
        f" {TELL_APART}; prepared anew: braincase gallery remove {url} SCAN, then index again"
    )


def people_elsewhere(gallery: Gallery, cohort: Cohort) -> Mapping[str, Path]:
    """Return subjects of a cohort whose scans in the gallery all are others, from another folder.

    They may be two people of one number. Who has an image in common is one person.
    """
    if not gallery.info().cases:
        return {}
    found = {}
    hashes = cohort.table.groupby("subject")["image_hash"].agg(set)
    for subject, own in hashes.items():
        cases = [case for case in gallery.person(str(subject)) if case.cohort is not None]
        if any(case.image_hash in own for case in cases):
            continue
        others = [c.cohort for c in cases if c.cohort and not _same_folder(c.cohort, cohort.folder)]
        if others:
            found[str(subject)] = others[0]
    return found


def note_on(people: Mapping[str, Path]) -> str:
    """Return what to say of people who have scans of another cohort too, by `people_elsewhere`."""
    shown = some_of(f"sub-{subject}" for subject in people)
    return (
        f"{shown} had other scans in this gallery, from {next(iter(people.values()))}, and are"
        f" taken for the same people; if they are others, {TELL_APART}"
    )


def _same_folder(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
