"""Read a BIDS data set: its T1w images, its tables and its sidecars.

Only raw ``*_T1w`` images under ``sub-*/[ses-*/]anat`` count; derivatives, other suffixes and images
marked as processed (``desc-``, ``space-``, ``label-``) do not. Where a visit has several, the plain
first run is taken and the others are listed. The standard is at bids-specification.readthedocs.io.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from braincase.errors import UsageError
from braincase.files import check_regular
from braincase.json_values import parse_json
from braincase.labels import Value
from braincase.sources.census import Census, no_label_note, take_census
from braincase.sources.choose import Dropped, Rank, image_marks, one_a_session
from braincase.sources.identity import (
    SUBJECT,
    PeopleTable,
    column_among,
    facts_of,
    match_names,
)
from braincase.sources.image_names import entities_of
from braincase.sources.listing import file_problem, is_hidden
from braincase.sources.rows import label_column_of, label_name, read_table_file
from braincase.sources.scan import Scan
from braincase.sources.tables import account, all_notes, people_of

T1W = re.compile(r"^.+_T1w\.(nii|nii\.gz|mgz|hdr)$")
#: Other images of a head's anatomy, which are listed with the reason.
OTHER_T1W = re.compile(r"^.+_(UNIT1|T1map|inv-\d+_MP2RAGE|MP2RAGE)\.(nii|nii\.gz)$")
MP2RAGE = "an MP2RAGE's UNIT1 has noise for a background: put a denoised one there as _T1w"
#: Entities of images that somebody made from others.
PROCESSED = ("desc", "space", "label", "den", "atlas")
#: Entities that make an image a second choice, in this order.
SECOND_CHOICE = ("part", "echo", "inv", "rec", "acq", "ce")
#: Where the table of people stands, the first that is there; BIDS knows the first only.
PARTICIPANTS = ("participants.tsv", "participants.csv", "participants.xlsx")
Labels = dict[str, Value]


@dataclass(frozen=True)
class _Sidecar:
    """A JSON file that holds for all images with its entities in or below its folder."""

    name: str
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
    evidence: tuple[str, ...]


class _People:
    """The facts of all people and visits, and what there is to say about their tables."""

    def __init__(self, folder: Path, subjects: list[str]) -> None:
        self.notes: list[str] = []
        self.tables: list[str] = []
        self.columns: set[str] = set()
        self.used: set[int] = set()
        self.table = self._participants(folder)
        if self.table is None:
            self.names = {}
            return
        match = match_names(
            [f"sub-{s}" for s in subjects], _prefixed(self.table), self.table.table.name
        )
        back = {_with_prefix(name): name for name in self.table.people}
        self.names = {disk: back[row] for disk, row in match.names.items()}
        self.notes += [*all_notes(self.table), *match.notes]
        self.columns = {name for row in self.table.labels.rows for name in row}

    def _participants(self, folder: Path) -> PeopleTable | None:
        here = [folder / name for name in PARTICIPANTS if os.path.lexists(folder / name)]
        if not here:
            self.notes.append("no participants.tsv: no labels from it")
            return None
        path = here[0]
        if reason := file_problem(path):
            self.notes.append(f"{path.name}: {reason}; its labels are missing")
            return None
        if path.name != PARTICIPANTS[0]:
            self.notes.append(f"{path.name} is read, for there is no participants.tsv")
        table = read_table_file(path, lambda columns: column_among(columns, WHO) is not None)
        who = column_among(table.columns, WHO)
        if table.rows and (who is None):
            advice = "Add or rename it."
            raise UsageError(path, "no column participant_id", "one row a participant_id", advice)
        return people_of(table, who) if who else None

    def facts(self, subject: str, session: str | None) -> tuple[Labels, tuple[str, ...]]:
        """Return the labels of a person at a visit, and the evidence."""
        if self.table is None or f"sub-{subject}" not in self.names:
            return {}, ()
        name = self.names[f"sub-{subject}"]
        facts = facts_of(self.table, name, session)
        if facts.evidence:
            self.used |= set(self.table.people[name].rows)
        self.notes += facts.notes
        return dict(facts.labels), facts.evidence

    def accounts(self) -> list[str]:
        """Return what became of all tables."""
        mine = account(self.table, len(self.used)) if self.table else []
        return [*mine, *self.tables]


#: What the column of the person is called; ``id`` alone could be anything.
WHO = ("participant_id", *SUBJECT)


def is_bids(folder: Path) -> bool:
    """Say whether a folder is the root of a BIDS data set."""
    subjects = [Path(entry.path) for entry in _subfolders(folder, "sub-")]
    homes = (home for s in subjects for home in (s, *map(Path, _subfolders(s, "ses-"))))
    return any((home / "anat").is_dir() for home in homes)


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
    people = _People(folder, [entry.name[4:] for entry in subjects])
    shared = _sidecars(folder)
    ranked: list[tuple[Rank, Scan]] = []
    dropped: Dropped = []
    for entry in subjects:
        before = len(ranked) + len(dropped)
        for session in _sessions(Path(entry.path), shared, people):
            for image in _images(session.anat):
                reason = _reason(image, session)
                if reason:
                    dropped.append((str(image), reason))
                else:
                    ranked.append((_rank(image), _scan(image, session)))
        if before == len(ranked) + len(dropped):
            dropped.append((entry.path, "a subject without a T1w"))
    scans, second = one_a_session(ranked)
    scans.sort(key=lambda scan: scan.scan_id)
    column = label_name(label_column) or label_column_of(people.columns)
    notes = (*people.notes, *no_label_note(scans, column))
    return scans, take_census(
        scans, dropped + second, column, image_marks(scans), notes, people.accounts()
    )


def _sessions(subject: Path, shared: list[_Sidecar], people: _People) -> Iterator[_Session]:
    """Yield a subject's sessions, with the sidecars and labels that hold for each."""
    name, sidecars = subject.name[4:], shared + _sidecars(subject)
    anat = subject / "anat"
    if anat.is_dir():
        labels, evidence = people.facts(name, None)
        yield _Session(name, None, anat, sidecars + _sidecars(anat), labels, evidence)
    visits = _visits(subject, people)
    for entry in _subfolders(subject, "ses-"):
        anat = Path(entry.path) / "anat"
        nearer = sidecars + _sidecars(Path(entry.path)) + _sidecars(anat)
        labels, evidence = people.facts(name, entry.name[4:])
        more, why = visits.get(entry.name[4:], ({}, ()))
        yield _Session(name, entry.name[4:], anat, nearer, labels | more, (*evidence, *why))


