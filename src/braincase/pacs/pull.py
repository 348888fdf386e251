"""Pulling studies from an archive into a folder that ``braincase index`` reads.

Headers come first: a series is moved only if neither the archive's answer nor its own first header
says that it cannot be the T1w; what is not taken is listed with the reason. Each series is whole or
not there, so that a pull goes on where it was stopped.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from braincase.files import make_folder, write_json
from braincase.json_values import to_json
from braincase.pacs.archive_query import Asked, Wanted
from braincase.pacs.dicom_objects import write_object
from braincase.pacs.sending import ArchiveError
from braincase.pacs.settings import WINDOW, Pull
from braincase.pacs.spool import INSTANCE_LENGTH
from braincase.progress import progress
from braincase.sources.archive_links import FILE as LINKS
from braincase.sources.archive_links import Link, add_link
from braincase.sources.dicom_identity import owner_of
from braincase.sources.dicom_names import OTHER, T1, normalised
from braincase.sources.dicom_series import classify, group_series, volume_problems
from braincase.sources.pseudonym import pseudonym, session_of

#: Slices of a classic series below which no head is covered; an enhanced one has few instances.
FEWEST_SLICES, MOST_ENHANCED = 40, 4
CENSUS = ".pull-census.json"


@dataclass(frozen=True)
class Pulled:
    """What became of a pull.

    Parameters
    ----------
    studies
        How many matched.
    taken, there
        Series moved now, and those of an earlier pull.
    left
        Pairs of a series (pseudonym of its study, number, description) and why it was not taken.
    """

    studies: int
    taken: int
    there: int
    left: tuple[tuple[str, str], ...]

    def lines(self) -> list[str]:
        """Return what to tell the user."""
        head = f"{self.studies} studies, {self.taken} series taken, {self.there} there already"
        reasons = Counter(why for _, why in self.left).most_common()
        return [head, *(f"left out: {n} x {why}" for why, n in reasons)]


def pull(
    archive: Asked, wanted: Wanted, folder: Path, spool: Path, key: bytes, pace: Pull,
    body_part: str = "", dry_run: bool = False,
) -> Pulled:  # fmt: skip
    """Move the series that can be the T1w from an archive into a folder.

    Parameters
    ----------
    archive, wanted
        Whom to ask, and for which studies.
    folder
        Gets a folder a study and a series, with keyed hashes for names.
    spool
        Holds the link file.
    key
        Of the hashes.
    pace
        Rate limit and hours.
    body_part
        Only series of this BodyPartExamined; empty for any.
    dry_run
        Only say what would be taken.

    Raises
    ------
    ArchiveError
        If the archive cannot be asked; a series that fails is listed instead.
    """
    make_folder(folder)
    taken, there = 0, 0
    left: list[tuple[str, str]] = []
    studies = sorted({str(one.StudyInstanceUID) for one in archive.studies(wanted)})
    with progress("pulling", len(studies)) as advance:
        for study in studies:
            name = pseudonym(study, key)
            for series in archive.series(study):
                target = folder / name / pseudonym(str(series.SeriesInstanceUID), key)
                if target.is_dir():
                    there += 1
                    continue
                why = _take(archive, study, series, target, spool, key, pace, body_part, dry_run)
                if why:
                    left.append((f"{name} series {series.get('SeriesNumber') or '?'}", why))
                else:
                    taken += 1
            advance()
    done = Pulled(len(studies), taken, there, tuple(left))
    write_json(folder / CENSUS, to_json(done))
    return done


def _take(
    archive: Asked, study: str, series: Any, target: Path, spool: Path, key: bytes, pace: Pull,
    body_part: str, dry_run: bool,
) -> str:  # fmt: skip
    """Move a series if it can be the T1w, and return why not."""
    uid = str(series.SeriesInstanceUID)
    try:
        why = against(series, body_part) or _against_header(archive, study, uid)
        if not why and not dry_run:
            _await_turn(pace)
            _move(archive, study, uid, target, spool, key)
    except ArchiveError as error:
        return error.found
    return why


def against(series: Any, body_part: str = "") -> str:
    """Return why a series, by what the archive says of it, cannot be the T1w; or nothing."""
    modality = str(series.get("Modality") or "")
    if modality != "MR":
        return f"no MRI (modality {modality or 'not given'})"
    count = int(series.get("NumberOfSeriesRelatedInstances") or 0)
    if MOST_ENHANCED < count < FEWEST_SLICES:
        return "too few slices"
    part = str(series.get("BodyPartExamined") or "")
    if body_part and part and part.upper() != body_part.upper():
        return f"another part of the body ({part})"
    words = normalised(str(series.get("SeriesDescription") or ""))
    other = OTHER.search(words)
    if other and not T1.search(words):
        return f"named {(other.group(1) or other.group(2))!r}"
    return ""


def _against_header(archive: Asked, study: str, series: str) -> str:
    """Look at one image's header: what it says against a T1w, its place among the slices apart."""
    instances = archive.instances(study, series)
    if not instances:
        return "no instances"
    image = next(iter(archive.get(study, series, sorted(instances)[len(instances) // 2])), None)
    if image is None:
        return "its image cannot be had"
    (found,) = group_series({"image": image})
    geometry = set(volume_problems(found))
    reasons = [why for why in classify(found).reasons if why not in geometry]
    return "; ".join(reasons) if classify(found).answer == "no" and reasons else ""


def _move(archive: Asked, study: str, series: str, target: Path, spool: Path, key: bytes) -> None:
    """Move one series into a folder that appears when it is whole."""
    make_folder(target.parent)
    aside = target.with_name(f".{target.name}")
    shutil.rmtree(aside, ignore_errors=True)
    header, images = None, []
    for image in archive.get(study, series):
        name = pseudonym(str(image.SOPInstanceUID), key, INSTANCE_LENGTH)
        make_folder(aside)
        write_object(aside / f"{name}.dcm", image)
        header = image
        images.append(
            (int(image.get("InstanceNumber") or 0), image.SOPClassUID, image.SOPInstanceUID)
        )
    if header is None:
        raise ArchiveError("archive", "no image of the series came", "its images")
    subject = pseudonym(owner_of(header).key, key)
    session = session_of(pseudonym(study, key))
    _, kind, instance = sorted(images)[len(images) // 2]
    accession = str(header.get("AccessionNumber") or "")
    link = Link(session, subject, study, accession, (str(kind), str(instance), series))
    add_link(spool / LINKS, link)
    os.replace(aside, target)


def _await_turn(pace: Pull) -> None:
    """Wait for the hours at which images may be moved, and between two series."""
    while not is_open(pace.window, datetime.now()):
        time.sleep(30)
    if pace.per_minute:
        time.sleep(60 / pace.per_minute)


def is_open(window: str, now: datetime) -> bool:
    """Say whether a moment lies in a window of hours; one may run over midnight."""
    match = WINDOW.fullmatch(window)
    if match is None:
        return True
    begin, end = (60 * int(match[i]) + int(match[i + 1]) for i in (1, 3))
    minute = 60 * now.hour + now.minute
    return begin <= minute < end if begin <= end else minute >= begin or minute < end


def pulled_of(folder: Path, subject: str, key: bytes) -> Iterator[Path]:
    """Yield the series folders of a person in a folder that was pulled."""
    from braincase.sources.dicom_files import open_files, read_headers

    for study in folder.iterdir():
        for series in study.iterdir() if study.is_dir() else ():
            first = next(iter(sorted(series.glob("*.dcm"))), None)
            if first is None:
                continue
            with open_files(first) as files:
                headers = read_headers(files)[0]
            if any(pseudonym(owner_of(h).key, key) == subject for h in headers.values()):
                yield series
