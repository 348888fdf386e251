"""Small simulated cohorts, made once for all tests that need one."""

from __future__ import annotations

from pathlib import Path

from braincase.cohort import Cohort
from braincase.simulate.cohort import simulate_cohort


def tiny_cohort(folder: Path) -> Cohort:
    """Return 24 people of CN and AD (32 scans) and 2 of EMCI at 4 mm; about 8 s of one core."""
    return simulate_cohort(folder, "tiny", seed=0, workers=1)
