"""The simulated population: people, visits and scanners, and their truth before any image.

Numbers follow ADNI2's where a condition is one of it: people of about 74 years, 3 to 4.5 scans a
person. Severity is 0 in health and about 1 in disease; it and age grow between visits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from braincase.errors import UsageError
from braincase.simulate.conditions import CONDITIONS, Condition
from braincase.simulate.scanners import SCANNERS
from braincase.volumetry.regions import NAMES

#: Head size, intracranial volume in ml by sex: mean and spread (IXI's 188 women and 103 men).
HEAD_SIZE_ML: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"F": (1297.0, 111.0), "M": (1499.0, 121.0)}
)
#: The mean of the two: a head that the standard grid shows as it is.
USUAL_HEAD_ML = sum(mean for mean, _ in HEAD_SIZE_ML.values()) / len(HEAD_SIZE_ML)
#: Designs of scans of people who went to several scanners.
TRAVELLING = ("travelling", "repeat")
#: Disease does not strike all alike: spread of how far it prefers the medial temporal lobe to the
#: neocortex, and left to right (logs of the effect's size).
SUBTYPE_SPREAD, SIDE_SPREAD = 0.22, 0.15
#: A traveller is scanned again on this scanner.
REPEATED_ON = "A"


@dataclass(frozen=True)
class Size:
    """How many people and scans of each diagnosis a cohort has: diagnosis -> (people, scans).

    Parameters
    ----------
    counts
        By diagnosis.
    resolution_mm
        Voxel edge of its images.
    travellers
        Healthy people more who are scanned on every scanner, and once again on one.
    all_ages
        Whether half of the controls are drawn from all ages, as controls of the younger patients.
    """

    counts: Mapping[str, tuple[int, int]]
    resolution_mm: int
    travellers: int = 0
    all_ages: bool = False


#: `paper` has the paper's counts: 1121 CN and 674 AD scans, with ADNI2's scans a person. `bench`
#: is the cohort of `braincase bench`: all conditions, one scan a person.
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
        "bench": Size(
            {
                "CN": (300, 300),
                "MCI": (120, 120),
                "AD": (150, 150),
                "bvFTD": (60, 60),
                "svPPA": (50, 50),
                "MTS-L": (45, 45),
                "MTS-R": (45, 45),
                "NPH": (50, 50),
                "MS": (80, 80),
                "SVD": (70, 70),
                "stroke": (90, 90),
                "SMC": (20, 20),
                "EMCI": (20, 20),
                "LMCI": (20, 20),
            },
            4,
            travellers=40,
            all_ages=True,
        ),
    }
)


@dataclass(frozen=True)
class SimulatedPerson:
    """What stays the same over a person's visits.

    Parameters
    ----------
    subject, diagnosis, sex
        As the cohort's table shows them.
    icv_ml
        Intracranial volume (head size), which the standard grid does not show.
    deviations
        Independent standard normal numbers, one a region, of the person's own anatomy.
    subtype, side
        How far disease prefers the medial temporal lobe, and the left side (logs).
    mirrored
        Whether the condition's left and right are exchanged.
    seed
        Of the person's own streams of random numbers.
    """

    subject: str
    diagnosis: str
    sex: str
    icv_ml: float
    deviations: tuple[float, ...]
    subtype: float
    side: float
    mirrored: bool
    seed: tuple[int, int]


@dataclass(frozen=True)
class SimulatedVisit:
    """One simulated scan: a person at an age, with a severity, on a scanner.

    Parameters
    ----------
    design
        'single', 'follow-up' (a later year), 'travelling' (the same day on every scanner) or
        'repeat' (once more on one of them).
    """

    person: SimulatedPerson
    number: int
    year: int
    age: float
    severity: float
    scanner: str
    design: str = "single"

    @property
    def session(self) -> str:
        """The session's name: M00, M12, ... months after the first visit, and a traveller's scan.

        A traveller's is followed by the scanner, and R for the repeat: M00B, M00AR.
        """
        month = f"M{12 * self.year:02d}"
        if self.design in TRAVELLING:
            return f"{month}{self.scanner}{'R' if self.design == 'repeat' else ''}"
        return month


def size_of(name: str) -> Size:
    """Return a size of cohort by its name.

    Raises
    ------
    UsageError
        If there is none.
    """
    if name not in SIZES:
        raise UsageError("size", f"{name!r}", f"one of {', '.join(SIZES)}")
    return SIZES[name]


def draw_visits(size: Size, seed: int, confounding: float = 0.0) -> list[SimulatedVisit]:
    """Draw everybody in the cohort and all their visits.

    Parameters
    ----------
    size
        Counts of people and scans by diagnosis.
    seed
        Each person has an own stream of random numbers, made of this and the person's number.
    confounding
        0: scanners are dealt out evenly. 1: the first scanner sees only the healthy, the last only
        the ill.

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
        visits += _draw_person(number, diagnosis, n_visits, seed, confounding, size.all_ages)
    for number in range(len(people), len(people) + size.travellers):
        visits += _travel(_draw_person(number, "CN", 1, seed, 0.0, size.all_ages)[0])
    return visits


