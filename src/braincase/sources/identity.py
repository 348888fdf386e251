"""Identity resolution: which names, on disk and in tables, are one person and one visit, and why.

The documented procedure is in ``docs/sources.md``. Two names are one person only where they are the
same, or the same but for zeros in front, a prefix ``sub-`` or the case of letters, and nobody else
could be meant. A row about a visit counts for that visit only.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from braincase.errors import some_of
from braincase.labels import Value
from braincase.sources.cells import identifiers
from braincase.sources.dates import date_column, holds_dates
from braincase.sources.rows import Labels, SourceTable, clean, common_name
from braincase.sources.words import PLACEHOLDERS

#: Columns that name the image, the person and the visit, in the order they are looked for.
PATH = ("path", "image", "file", "filename", "t1w", "filepath", "file_path", "image_path")
SUBJECT = (
    *("subject", "subject_id", "participant_id", "patient_id", "ptid", "sub", "participant"),
    *("patient", "subjectid", "participantid", "subj", "subj_id", "src_subject_id", "subject_key"),
)
SESSION = (
    *("session", "session_id", "visit", "viscode", "timepoint", "ses", "visit_id", "wave"),
    *("session_label", "time_point", "ses_id", "sessionid"),
)
#: The first visit, as studies call it.
BASELINE = r"b(?:ase)?l(?:ine)?|base|m(?:o|onth)?0+"
DATE = ("scan_date", "mri_date", "acq_date", "date", "visit_date", "exam_date", "examdate")


@dataclass(frozen=True)
class Person:
    """What a table says of one person: a row for all visits, or a row for each.

    Parameters
    ----------
    rows
        The indices of the person's rows in the table.
    """

    rows: tuple[int, ...]


@dataclass(frozen=True)
class PeopleTable:
    """A table of people, ready to be joined with scans.

    Parameters
    ----------
    table
        As it was read.
    labels
        The labels of its rows.
    people
        The rows of each person, by the name in the table.
    session
        The column of the visit, or None.
    notes
        What had to be decided, one sentence each.
    """

    table: SourceTable
    labels: Labels
    people: Mapping[str, Person]
    session: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Match:
    """Which name on disk is which name in a table.

    Parameters
    ----------
    names
        The table's name by the name on disk.
    notes
        Which were joined by more than their letters, and which fit nothing.
    """

    names: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Labels of one scan from a table, and the evidence for them."""

    labels: Mapping[str, Value]
    evidence: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def column_among(columns: Iterable[str], names: Sequence[str]) -> str | None:
    """Return the one column that goes by one of these names, in any language."""
    present = list(columns)
    common = {common_name(column): column for column in reversed(present)}
    return next((n for n in names if n in present), None) or next(
        (common[name] for name in names if name in common), None
    )


def people_table(table: SourceTable, labels: Labels, who: str, when: str | None) -> PeopleTable:
    """Group a table's rows by person; placeholders are nobody."""
    names, notes = identifiers(table.cells(who))
    notes = [f"{table.name}, {table.headers.get(who, who)}: {note}" for note in notes]
    nobody = placeholders(names)
    people: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        if name and name not in nobody:
            people[name].append(i)
    empty = [table.lines[i] for i, name in enumerate(names) if not name]
    if empty:
        notes.append(f"{table.name}: {some_of(empty)} without a name are of nobody")
    if nobody:
        notes.append(f"{table.name}: {some_of(sorted(nobody))} is a placeholder, no person")
    rows = {name: Person(tuple(indices)) for name, indices in people.items()}
    return PeopleTable(table, labels, rows, when, tuple(notes))


def placeholders(names: Iterable[str]) -> set[str]:
    """Return the names that stand for nobody (ANONYMOUS, unknown, 0000), where they repeat.

    A word of this kind that stands once is somebody's odd name; 0000 beside 0001 is a number.
    """
    names = list(names)
    count = Counter(name.lower() for name in names)
    widths = {len(name) for name in count if name.isdigit() and name.strip("0")}
    return {
        name
        for name in names
        if count[name.lower()] > 1
        and is_placeholder(name)
        and not (name.isdigit() and len(name) in widths)
    }


def is_placeholder(name: str) -> bool:
    """Say whether a name says who nobody is."""
    bare = re.sub(r"[\W_]+", "", name.lower())
    return bare in PLACEHOLDERS or bool(re.fullmatch(r"0{2,}|9{4,}|x{2,}", bare))


