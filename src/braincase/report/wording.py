"""Text of an answer, as a radiologist reads it: sections of a heading and lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from braincase.answer.compose import Answer, AnsweredHit
from braincase.images.atlas import side_of
from braincase.labels import Value, value_text
from braincase.population.controls import RegionZScores
from braincase.population.normative import NORMAL_Z
from braincase.population.regression import Regression
from braincase.rounding import percent, whole

#: A heading and what stands below it, a line each.
TextSection = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class AnswerText:
    """Text of an answer: what stands beside pictures and tables of its hits.

    Parameters
    ----------
    sections
        Headings and lines, from `sections_of`.
    warning
        What must be read first; may be empty.
    nearness
        Than how many pairs of people a hit is closer, by scan_id, where that is known.
    """

    sections: tuple[TextSection, ...] = ()
    warning: str = ""
    nearness: Mapping[str, str] = field(default_factory=dict)


def text_of(answer: Answer) -> AnswerText:
    """Return all text of an answer, reasons included."""
    nearness = {
        hit.hit.scan_id: f"closer than {percent_closer(hit.closer_than)} of pairs of people here"
        for hit in answer.hits
        if hit.closer_than is not None
    }
    return AnswerText(tuple(sections_of(answer, why=True)), warning_of(answer), nearness)


def percent_closer(share: float) -> str:
    """Write a share of pairs as JSON tells it, rounded down: no hit is closer than all."""
    return f"{min(math.floor(round(100 * share, 2)), 99)} %"


def sections_of(answer: Answer, why: bool = False) -> list[TextSection]:
    """Return what an answer says beside its table of hits; empty sections are left out.

    Parameters
    ----------
    answer
        From `braincase.answer.compose.answer`.
    why
        Whether to name, for each hit, the parts of the brain most and least alike.
    """
    usual = any(hit.likeness for hit in answer.hits)
    meaning = "0 the same, 1 as far apart as two people as a rule" if usual else "by region"
    sections: list[tuple[str, Iterable[str]]] = [
        (f"Why ({meaning})", _reasons(answer) if why else ()),
        ("Scans of this person", _person(answer)),
        (f"What the neighbours say ({answer.label})", _neighbours(answer)),
        ("What became of them", _outcome(answer)),
        ("Volumes for age and sex" if _placed(answer) else "Volumes", _volumes(answer, why)),
        ("Brightness beyond normal for age and sex", _normality(answer)),
        ("How usual such a distance is", _typical(answer)),
        ("Notes", answer.notes),
    ]
    texts = [(heading, tuple(lines)) for heading, lines in sections]
    return [(heading, lines) for heading, lines in texts if lines]


def warning_of(answer: Answer) -> str:
    """Return what must be read first: that the gallery holds no similar case; else nothing."""
    typicality = answer.typicality
    return typicality.line() if typicality and not typicality.similar else ""


def _reasons(answer: Answer) -> Iterator[str]:
    if answer.without_regions:
        yield f"by region: {answer.without_regions}"
    for hit in answer.hits:
        if reason := reason_of(hit):
            yield f"{_name(hit)}: {reason}"


def reason_of(hit: AnsweredHit) -> str:
    """Return in which parts of the brain query and hit are most and least alike, if known."""
    if hit.likeness:
        alike = ", ".join(f"{part} {ratio:.2f}" for part, ratio in hit.likeness[:3])
        apart = ", ".join(f"{part} {ratio:.2f}" for part, ratio in hit.likeness[:-3:-1])
        return f"most alike in {alike}; least in {apart}"
    shares = ", ".join(f"{region} {percent(share)}" for region, share in hit.regions[:3])
    return f"largest shares of the difference in regions: {shares}" if shares else ""


def _person(answer: Answer) -> Iterator[str]:
    for scan in answer.result.same_subject:
        kind = "the query itself" if scan.scan_id == answer.result.query_id else "another scan"
        yield f"{scan.scan_id}, {kind} (distance {scan.distance:.3f})"


def _neighbours(answer: Answer) -> Iterator[str]:
    if answer.neighbours is None or not answer.neighbours.people:
        return
    yield from answer.neighbours.lines()
    if answer.calibration is None:
        few = "too few people of each kind"
        few = f"the filter leaves {few}" if answer.result.where else few
        yield f"not calibrated: {few}, or not ranked by the code"


def _outcome(answer: Answer) -> Iterator[str]:
    """Tell the later visits: ``1. sub-1: MCI, mmse 26 -> after 1.0 y AD, mmse 21``."""
    for hit in answer.hits:
        if not hit.outcome:
            continue
        labels = hit.hit.labels
        label = labels.get(answer.label) if answer.label else None
        score = labels.get(answer.score) if answer.score else None
        steps = [_state(label, answer.score, score) or "then"]
        for later in hit.outcome:
            when = f"at {later.session or later.scan_id}"
            when = when if later.years is None else f"after {later.years:.1f} y"
            steps.append(f"{when} {_state(later.label, answer.score, later.score)}".rstrip())
        yield f"{_name(hit)}: {' -> '.join(steps)}"
    yield from _seen_again(answer)


def _seen_again(answer: Answer) -> Iterator[str]:
    """Tell in one line how many people were seen again, and whose label had changed at the last."""
    counted = answer.seen_again
    if counted is None:
        return
    span = dict.fromkeys(f"{edge:.1f}" for edge in counted.years or ())
    when = f", last after {' to '.join(span)} y" if span else ""
    changed = sum(change.people for change in counted.changes)
    told = ", ".join(
        f"{value_text(change.before)} to {value_text(change.after)} {change.people}"
        for change in counted.changes
    )
    label = f"; {answer.label} changed in {changed} of {counted.known}" if counted.known else ""
    yield (
        f"seen again: {counted.seen} of {len(answer.hits)} people{when}{label}"
        + (f" ({told})" if told else "")
    )


def _state(label: Value, name: str | None, score: Value) -> str:
    shown = f"{score:.3g}" if isinstance(score, float) else str(score)
    parts = [value_text(label), f"{name} {shown}" if score is not None else ""]
    return ", ".join(part for part in parts if part)


def _volumes(answer: Answer, every: bool) -> Iterator[str]:
    """Tell the query's volumes: all, or those that few controls have, left beside right.

    ``amygdala: left 1.1 ml (percentile 4), right 1.2 ml (percentile 9)``
    """
    norms = answer.volume_norms
    shown = [v for v in answer.volumes if every or v.unusual]
    sides: dict[str, list[str]] = {}
    for volume in shown:
        side, plain = side_of(volume.name)
        among = "" if volume.percentile is None else f" ({percentile_text(volume.percentile)})"
        sides.setdefault(plain, []).append(f"{side} {volume.ml:.1f} ml{among}".lstrip())
    yield from (f"{plain}: {', '.join(told)}" for plain, told in sides.items())
    if norms and _placed(answer):
        if not shown:
            yield f"none of {len(answer.volumes)} beyond percentiles 5 and 95"
        yield (
            f"percentiles among {norms.people} controls, {ages_and_sexes(norms)}; by chance one"
            " volume in ten is beyond 5 and 95, so most healthy people have some"
        )
    elif shown:
        yield f"no percentiles: {_why_no_percentiles(norms)}"
    if shown:
        yield "ml of brains brought to one size: not comparable with ml in the scan's own space"


def _why_no_percentiles(norms: Regression | None) -> str:
    if norms is None:
        return "the gallery has too few controls of known age and sex"
    return (
        "age or sex is not known, or this person is not like the gallery's"
        f" {norms.people} controls, {ages_and_sexes(norms)}"
    )


def _placed(answer: Answer) -> bool:
    return any(volume.percentile is not None for volume in answer.volumes)


def percentile_text(percentile: float) -> str:
    """Write a percentile; beyond the first and the last a normal curve knows nothing exactly."""
    if percentile < 1:
        return "below percentile 1"
    return "above percentile 99" if percentile > 99 else f"percentile {whole(percentile)}"


def _normality(answer: Answer) -> Iterator[str]:
    if answer.normality is None:
        return
    if not answer.normality.known:
        yield not_known_here(answer.normality)
        return
    beyond = answer.normality.abnormal()
    named = ", ".join(f"{name} {z:+.1f}" for name, z in beyond[:8]) or "no region"
    regions = len(answer.normality.by_region)
    yield f"{named} (z of brightness against {answer.normality.controls} controls)"
    yield (
        f"beyond ±{NORMAL_Z}: {len(beyond)} of {regions} regions; by chance {0.05 * regions:.0f} "
        "(one in 20), in healthy people too"
    )


def not_known_here(scores: RegionZScores) -> str:
    """Return why nothing can be said of a person."""
    return (
        f"not known here: the gallery's {scores.controls} controls are {ages_and_sexes(scores)},"
        " and this person is not"
    )


def ages_and_sexes(controls: RegionZScores | Regression) -> str:
    """Return who the controls are: ``60 to 85 years old``, and of which sex if of one only."""
    youngest, oldest = controls.ages
    one = "" if len(controls.sexes) > 1 else f" and all {controls.sexes[0]}"
    return f"{whole(youngest)} to {whole(oldest)} years old{one}"


def _typical(answer: Answer) -> Iterator[str]:
    if answer.typicality and answer.typicality.similar:
        yield answer.typicality.line()
    if answer.usually_closer_than is not None:
        closer = percent_closer(answer.usually_closer_than)
        yield f"as a rule the nearest case of a person here is closer than {closer} of pairs"


def _name(hit: AnsweredHit) -> str:
    return f"{hit.hit.rank}. {hit.hit.scan_id}"
