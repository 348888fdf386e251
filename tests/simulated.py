"""Small simulated cohorts, made once for all tests that need one."""

from __future__ import annotations

from pathlib import Path

from braincase.cohort.cohort import Cohort
from braincase.images.geometry import HALF_GRID
from braincase.simulate.cohort import recipe_of, simulate_cohort, write_visits
from braincase.simulate.people import Size, draw_visits


def tiny_cohort(folder: Path) -> Cohort:
    """Return 24 people of CN and AD (32 scans) and 2 of EMCI at 4 mm; about 8 s of one core."""
    return simulate_cohort(folder, "tiny", seed=0, workers=1)


def clinic_cohort(folder: Path) -> Cohort:
    """Return 32 people of CN and 24 of AD at 4 mm, 72 scans; about 20 s of one core."""
    size = Size({"CN": (32, 40), "AD": (24, 32)}, 4)
    visits = draw_visits(size, seed=1, confounding=0.0)
    return write_visits(folder, HALF_GRID, visits, recipe_of("clinic", 1, 0.0), workers=1)