def match_names(on_disk: Iterable[str], in_table: Iterable[str], table: str) -> Match:
    """Join names on disk with names in a table, as sure as letters allow.

    First equal names, then those equal but for ``sub-``, zeros in front, marks between and the case
    of letters, if only one on each side could be meant. Whatever fits nothing is said.
    """
    disk, rows = list(dict.fromkeys(on_disk)), list(dict.fromkeys(in_table))
    names: dict[str, str] = {}
    bare = {row.removeprefix("sub-"): row for row in rows}
    for name in disk:
        if (own := name.removeprefix("sub-")) in bare:
            names[name] = bare[own]
    joined, unsure = [], []
    for step in (folded, unpadded):
        left = [name for name in disk if name not in names]
        free = [row for row in rows if row not in names.values()]
        by_key: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for name in left:
            by_key[step(name)][0].append(name)
        for row in free:
            by_key[step(row)][1].append(row)
        taken = {step(name) for name in names}
        for key, (ours, theirs) in by_key.items():
            if not ours or not theirs or not key:
                continue
            if len(ours) == len(theirs) == 1 and (step is folded or key not in taken):
                names[ours[0]] = theirs[0]
                joined.append(f"{theirs[0]} is {ours[0]}")
            else:
                unsure.append(f"{some_of(theirs)} may be {some_of(ours)}")
    notes = []
    if joined:
        notes.append(
            f"{table}: {some_of(joined)} (but for zeros, prefix, marks or case; no other fits)"
        )
    if unsure:
        notes.append(f"{table}: {some_of(dict.fromkeys(unsure))}: not joined")
    rest = [row for row in rows if row not in names.values()]
    without = [name for name in disk if name not in names]
    if rest and rows:
        notes.append(f"{table}: {_rows(len(rest))} no scan ({some_of(rest)})")
    if without and rows:
        notes.append(f"{table}: no row for {some_of(without)}")
    return Match(names, tuple(notes))


def facts_of(people: PeopleTable, name: str, session: str | None) -> Facts:
    """Return what a table says of a person at a visit.

    Of several rows the one of the visit counts; where none can be told, only what all of them say
    counts, and the rest is left out and said.
    """
    person = people.people.get(name)
    if person is None:
        return Facts({})
    indices, how = list(person.rows), ""
    if len(indices) > 1 or (people.session and session):
        chosen, how = _rows_of_visit(people, indices, session)
        if chosen:
            indices = chosen
        elif len(indices) == 1:
            return _other_visit(people, indices[0], name, session)
    labels, differing = _agreed([people.labels.rows[i] for i in indices])
    places = ", ".join(str(people.table.lines[i]) for i in indices[:5])
    evidence = f"labels from line {places} of {people.table.name}{how}"
    notes: tuple[str, ...] = ()
    if differing:
        visit = f" at {session}" if session else ""
        why = "which is of this visit is not said" if session else "no session tells them apart"
        notes = (
            f"{people.table.name}: {name}{visit} has {len(indices)} rows with another "
            f"{', '.join(differing)}: left out, for {why}",
        )
    return Facts(labels, (evidence,), notes)


def _other_visit(people: PeopleTable, index: int, name: str, session: str | None) -> Facts:
    """Return the lasting facts of a row about another visit."""
    row = people.labels.rows[index]
    labels = {key: value for key, value in row.items() if key in LASTING}
    note = f"{people.table.name}: no row for {name} at {session}"
    where = f"lasting facts from {people.table.place(index)}, a row of another visit"
    return Facts(labels, (where,) if labels else (), (note,))


#: What does not change from one visit to another.
LASTING = ("sex", "handedness", "race", "ethnicity")


def _rows_of_visit(
    people: PeopleTable, indices: Sequence[int], session: str | None
) -> tuple[list[int], str]:
    """Return the rows of a visit, by the session column or by the date that is its name."""
    if not session:
        return [], ""
    if people.session:
        column = people.session
        names, _ = identifiers([people.table.rows[i].get(column, "") for i in indices])
        for step in (_bare_visit, _unpadded_visit):
            fitting = [
                i for i, name in zip(indices, names, strict=True) if step(name) == step(session)
            ]
            if fitting:
                return fitting, f" by its column {people.table.headers.get(column, column)}"
    for column in people.table.columns:
        if not (common_name(column) in DATE or holds_dates(column, people.table.cells(column))):
            continue
        dates = date_column(people.table.cells(column))
        fitting = [
            i
            for i in indices
            if (day := dates.parse(people.table.rows[i].get(column, "")))
            and f"{day:%Y%m%d}" == clean(session)
        ]
        if fitting:
            return fitting, f" by its date, {people.table.headers.get(column, column)}"
    return [], ""


def _agreed(rows: Sequence[Mapping[str, Value]]) -> tuple[dict[str, Value], list[str]]:
    """Return what rows agree on, and the columns in which they do not."""
    names = dict.fromkeys(name for row in rows for name in row)
    agreed: dict[str, Value] = {}
    differing = []
    for name in names:
        values = {row[name] for row in rows if name in row}
        if len(values) == 1:
            agreed[name] = next(iter(values))
        else:
            differing.append(name)
    return agreed, differing


def folded(name: str) -> str:
    """Return a name's letters and digits, small, without ``sub-``."""
    return re.sub(r"[\W_]+", "", name.lower().removeprefix("sub-"))


def unpadded(name: str) -> str:
    """Return a name without zeros in front of its numbers."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", folded(name).removeprefix("sub"))


def _bare_visit(name: str) -> str:
    bare = clean(name.lower().removeprefix("ses-").removeprefix("ses")) or name
    return "baseline" if re.fullmatch(BASELINE, bare) else bare


def _unpadded_visit(name: str) -> str:
    bare = re.sub(r"^(session|visit|ses|timepoint|tp|v|wave|w|t)(?=\d)", "", _bare_visit(name))
    return re.sub(r"(?<!\d)0+(?=\d)", "", bare)


def _rows(n: int) -> str:
    return "1 row fits" if n == 1 else f"{n:,} rows fit"
