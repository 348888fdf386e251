"""Automatic quality control: pass, look or fail for each scan, with reasons from its measures.

Each `Limit` says from which value on a person should look, and from which value on the scan is not
used. The limits were set so that all heads of several real data sets pass or look, while simulated
failures fail (docs/quality.md has the numbers).

A template that is the same on both sides cannot tell left from right. That is the header's word: a
head that lies otherwise than its header says, or a file that does not say, is flagged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan
from typing import Literal

from braincase.images.geometry import Grid
from braincase.images.volume import Volume
from braincase.json_values import Json, to_json_object
from braincase.preprocess.prepare_volume import Prepared
from braincase.preprocess.quality.contrast import kind_of_prepared, kind_of_raw
from braincase.preprocess.quality.measures import cut_sides, measure_prepared, measure_raw, rounded

Grade = Literal["pass", "look", "fail"]


@dataclass(frozen=True)
class Quality:
    """The quality control verdict on one scan: grade, reasons and measures.

    Parameters
    ----------
    grade
        ``pass``; ``look``: use it, but look at it; ``fail``: do not use it.
    reasons
        Why it is no pass, the gravest first.
    measures
        What was measured, by name; ``concern`` is below 0 for a pass, 0 to 1 for a look, from 1 on
        for a fail.
    """

    grade: Grade
    reasons: tuple[str, ...]
    measures: Mapping[str, float]

    @property
    def concern(self) -> float:
        """How bad it is, to sort by; infinite where nothing could be measured."""
        return self.measures.get("concern", inf)

    @property
    def is_other_image(self) -> bool:
        """Whether it was measured to be no T1-weighted human head: `reasons` say what it is."""
        return KIND_CONCERN <= self.concern < inf

    def to_json(self) -> dict[str, Json]:
        """Return plain JSON values; what was measured as no number is null."""
        return to_json_object(
            {"Grade": self.grade, "Reasons": self.reasons, "Measures": self.measures}
        )


@dataclass(frozen=True)
class Limit:
    """Thresholds of one measure: from where on it is unusual, and from where on unusable.

    Parameters
    ----------
    measure
        The name of the quantity.
    look, fail
        Its values where a look and where a failure begins; with ``fail < look`` low values are bad.
    says
        The reason in words; ``{value}`` is filled in, and ``{cut}`` tells the sides that are cut.
    """

    measure: str
    look: float
    fail: float
    says: str

    def concern(self, value: float) -> float:
        """Return below 0 for usual values, 0 where a look begins, 1 where a failure begins."""
        return inf if isnan(value) else (value - self.look) / (self.fail - self.look)


#: How grave it is that a scan is no T1w head: worse than any single quantity can be.
KIND_CONCERN, WORST_QUANTITY = 9.0, 8.0
RAW_LIMITS = (
    Limit("thickest_mm", 3.2, 6.5, "slices of {value:.1f} mm are too thick"),
    Limit("smallest_field_mm", 110, 70, "a slab of only {value:.0f} mm, no whole head"),
)
LIMITS = (
    Limit("grey", 0.85, 0.92, "grey matter is as bright as white ({value:.2f} of it)"),
    Limit("fluid", 0.80, 0.95, "the fluid in the brain is bright ({value:.2f} of white matter)"),
    Limit("agreement", 0.52, 0.40, "the brain hardly agrees with the template's ({value:.2f})"),
    Limit("information", 0.065, 0.03, "little in common with the template ({value:.2f})"),
    Limit("overlap", 0.91, 0.85, "the brain's shape is not the template's (overlap {value:.2f})"),
    Limit("mirror", 0.93, 0.87, "left and right halves differ in shape (overlap {value:.2f})"),
    Limit("sides", 0.10, 0.40, "one side is brighter than the other by {value:.0%}"),
    Limit("brain_ml", 950, 650, "a brain of only {value:.0f} ml"),
    Limit("brain_ml", 2000, 2600, "a brain of {value:.0f} ml"),
    Limit("inside", 0.985, 0.88, "the field of view cuts the brain {cut}"),
    Limit("largest", 1.25, 1.50, "a head {value:.2f} times the usual size: are the voxels in mm?"),
    Limit("smallest", 0.70, 0.55, "a head {value:.2f} times the usual size: are the voxels in mm?"),
    Limit("noise", 0.35, 1.0, "noisy: the noise is {value:.0%} of the grey-white contrast"),
    Limit("ghosts", 0.10, 0.40, "ghosts of motion in the air around the head ({value:.2f})"),
    Limit("turned_degrees", 40, 400,
          "the head lies {value:.0f} degrees off what its header says: check left and right"),
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One reason of a verdict, with its concern (severity)."""

    concern: float
    says: str


def screen(volume: Volume) -> Quality | None:
    """Return a failing verdict on what need not be prepared at all, or None.

    Meant for images that are clearly no T1-weighted human head: an angiogram, a label map, a CT,
    an animal, a few thick slices.
    """
    measures = measure_raw(volume)
    verdict = _verdict(measures, _of_raw(volume, measures))
    return verdict if verdict.grade == "fail" else None


def judge(volume: Volume, prepared: Prepared, grid: Grid) -> Quality:
    """Return the verdict on a prepared scan.

    Parameters
    ----------
    volume
        The scan as it was read.
    prepared
        What `prepare_volume` made of it.
    grid
        The grid it was prepared on.
    """
    raw = measure_raw(volume)
    measures = raw | measure_prepared(volume, prepared, grid)
    cut = _in_words(cut_sides(volume, prepared, grid))
    findings = [*_of_raw(volume, raw), *_beyond(LIMITS, measures, cut)]
    if kind := kind_of_prepared(measures):
        findings.append(Finding(KIND_CONCERN, kind))
    return _verdict(measures, findings)


def unusable(reason: str) -> Quality:
    """Return the verdict on a scan that could not be read or prepared."""
    return Quality("fail", (reason,), {})


def _of_raw(volume: Volume, measures: Mapping[str, float]) -> list[Finding]:
    """Return what can be said against an image before anything is done with it."""
    findings = _beyond(RAW_LIMITS, measures)
    if kind := kind_of_raw(measures):
        findings.append(Finding(KIND_CONCERN, kind))
    if not volume.sides_known:
        findings.append(Finding(0.1, "nothing in the file tells left from right"))
    return findings + [Finding(0.0, note) for note in volume.notes]


def _beyond(limits: Iterable[Limit], measures: Mapping[str, float], cut: str = "") -> list[Finding]:
    """Return a finding, usual or not, for each limit."""
    return [
        Finding(min(limit.concern(value), WORST_QUANTITY), limit.says.format(value=value, cut=cut))
        for limit in limits
        for value in (measures[limit.measure],)
    ]


def _verdict(measures: Mapping[str, float], findings: Sequence[Finding]) -> Quality:
    worst = max(finding.concern for finding in findings)
    grade: Grade = "fail" if worst >= 1 else "look" if worst >= 0 else "pass"
    # Of an image that is no T1w head no more need be said: it has neither noise nor motion.
    least = KIND_CONCERN if worst >= KIND_CONCERN else 0
    grave = sorted((f for f in findings if f.concern >= least), key=lambda f: -f.concern)
    return Quality(
        grade,
        tuple(dict.fromkeys(finding.says for finding in grave)),
        rounded({**measures, "concern": worst}),
    )


def _in_words(cut: Mapping[str, float]) -> str:
    """Say which sides are cut, the worst first."""
    sides = sorted((side for side in cut if cut[side] >= 0.005), key=lambda side: -cut[side])
    return "at the " + " and ".join(f"{side} ({cut[side]:.0%})" for side in sides) if sides else ""