def _visits(subject: Path, people: _People) -> dict[str, tuple[Labels, tuple[str, ...]]]:
    """Return the labels of each visit from ``sub-*_sessions.tsv``."""
    path = subject / f"{subject.name}_sessions.tsv"
    if not os.path.lexists(path):
        return {}
    if reason := file_problem(path):
        people.notes.append(f"{path.name}: {reason}; its labels are missing")
        return {}
    table = read_table_file(path)
    key = column_among(table.columns, ("session_id", "session", "ses"))
    if table.rows and key is None:
        raise UsageError(path, "no column session_id", "one row a session_id", "Add or rename it.")
    if key is None:
        return {}
    by_visit = people_of(table, key)
    folders = [entry.name[4:] for entry in _subfolders(subject, "ses-")]
    names = {name.removeprefix("ses-"): name for name in by_visit.people}
    match = match_names(folders, names, path.name)
    people.notes += [*all_notes(by_visit), *match.notes]
    people.columns |= {name for row in by_visit.labels.rows for name in row}
    people.tables += account(by_visit, len(match.names))
    found = {}
    for visit, name in match.names.items():
        facts = facts_of(by_visit, names[name], None)
        people.notes += facts.notes
        found[visit] = (dict(facts.labels), facts.evidence)
    return found


def _with_prefix(name: str) -> str:
    return name if name.startswith("sub-") else f"sub-{name}"


def _prefixed(people: PeopleTable) -> list[str]:
    return [_with_prefix(name) for name in people.people]


def _images(anat: Path) -> list[Path]:
    """Return the T1-weighted images of a folder, links that lead nowhere too."""
    names = [Path(path) for path in _files(anat)]
    return [path for path in names if T1W.match(path.name) or OTHER_T1W.match(path.name)]


def _reason(image: Path, session: _Session) -> str:
    """Return why an image is left out, or an empty string."""
    entities = entities_of(image.name)
    processed = [f"{key}-{entities[key]}" for key in PROCESSED if key in entities]
    if processed:
        return f"a processed image ({', '.join(processed)})"
    if other := OTHER_T1W.match(image.name):
        return MP2RAGE if other[1] == "UNIT1" else f"no T1w by its suffix ({other[1]})"
    if (entities.get("sub"), entities.get("ses")) != (session.subject, session.name):
        return "its name does not fit its folder"
    part = entities.get("part", "mag")
    if part != "mag":
        return f"no magnitude image (part-{part})"
    return file_problem(image)


def _rank(image: Path) -> Rank:
    entities = entities_of(image.name)
    return sum(key in entities for key in SECOND_CHOICE), entities.get("run", "0").zfill(6)


def _scan(image: Path, session: _Session) -> Scan:
    entities = frozenset(image.name.split("_"))
    labels: Labels = {}
    evidence = [f"subject {session.subject} from the folder sub-{session.subject}"]
    if session.name:
        evidence.append(f"session {session.name} from the folder ses-{session.name}")
    for sidecar in session.sidecars:  # the nearer come later
        if sidecar.entities <= entities and sidecar.labels:
            labels |= sidecar.labels
            evidence.append(f"{', '.join(sidecar.labels)} from {sidecar.name}")
    if "ce" in entities_of(image.name):
        labels["contrast_medium"] = "yes"
        evidence.append("contrast_medium from the file name")
    evidence += session.evidence
    return Scan(image, session.subject, session.name, labels | session.labels, tuple(evidence))


def _sidecars(folder: Path) -> list[_Sidecar]:
    """Return the ``*_T1w.json`` and ``T1w.json`` of one folder, the more general first."""
    sidecars = []
    for path in _files(folder):
        name = os.path.basename(path)
        if name == "T1w.json" or name.endswith("_T1w.json"):
            stem = name.removesuffix("T1w.json").rstrip("_")
            entities = frozenset(stem.split("_")) - {""}
            sidecars.append(_Sidecar(name, entities, _scanner_labels(path)))
    return sorted(sidecars, key=lambda sidecar: len(sidecar.entities))


def _scanner_labels(path: str) -> Labels:
    """Return the columns that a sidecar's fields become; a broken sidecar says nothing."""
    try:
        fields = parse_json(check_regular(Path(path)).read_text(encoding="utf-8-sig"))
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
    try:
        with os.scandir(folder) as entries:
            subfolders = [e for e in entries if e.name.startswith(prefix) and os.path.isdir(e)]
    except OSError:
        return []
    return sorted(subfolders, key=lambda entry: entry.name)


def _files(folder: Path) -> list[str]:
    """Return a folder's files and links that lead nowhere; hidden ones are none."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.path for entry in entries if not is_hidden(entry.name) and not entry.is_dir()
            )
    except OSError:
        return []
