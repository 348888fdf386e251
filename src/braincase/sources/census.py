"""Data set summary (census): who is in a data set, who was left out, and why."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from braincase.json_values import Json, JsonObject, to_json_object
from braincase.labels import spelling_notes
from braincase.sources.scan import Scan

#: Facts of a person; two values of one for the same subject are a conflict.
CONSTANT_LABELS = ("sex", "handedness", "race", "ethnicity")
#: Sessions whose names are numbers in order of time: dates, days (d0129), visits (M06, 2).
IN_ORDER = re.compile(r"[A-Za-z]{0,6}(\d+)")
#: How many entries of a list `Census.lines` prints before it says how many more there are.
SHOWN = 10


@dataclass(frozen=True)
class Census:
    """Summary of a source: counts, what was left out, contradictions and duplicates.

    Parameters
    ----------
    people, scans
        How many of each there are.
    labels
        Number of scans for each value of the label column; unlabelled scans under ``"no label"``.
    dropped
        What was left out: where, and the reason.
    conflicts
        Facts that contradict each other, one sentence each.
    duplicates
        Groups of scans with the same image.
    notes
        What the reader says about the whole, one sentence each.
    label_column
        The column that was counted.
    files
        What became of every file below the source: how many are used, left out, no image, hidden.
    tables
        What became of every table's rows and columns, one sentence each.
    """

    people: int
    scans: int
    labels: Mapping[str, int]
    dropped: tuple[tuple[str, str], ...] = ()
    conflicts: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    label_column: str = "diagnosis"
    files: Mapping[str, int] = field(default_factory=dict)
    tables: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Return the census as plain JSON values."""
        return to_json_object(self)

    def lines(self, all_of_it: bool = False) -> list[str]:
        """Return the census as lines to print; with `all_of_it` nothing is cut short."""
        shown = None if all_of_it else SHOWN
        counts = ", ".join(f"{label} {n:,}" for label, n in self.labels.items()) or "none"
        people, scans = counted(self.people, "person", "people"), counted(self.scans, "scan")
        same = [" = ".join(group) for group in self.duplicates]
        files = ", ".join(f"{n:,} {what}" for what, n in self.files.items() if n)
        return [
            f"{people}, {scans}; {self.label_column}: {counts}",
            *([f"files: {files}"] if files else []),
            *self._shown_notes(shown),
            *(self.tables if all_of_it else ()),
            *_listed(f"left out: {len(self.dropped):,}", self._reasons(all_of_it), shown),
            *_listed(f"contradictions: {len(self.conflicts):,}", self.conflicts, shown),
            *_listed(f"same image more than once: {len(same):,}", same, shown),
        ]

    def _shown_notes(self, shown: int | None) -> list[str]:
        """Return the notes; many are cut short."""
        limit = None if shown is None else 3 * shown
        more = 0 if limit is None else len(self.notes) - limit
        return [*self.notes[:limit], *([f"... and {more:,} more notes"] if more > 0 else [])]

    def _reasons(self, each: bool = False) -> list[str]:
        """Count each reason; one that holds once, or each of them, says where."""
        if each:
            return [f"{place}: {why}" for place, why in self.dropped]
        where = {why: place for place, why in self.dropped}
        counts = Counter(why for _, why in self.dropped).most_common()
        return [f"{n:,} x {why}" if n > 1 else f"{where[why]}: {why}" for why, n in counts]


def take_census(
    scans: Iterable[Scan],
    dropped: Iterable[tuple[str | Path, str]] = (),
    label_column: str = "diagnosis",
    hashes: Sequence[Hashable] | None = None,
    notes: Iterable[str] = (),
    tables: Iterable[str] = (),
) -> Census:
    """Count people, scans and labels; find contradicting labels and repeated images.

    Parameters
    ----------
    scans
        The scans that are used.
    dropped
        Where and why others were left out.
    label_column
        The column to count and to compare.
    hashes
        A hash of each scan's image, in the order of `scans`; without it only scans that name the
        same file count as duplicates.
    notes
        What the reader says about the whole.
    tables
        What became of each table's rows and columns.
    """
    scans = list(scans)
    marks: Sequence[Hashable] = [s.path.resolve() for s in scans] if hashes is None else hashes
    labels = Counter(_label(scan, label_column) for scan in scans)
    return Census(
        people=len({scan.subject for scan in scans}),
        scans=len(scans),
        labels=dict(sorted(labels.items())),
        dropped=tuple((str(where), reason) for where, reason in dropped),
        conflicts=(
            *_conflicts(scans, label_column),
            *_ages_backwards(scans),
            *_shared_images(scans, marks),
        ),
        duplicates=tuple(_duplicates(scans, marks)),
        notes=tuple(dict.fromkeys((*notes, *_notes_on_labels(scans, label_column, labels)))),
        label_column=label_column,
        tables=tuple(tables),
    )


