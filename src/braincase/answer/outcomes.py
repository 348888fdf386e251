"""Outcomes of the neighbours: what became of each hit's person, and of all of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from braincase.answer.follow_up import follow_up
from braincase.gallery import Gallery, Hit
from braincase.labels import Value, age_of


@dataclass(frozen=True)
class OutcomeVisit:
    """Follow-up visit of a hit's person, `years` after the hit's scan, None where ages are unknown.

    `label` and `score` are the values of the answer's label and score columns.
    """

    scan_id: str
    session: str | None
    years: float | None
    age: float | None
    label: Value
    score: Value


@dataclass(frozen=True)
class LabelChange:
    """A change of the label between a hit's scan and the last visit, and in how many people."""

    before: Value
    after: Value
    people: int


@dataclass(frozen=True)
class SeenAgain:
    """Follow-up of the people found, counted: who was seen again, and whose label had changed.

    Parameters
    ----------
    seen
        People with a later visit.
    years
        From the hit's scan to the last visit, the shortest and the longest; None where ages are
        unknown.
    known
        Of how many of them the label is known at both ends.
    changes
        The most frequent first.
    """

    seen: int
    years: tuple[float, float] | None
    known: int
    changes: tuple[LabelChange, ...]


def outcome_of(
    gallery: Gallery, hit: Hit, version: int, label: str | None, score: str | None
) -> tuple[OutcomeVisit, ...]:
    """Return the later visits of a hit's person, in the order of time.

    Parameters
    ----------
    gallery, hit
        Where it was found, and what.
    version
        Of the gallery, the one that was searched.
    label, score
        The columns that are told of each visit, if any.
    """
    return tuple(
        OutcomeVisit(
            visit.scan_id,
            visit.session,
            visit.years,
            age_of(visit.labels),
            visit.labels.get(label) if label else None,
            visit.labels.get(score) if score else None,
        )
        for visit in follow_up(gallery, hit, version)
    )


def seen_again(
    found: Sequence[tuple[Hit, Sequence[OutcomeVisit]]], label: str | None
) -> SeenAgain | None:
    """Count follow-up over the people found; None where nobody was seen again.

    Parameters
    ----------
    found
        Hits, each another person, and their later visits in the order of time.
    label
        The column that the visits tell, if any.
    """
    followed = [(hit, visits[-1]) for hit, visits in found if visits]
    if not followed:
        return None
    years = [visit.years for _, visit in followed if visit.years is not None]
    ends = [(hit.labels.get(label) if label else None, last.label) for hit, last in followed]
    known = [(before, after) for before, after in ends if before is not None and after is not None]
    changes = Counter((before, after) for before, after in known if before != after)
    return SeenAgain(
        len(followed),
        (min(years), max(years)) if years else None,
        len(known),
        tuple(LabelChange(*change, people) for change, people in changes.most_common()),
    )
