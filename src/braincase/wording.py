"""An answer in words, as a radiologist reads it."""

from __future__ import annotations

from collections.abc import Iterator

from braincase.answer import Answer, AnsweredHit
from braincase.gallery.records import value_text


def lines_of(told: Answer, why: bool = False) -> list[str]:
    """Return what an answer says beside its table of hits, a line each.

    Parameters
    ----------
    told
        From `braincase.answer.answer`.
    why
        Whether to name, for each hit, the parts of the brain most and least alike.
    """
    return [
        *(_reasons(told) if why else ()),
        *_person(told),
        *_neighbours(told),
        *_outcome(told),
        *_normality(told),
        *_typical(told),
        *(f"note: {note}" for note in told.notes),
    ]


def warning_of(told: Answer) -> str:
    """Return what must be read first: that the gallery holds no similar case; else nothing."""
    known = told.typicality
    return known.line() if known and not known.similar else ""


def _typical(told: Answer) -> Iterator[str]:
    if told.typicality and told.typicality.similar:
        yield f"Typical? {told.typicality.line()}"


def _reasons(told: Answer) -> Iterator[str]:
    for hit in told.hits:
        name = f"{hit.hit.rank}. {hit.hit.scan_id}"
        if hit.likeness:
            alike = ", ".join(_times(part) for part in hit.likeness[:3])
            apart = ", ".join(_times(part) for part in hit.likeness[:-3:-1])
            yield f"{name}: most alike in {alike}; least in {apart} (1 = two people as a rule)"
        if hit.regions:
            shares = ", ".join(f"{region} {share:.0%}" for region, share in hit.regions[:3])
            yield f"{' ' * len(name)}  largest shares of the distance: {shares}"


def _times(part: tuple[str, float]) -> str:
    return f"{part[0]} {part[1]:.2f}"


def _person(told: Answer) -> Iterator[str]:
    for other in told.result.same_subject:
        kind = "the query itself" if other.scan_id == told.result.query_id else "other scan"
        yield f"this person, {kind}: {other.scan_id} (distance {other.distance:.3f})"


def _neighbours(told: Answer) -> Iterator[str]:
    if told.neighbours is None or not told.neighbours.people:
        return
    yield f"What the neighbours say ({told.label}):"
    yield from (f"  {line}" for line in told.neighbours.lines())
    if told.calibration is None:
        yield "  not calibrated: too few people of each kind, or not ranked by the code"


def _outcome(told: Answer) -> Iterator[str]:
    lines = [line for hit in told.hits if (line := _course(hit, told.label, told.score))]
    if lines:
        yield "What became of them:"
    yield from (f"  {line}" for line in lines)


def _course(hit: AnsweredHit, label: str | None, score: str | None) -> str:
    """Return the later visits of a hit: ``1. sub-1: MCI, mmse 26 -> after 1.0 y AD, mmse 21``."""
    if not hit.outcome:
        return ""
    labels = hit.hit.labels
    start = [value_text(labels.get(label))] if label else []
    start += [f"{score} {labels[score]}"] if score and labels.get(score) is not None else []
    steps = [", ".join(part for part in start if part) or "first"]
    for later in hit.outcome:
        when = later.session or later.scan_id
        when = f"after {later.years:.1f} y" if later.years is not None else f"at {when}"
        values = [value_text(later.label)]
        values += [f"{score} {later.score}"] if later.score is not None else []
        steps.append(f"{when} {', '.join(value for value in values if value)}".rstrip())
    return f"{hit.hit.rank}. {hit.hit.scan_id}: {' -> '.join(steps)}"


def _normality(told: Answer) -> Iterator[str]:
    if told.normality is None:
        return
    beyond = told.normality.abnormal()
    named = ", ".join(f"{name} {z:+.1f}" for name, z in beyond[:8]) or "no region"
    yield f"Beyond normal for age and sex (z against {told.normality.controls} controls): {named}"