def no_label_note(scans: Sequence[Scan], column: str) -> tuple[str, ...]:
    """Say which columns may hold the labels where no scan has one in the column that is counted."""
    if not scans or any(_label(scan, column) != "no label" for scan in scans):
        return ()
    texts = {
        name: None
        for scan in scans
        for name, value in scan.labels.items()
        if isinstance(value, str) and name not in CONSTANT_LABELS
    }
    if not texts:
        return ()
    columns = ", ".join(texts)
    return (f"no column {column}; text columns: {columns}; name one with --label (`label_column`)",)


def _notes_on_labels(
    scans: list[Scan], label_column: str, labels: Iterable[str]
) -> tuple[str, ...]:
    return (*_several_labels(scans, label_column), *spelling_notes(label_column, labels))


class _CensusJson(TypedDict):
    """The JSON object that `Census.to_json` makes."""

    people: int
    scans: int
    labels: dict[str, int]
    dropped: list[tuple[str, str]]
    conflicts: list[str]
    duplicates: list[list[str]]
    notes: list[str]
    label_column: str
    files: NotRequired[dict[str, int]]
    tables: NotRequired[list[str]]


def census_from_json(content: JsonObject) -> Census:
    """Return the census that `Census.to_json` wrote."""
    census = cast(_CensusJson, content)
    return Census(
        people=census["people"],
        scans=census["scans"],
        labels=census["labels"],
        dropped=tuple((where, why) for where, why in census["dropped"]),
        conflicts=tuple(census["conflicts"]),
        duplicates=tuple(tuple(group) for group in census["duplicates"]),
        notes=tuple(census["notes"]),
        label_column=census["label_column"],
        files=census.get("files", {}),
        tables=tuple(census.get("tables", ())),
    )


def _label(scan: Scan, column: str) -> str:
    value = scan.labels.get(column)
    return "no label" if value is None or value == "" else str(value)


def _conflicts(scans: list[Scan], label_column: str) -> list[str]:
    """Name what cannot both be true: two labels of one visit, two sexes of one person."""
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for scan in scans:
        seen[scan.scan_id, label_column].add(_label(scan, label_column))
        for column in CONSTANT_LABELS:
            if scan.labels.get(column) not in (None, ""):
                seen[f"sub-{scan.subject}", column].add(str(scan.labels[column]))
    return [
        f"{who}: {column} is {' and '.join(sorted(values))}"
        for (who, column), values in seen.items()
        if len(values) > 1
    ]


def _ages_backwards(scans: list[Scan]) -> list[str]:
    """Name people who are younger at a later visit, where visits' names tell their order."""
    visits: dict[str, list[tuple[int, float, str]]] = defaultdict(list)
    for scan in scans:
        age = scan.labels.get("age")
        match = IN_ORDER.fullmatch(scan.session or "")
        if match and isinstance(age, int | float):
            visits[scan.subject].append((int(match[1]), float(age), str(scan.session)))
    told = []
    for subject, of_person in visits.items():
        of_person.sort()
        for (_, before, first), (_, after, second) in pairwise(of_person):
            if after < before - 0.5:
                told.append(f"sub-{subject}: age {before:g} at {first}, {after:g} at {second}")
    return told


def _shared_images(scans: list[Scan], marks: Sequence[Hashable]) -> list[str]:
    """Name images that are two people's: one of the names is wrong."""
    owners: dict[Hashable, set[str]] = defaultdict(set)
    for scan, mark in zip(scans, marks, strict=True):
        owners[mark].add(scan.subject)
    return [
        f"the same image of {len(people)} people: {', '.join(f'sub-{p}' for p in sorted(people))}"
        for people in owners.values()
        if len(people) > 1
    ]


def _several_labels(scans: list[Scan], label_column: str) -> list[str]:
    """Name people with scans of several labels: a course, or a mistake; one fold holds them all."""
    labels: dict[str, set[str]] = defaultdict(set)
    for scan in scans:
        if scan.labels.get(label_column) not in (None, ""):
            labels[scan.subject].add(_label(scan, label_column))
    several = [
        f"{who} ({', '.join(sorted(seen))})" for who, seen in labels.items() if len(seen) > 1
    ]
    if not several:
        return []
    named = ", ".join(several[:SHOWN]) + (", ..." if len(several) > SHOWN else "")
    people = counted(len(several), "person has", "people have")
    return [f"{people} scans of several labels in {label_column}: {named}"]


def _duplicates(scans: list[Scan], marks: Sequence[Hashable]) -> list[tuple[str, ...]]:
    groups: dict[Hashable, list[str]] = defaultdict(list)
    for scan, mark in zip(scans, marks, strict=True):
        groups[mark].append(scan.scan_id)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def counted(n: int, singular: str, plural: str = "") -> str:
    """Return a number and its noun, in the singular or the plural."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def _listed(title: str, entries: Sequence[str], shown: int | None = SHOWN) -> list[str]:
    if not entries:
        return []
    more = 0 if shown is None else len(entries) - shown
    return [title, *(f"  {entry}" for entry in entries[:shown])] + (
        [f"  ... and {more:,} more"] if more > 0 else []
    )