def _share(people: int, scans: int, position: int) -> int:
    """Deal `scans` out over `people` as evenly as possible; the first ones get one more."""
    return scans // people + (position < scans % people)


def _draw_person(
    number: int, diagnosis: str, n_visits: int, seed: int, confounding: float, all_ages: bool
) -> Sequence[SimulatedVisit]:
    rng = np.random.default_rng((seed, number))
    condition = CONDITIONS[diagnosis]
    sex = "F" if rng.uniform() < condition.female else "M"
    person = SimulatedPerson(
        subject=f"{number:04d}",
        diagnosis=diagnosis,
        sex=sex,
        icv_ml=float(rng.normal(*HEAD_SIZE_ML[sex])),
        deviations=tuple(rng.standard_normal(len(NAMES)).tolist()),
        subtype=float(rng.normal(0, SUBTYPE_SPREAD)),
        side=float(rng.normal(0, SIDE_SPREAD)),
        mirrored=bool(rng.uniform() < condition.mirrored),
        seed=(seed, number),
    )
    severity = _draw_severity(rng, condition)
    young = all_ages and diagnosis == "CN" and bool(rng.uniform() < 0.5)
    age = _draw_age(rng, condition, young)
    ill = 1.0 if condition.lesions else condition.severity_mean
    scanner = _draw_scanner(rng, min(ill, 1.0), confounding)
    return [
        SimulatedVisit(
            person, year, year, round(age + year, 1),
            severity + condition.severity_per_year * year, scanner,
            "follow-up" if year else "single",
        )
        for year in range(n_visits)
    ]  # fmt: skip


def _draw_severity(rng: np.random.Generator, condition: Condition) -> float:
    mean, spread = condition.severity_mean, condition.severity_spread
    if condition.second_severity is not None:
        share, other_mean, other_spread = condition.second_severity
        if rng.uniform() < share:
            mean, spread = other_mean, other_spread
    return max(0.0, float(rng.normal(mean, spread)))


def _draw_age(rng: np.random.Generator, condition: Condition, young: bool) -> float:
    if young:
        return float(rng.uniform(20, 80))
    return float(np.clip(rng.normal(condition.age_mean, condition.age_spread), *condition.ages))


def _draw_scanner(rng: np.random.Generator, ill: float, confounding: float) -> str:
    """Pick a scanner; confounding moves healthy people to the first and ill ones to the last."""
    names = list(SCANNERS)
    even = np.full(len(names), 1 / len(names))
    sorted_out = np.zeros(len(names))
    sorted_out[0], sorted_out[-1] = 1 - ill, ill
    return str(rng.choice(names, p=(1 - confounding) * even + confounding * sorted_out))


def _travel(visit: SimulatedVisit) -> list[SimulatedVisit]:
    """Scan one person on every scanner, and once more on one."""
    travelling = [
        replace(visit, number=number, scanner=scanner, design="travelling")
        for number, scanner in enumerate(SCANNERS)
    ]
    again = replace(visit, number=len(SCANNERS), scanner=REPEATED_ON, design="repeat")
    return [*travelling, again]
