"""What became of the neighbours: their later visits in the same gallery."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from braincase.gallery import Gallery, Hit, StoredCase
from braincase.labels import Value


@dataclass(frozen=True)
class Visit:
    """One later visit: `years` after the hit's scan, or None where ages are not known."""

    scan_id: str
    session: str | None
    years: float | None
    labels: Mapping[str, Value]


@dataclass(frozen=True)
class FollowUp:
    """A hit and what followed, in the order of time."""

    hit: Hit
    visits: tuple[Visit, ...]

    def course(self, column: str) -> list[Value]:
        """Return one label over time, from the hit's own scan on."""
        return [self.hit.labels.get(column), *(visit.labels.get(column) for visit in self.visits)]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        visits = [{**visit.__dict__, "labels": dict(visit.labels)} for visit in self.visits]
        return {"scan_id": self.hit.scan_id, "visits": visits}


def follow_ups(gallery: Gallery, hits: Sequence[Hit], as_of: int | None = None) -> list[FollowUp]:
    """Return the later visits of each hit's person; a person's nearest hit stands for them.

    Visits are in the order of age; where an age is missing, in that of the session names (numbers
    in them counted as numbers: ``m6`` before ``m12``).

    Parameters
    ----------
    gallery
        Where the hits were found.
    hits
        The hits of a search.
    as_of
        The version searched; None for now.
    """
    nearest: dict[str, Hit] = {}
    for hit in hits:
        nearest.setdefault(hit.subject, hit)
    return [
        FollowUp(hit, _later(hit, gallery.person(hit.subject, as_of))) for hit in nearest.values()
    ]


def _later(hit: Hit, scans: Sequence[StoredCase]) -> tuple[Visit, ...]:
    ages = {case.scan_id: case.labels.get("age") for case in scans}
    start = hit.labels.get("age")
    timed = isinstance(start, int | float) and all(
        isinstance(a, int | float) for a in ages.values()
    )
    if timed:
        later = [case for case in scans if _number(ages[case.scan_id]) > _number(start)]
        later.sort(key=lambda case: _number(ages[case.scan_id]))
    else:
        own = _natural(hit.session)
        later = [case for case in scans if _natural(case.session) > own]
        later.sort(key=lambda case: _natural(case.session))
    return tuple(
        Visit(
            case.scan_id,
            case.session,
            round(_number(ages[case.scan_id]) - _number(start), 2) if timed else None,
            case.labels,
        )
        for case in later
    )


def _number(value: Value) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _natural(session: str | None) -> list[tuple[int, str]]:
    """Return a key that sorts the numbers inside a name as numbers."""
    parts = re.findall(r"\d+|\D+", session or "")
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
