"""An answer in words, as a radiologist reads it: sections of a heading and lines."""

from __future__ import annotations

from collections.abc import Iterator

from braincase.answer.compose import Answer, AnsweredHit
from braincase.labels import Value, value_text

#: A heading and what stands below it, a line each.
Section = tuple[str, tuple[str, ...]]


def sections_of(told: Answer, why: bool = False) -> list[Section]:
    """Return what an answer says beside its table of hits; empty sections are left out.

    Parameters
    ----------
    told
        From `braincase.answer.compose.answer`.
    why
        Whether to name, for each hit, the parts of the brain most and least alike.
    """
    sections = [
        ("Why (0 the same, 1 as far apart as two people as a rule)", _reasons(told) if why else ()),
        ("Scans of this person", _person(told)),
        (f"What the neighbours say ({told.label})", _neighbours(told)),
        ("What became of them", _outcome(told)),
        ("Beyond normal for age and sex", _normality(told)),
        ("How usual such a distance is", _typical(told)),
        ("Notes", told.notes),
    ]
    return [(heading, lines) for heading, some in sections if (lines := tuple(some))]


def warning_of(told: Answer) -> str:
    """Return what must be read first: that the gallery holds no similar case; else nothing."""
    known = told.typicality
    return known.line() if known and not known.similar else ""


def _reasons(told: Answer) -> Iterator[str]:
    for hit in told.hits:
        if hit.likeness:
            alike = ", ".join(f"{part} {ratio:.2f}" for part, ratio in hit.likeness[:3])
            apart = ", ".join(f"{part} {ratio:.2f}" for part, ratio in hit.likeness[:-3:-1])
            yield f"{_name(hit)}: most alike in {alike}; least in {apart}"
        elif hit.regions:
            shares = ", ".join(f"{region} {share:.0%}" for region, share in hit.regions[:3])
            yield f"{_name(hit)}: largest shares of the distance in {shares}"


def _person(told: Answer) -> Iterator[str]:
    for other in told.result.same_subject:
        kind = "the query itself" if other.scan_id == told.result.query_id else "another scan"
        yield f"{other.scan_id}, {kind} (distance {other.distance:.3f})"


def _neighbours(told: Answer) -> Iterator[str]:
    if told.neighbours is None or not told.neighbours.people:
        return
    yield from told.neighbours.lines()
    if told.calibration is None:
        yield "not calibrated: too few people of each kind, or not ranked by the code"


def _outcome(told: Answer) -> Iterator[str]:
    """Tell the later visits: ``1. sub-1: MCI, mmse 26 -> after 1.0 y AD, mmse 21``."""
    for hit in told.hits:
        if not hit.outcome:
            continue
        labels = hit.hit.labels
        label = labels.get(told.label) if told.label else None
        score = labels.get(told.score) if told.score else None
        steps = [_state(label, told.score, score) or "then"]
        for later in hit.outcome:
            when = f"at {later.session or later.scan_id}"
            when = when if later.years is None else f"after {later.years:.1f} y"
            steps.append(f"{when} {_state(later.label, told.score, later.score)}".rstrip())
        yield f"{_name(hit)}: {' -> '.join(steps)}"


def _state(label: Value, name: str | None, score: Value) -> str:
    shown = f"{score:.3g}" if isinstance(score, float) else str(score)
    parts = [value_text(label), f"{name} {shown}" if score is not None else ""]
    return ", ".join(part for part in parts if part)


def _normality(told: Answer) -> Iterator[str]:
    if told.normality is None:
        return
    beyond = told.normality.abnormal()
    named = ", ".join(f"{name} {z:+.1f}" for name, z in beyond[:8]) or "no region"
    yield f"{named} (z against {told.normality.controls} controls)"


def _typical(told: Answer) -> Iterator[str]:
    if told.typicality and told.typicality.similar:
        yield told.typicality.line()


def _name(hit: AnsweredHit) -> str:
    return f"{hit.hit.rank}. {hit.hit.scan_id}"
