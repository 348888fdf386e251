"""Read a BIDS data set: its T1w images, its tables and its sidecars.

Only raw ``*_T1w`` images under ``sub-*/[ses-*/]anat`` count; derivatives, other suffixes and images
marked as processed (``desc-``, ``space-``, ``label-``) do not. Where a visit has several, the plain
first run is taken and the others are listed. The standard is at bids-specification.readthedocs.io.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from braincase.errors import UsageError
from braincase.labels import Value
from braincase.sources.census import Census, take_census
from braincase.sources.choose import Dropped, Rank, image_marks, one_a_session
from braincase.sources.rows import label_column_of, labels_of, read_rows
from braincase.sources.scan import Scan

T1W = re.compile(r"^.+_T1w\.(nii|nii\.gz|mgz|hdr)$")
#: Entities of images that somebody made from others.
PROCESSED = ("desc", "space", "label", "den", "atlas")
#: Entities that make an image a second choice, in this order.
SECOND_CHOICE = ("part", "echo", "inv", "rec", "acq", "ce")
Labels = dict[str, Value]


@dataclass(frozen=True)
class _Sidecar:
    """A JSON file that holds for all images with its entities in or below its folder."""

    entities: frozenset[str]
    labels: Labels


@dataclass(frozen=True)
class _Session:
    """One session of a subject: the folder of its images, and all labels that hold for them."""

    subject: str
    name: str | None
    anat: Path
    sidecars: list[_Sidecar]
    labels: Labels


def is_bids(folder: Path) -> bool:
    """Say whether a folder is the root of a BIDS data set."""
    if (folder / "participants.tsv").is_file():
        return True
    subjects = [entry.path for entry in _subfolders(folder, "sub-")]
    return any((Path(s) / "anat").is_dir() or _subfolders(Path(s), "ses-") for s in subjects)


def read_bids(folder: Path, label_column: str | None = None) -> tuple[list[Scan], Census]:
    """Return the T1w scans of a BIDS data set, one a visit, and its census.

    Labels come from ``participants.tsv``, ``sub-*_sessions.tsv`` and the sidecars (scanner, field
    strength, site), the nearer winning.

    Parameters
    ----------
    folder
        The root of the data set.
    label_column
        The column to count; if None, the one that most likely holds the class.

    Raises
    ------
    UsageError
        If there is no ``sub-*`` folder.
    """
    subjects = _subfolders(folder, "sub-")
    if not subjects:
        raise UsageError(folder, "no sub-* folder", "the root of a BIDS data set")
    people = _table(folder / "participants.tsv", "participant_id", "sub-")
    columns = {name for labels in people.values() for name in labels}
    shared = _sidecars(folder)
    ranked: list[tuple[Rank, Scan]] = []
    dropped: Dropped = []
    for entry in subjects:
        for session in _sessions(Path(entry.path), shared, people.get(entry.name, {})):
            for image in _t1w_files(session.anat):
                reason = _reason(image, session)
                if reason:
                    dropped.append((str(image), reason))
                else:
                    ranked.append((_rank(image), _scan(image, session)))
    scans, second = one_a_session(ranked)
    scans.sort(key=lambda scan: scan.scan_id)
    column = label_column or label_column_of(columns)
    return scans, take_census(scans, dropped + second, column, image_marks(scans))


def entities_of(stem: str) -> dict[str, str]:
    """Return the ``key-value`` pairs of a BIDS file name."""
    pairs = (part.partition("-") for part in stem.split("_"))
    return {key: value for key, dash, value in pairs if dash}


def _sessions(subject: Path, shared: list[_Sidecar], of_subject: Labels) -> Iterator[_Session]:
    """Yield a subject's sessions, with the sidecars and labels that hold for each."""
    name, sidecars = subject.name[4:], shared + _sidecars(subject)
    anat = subject / "anat"
    if anat.is_dir():
        yield _Session(name, None, anat, sidecars + _sidecars(anat), of_subject)
    table = _table(subject / f"{subject.name}_sessions.tsv", "session_id", "ses-")
    for entry in _subfolders(subject, "ses-"):
        anat = Path(entry.path) / "anat"
        nearer = sidecars + _sidecars(Path(entry.path)) + _sidecars(anat)
        labels = of_subject | table.get(entry.name, {})
        yield _Session(name, entry.name[4:], anat, nearer, labels)


def _t1w_files(anat: Path) -> list[Path]:
    return [Path(path) for path in _files(anat) if T1W.match(os.path.basename(path))]


def _reason(image: Path, session: _Session) -> str:
    """Return why an image is left out, or an empty string."""
    entities = entities_of(image.name)
    processed = [f"{key}-{entities[key]}" for key in PROCESSED if key in entities]
    if processed:
        return f"a processed image ({', '.join(processed)})"
    if (entities.get("sub"), entities.get("ses")) != (session.subject, session.name):
        return "its name does not fit its folder"
    part = entities.get("part", "mag")
    return f"no magnitude image (part-{part})" if part != "mag" else ""


def _rank(image: Path) -> Rank:
    entities = entities_of(image.name)
    return sum(key in entities for key in SECOND_CHOICE), entities.get("run", "0").zfill(6)


def _scan(image: Path, session: _Session) -> Scan:
    entities = frozenset(image.name.split("_"))
    labels: Labels = {}
    for sidecar in session.sidecars:  # the nearer come later
        if sidecar.entities <= entities:
            labels |= sidecar.labels
    return Scan(image, session.subject, session.name, labels | session.labels)


def _table(path: Path, key: str, prefix: str) -> dict[str, Labels]:
    """Return a BIDS table as labels by participant or session, prefix included."""
    if not path.is_file():
        return {}
    rows = read_rows(path)
    if rows and key not in rows[0]:
        raise UsageError(path, f"no column {key}", f"one row a {key}", "Add or rename it.")
    return {
        prefix + row[key].removeprefix(prefix): labels_of(row, (key,))
        for row in rows
        if row.get(key)
    }


def _sidecars(folder: Path) -> list[_Sidecar]:
    """Return the ``*_T1w.json`` and ``T1w.json`` of one folder, the more general first."""
    sidecars = []
    for path in _files(folder):
        name = os.path.basename(path)
        if name == "T1w.json" or name.endswith("_T1w.json"):
            stem = name.removesuffix("T1w.json").rstrip("_")
            entities = frozenset(stem.split("_")) - {""}
            sidecars.append(_Sidecar(entities, _scanner_labels(path)))
    return sorted(sidecars, key=lambda sidecar: len(sidecar.entities))


def _scanner_labels(path: str) -> Labels:
    """Return the columns that a sidecar's fields become; a broken sidecar says nothing."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            fields = json.load(file)
    except (OSError, ValueError):
        return {}
    if not isinstance(fields, dict):
        return {}
    words = [fields.get("Manufacturer"), fields.get("ManufacturersModelName")]
    labels = {
        "scanner": " ".join(str(word).strip() for word in words if word),
        "field_strength": fields.get("MagneticFieldStrength"),
        "site": fields.get("InstitutionName"),
    }
    return {k: v for k, v in labels.items() if isinstance(v, str | int | float) and v != ""}


def _subfolders(folder: Path, prefix: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        subfolders = [e for e in entries if e.name.startswith(prefix) and os.path.isdir(e)]
    return sorted(subfolders, key=lambda entry: entry.name)


def _files(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if os.path.isfile(entry))
    except FileNotFoundError:
        return []
