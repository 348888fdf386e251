"""The simulated population: people, visits, scanners and their truth before any image.

Numbers follow ADNI2's: people of about 74 years, 3 to 4.5 scans a person, three field sites with a
scanner each. Severity is 0 in health and about 1 in dementia; it and age grow between visits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from braincase.errors import UsageError


@dataclass(frozen=True)
class Group:
    """Distribution of one diagnosis: severity at first visit, its growth a year, age in years."""

    severity_mean: float
    severity_spread: float
    severity_per_year: float
    age_mean: float
    age_spread: float


GROUPS: Mapping[str, Group] = MappingProxyType(
    {
        "CN": Group(0.05, 0.15, 0.02, 74.0, 5.5),
        "SMC": Group(0.12, 0.18, 0.03, 73.0, 5.5),
        "EMCI": Group(0.32, 0.22, 0.06, 72.5, 6.5),
        "LMCI": Group(0.62, 0.28, 0.12, 74.0, 6.5),
        "AD": Group(1.00, 0.35, 0.15, 75.5, 6.5),
    }
)
SCANNERS = ("A", "B", "C")


@dataclass(frozen=True)
class Size:
    """How many people and scans of each diagnosis a cohort has: diagnosis -> (people, scans)."""

    counts: Mapping[str, tuple[int, int]]
    resolution_mm: int


#: `paper` has the paper's counts: 1121 CN and 674 AD scans, with ADNI2's scans a person.
SIZES: Mapping[str, Size] = MappingProxyType(
    {
        "tiny": Size({"CN": (12, 16), "AD": (12, 16), "EMCI": (2, 2)}, 4),
        "small": Size(
            {
                "CN": (300, 330),
                "AD": (200, 220),
                "SMC": (16, 16),
                "EMCI": (16, 16),
                "LMCI": (16, 16),
            },
            4,
        ),
        "paper": Size(
            {
                "CN": (245, 1121),
                "AD": (215, 674),
                "SMC": (60, 60),
                "EMCI": (100, 100),
                "LMCI": (100, 100),
            },
            2,
        ),
    }
)


@dataclass(frozen=True)
class SimulatedPerson:
    """What stays the same over a person's visits."""

    subject: str
    diagnosis: str
    sex: str
    scanner: str
    ventricle_deviation: float
    hippocampus_deviation: float
    seed: tuple[int, int]


@dataclass(frozen=True)
class SimulatedVisit:
    """One simulated scan: a person at an age, with a severity."""

    person: SimulatedPerson
    number: int
    age: float
    severity: float

    @property
    def session(self) -> str:
        """The session's name: M00, M12, ... months after the first visit."""
        return f"M{12 * self.number:02d}"


def draw_visits(size: Size, seed: int, confounding: float = 0.0) -> list[SimulatedVisit]:
    """Draw everybody in the cohort and all their visits, a year apart.

    Parameters
    ----------
    size
        Counts of people and scans by diagnosis.
    seed
        Each person has an own stream of random numbers, made of this and the person's number.
    confounding
        0: scanners are dealt out evenly. 1: scanner A sees only CN, scanner C only AD.

    Raises
    ------
    UsageError
        If `confounding` is outside [0, 1].
    """
    if not 0 <= confounding <= 1:
        raise UsageError("confounding", f"{confounding}", "a number from 0 to 1")
    people = [d for d, (n, _) in size.counts.items() for _ in range(n)]
    visits: list[SimulatedVisit] = []
    for number, diagnosis in enumerate(people):
        first = people.index(diagnosis)
        n_visits = _share(*size.counts[diagnosis], number - first)
        visits += _draw_person(number, diagnosis, n_visits, seed, confounding)
    return visits


def _share(people: int, scans: int, position: int) -> int:
    """Deal `scans` out over `people` as evenly as possible; the first ones get one more."""
    return scans // people + (position < scans % people)


def _draw_person(
    number: int, diagnosis: str, n_visits: int, seed: int, confounding: float
) -> Sequence[SimulatedVisit]:
    rng = np.random.default_rng((seed, number))
    group = GROUPS[diagnosis]
    person = SimulatedPerson(
        subject=f"{number:04d}",
        diagnosis=diagnosis,
        sex=str(rng.choice(["F", "M"])),
        scanner=_draw_scanner(rng, group.severity_mean, confounding),
        ventricle_deviation=float(rng.normal(0, 1)),
        hippocampus_deviation=float(rng.normal(0, 1)),
        seed=(seed, number),
    )
    age = float(np.clip(rng.normal(group.age_mean, group.age_spread), 55, 95))
    severity = max(0.0, float(rng.normal(group.severity_mean, group.severity_spread)))
    return [
        SimulatedVisit(
            person, year, round(age + year, 1), severity + group.severity_per_year * year
        )
        for year in range(n_visits)
    ]


def _draw_scanner(rng: np.random.Generator, severity: float, confounding: float) -> str:
    """Pick a scanner; confounding moves healthy people to the first and ill ones to the last."""
    even = np.full(len(SCANNERS), 1 / len(SCANNERS))
    last = min(severity, 1.0)
    sorted_out = np.array([1 - last, 0.0, last])
    return str(rng.choice(SCANNERS, p=(1 - confounding) * even + confounding * sorted_out))
